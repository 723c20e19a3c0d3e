package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// CheckPort says why a TCP port of the box cannot be listened on, and who listens there, as far as it can be seen.
func CheckPort(ctx context.Context, port int) error {
	var listener net.ListenConfig
	l, err := listener.Listen(ctx, "tcp", fmt.Sprintf(":%d", port))
	if err != nil {
		return fmt.Errorf("port %d of this box: %s", port, portFault(err, port))
	}
	return l.Close()
}

// portFault says in words what is wrong with a port.
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
