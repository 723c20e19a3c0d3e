package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/sessions"
)

// portFault says why a port of the box cannot be listened on, and who listens there, as far as it can
// be seen.
func portFault(err error, port int) string {
	if !errors.Is(err, unix.EADDRINUSE) {
		return err.Error()
	}
	for _, name := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		b, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		if inode := listenerInode(string(b), port); inode != "" {
			return "another program listens there" + ownerOf(inode)
		}
	}
	return "another program uses it"
}

// listenerInode finds the socket that listens on port in the text of /proc/net/tcp.
func listenerInode(table string, port int) string {
	const listening = "0A"
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) < 10 || f[3] != listening {
			continue
		}
		_, hex, _ := strings.Cut(f[1], ":")
		if n, err := strconv.ParseUint(hex, 16, 16); err == nil && int(n) == port {
			return f[9]
		}
	}
	return ""
}

// ownerOf finds who holds a socket: ": name (pid 12)", or "" where that cannot be seen.
func ownerOf(inode string) string {
	fds, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err != nil || to != "socket:["+inode+"]" {
			continue
		}
		pid := strings.Split(fd, "/")[2]
		name, _ := os.ReadFile("/proc/" + pid + "/comm")
		return fmt.Sprintf(": %s (pid %s)", strings.TrimSpace(string(name)), pid)
	}
	return ""
}

// checkPorts refuses a session that wants a port of the box which another session, or another program,
// has.
func (r *Runtime) checkPorts(ctx context.Context, spec sessions.Spec) error {
	var ports []int
	for _, p := range spec.Processes {
		if p.Port > 0 {
			ports = append(ports, p.Port)
		}
	}
	if len(ports) == 0 {
		return nil
	}
	hint := "Without network namespaces all sessions share the box's ports: give it another port, or run the appliance as root."
	if spec.Cluster.OnHost() {
		hint = "Containers of one session that are on several boxes share the boxes' ports: end the other program, or have cluster.session_network say vxlan."
	}
	entries, err := os.ReadDir(r.instances())
	if err != nil {
		return err
	}
	for _, e := range entries {
		rec, found, _ := readJSON[record](r.dir(e.Name()), fileRecord)
		if !found || !rec.Shared || e.Name() == spec.ID {
			continue
		}
		if _, over, err := r.settle(e.Name()); over || err != nil {
			continue
		}
		for _, p := range rec.Spec.Processes {
			if slices.Contains(ports, p.Port) {
				return &Error{Err: fmt.Errorf("port %d of this box is session %s's", p.Port, e.Name()), What: hint}
			}
		}
	}
	var listener net.ListenConfig
	for _, port := range ports {
		l, err := listener.Listen(ctx, "tcp", fmt.Sprintf(":%d", port))
		if err != nil {
			return &Error{Err: fmt.Errorf("port %d of this box: %s", port, portFault(err, port)), What: hint}
		}
		l.Close()
	}
	return nil
}
