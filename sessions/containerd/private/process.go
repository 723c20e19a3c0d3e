package private

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// process is one run of containerd, child of this program or not.
type process struct {
	pid    int
	handle *os.File    // its pidfd: stays with it when its number goes to another
	child  *os.Process // nil: another program has started it
	gone   chan struct{}
	how    string // set before gone is closed
	from   int64  // where in the log it begins
}

// record says which process is ours; it is kept in a file.
type record struct {
	PID      int    `json:"pid"`
	Started  uint64 `json:"started"` // ticks since the boot
	Boot     string `json:"boot"`    // the boot's id
	Version  string `json:"version"` // of the program
	Settings string `json:"settings"`
}

// open takes hold of a process and watches it.
func openProcess(pid int, child *os.Process) (*process, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("taking hold of process %d: %w", pid, err)
	}
	p := &process{pid: pid, child: child, handle: os.NewFile(uintptr(fd), "pidfd"), gone: make(chan struct{})}
	conn, err := p.handle.SyscallConn()
	if err != nil {
		p.handle.Close()
		return nil, fmt.Errorf("watching process %d: %w", pid, err)
	}
	go func() {
		// A pidfd can be read from, so to say, when the process has ended.
		err := conn.Read(func(fd uintptr) bool {
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
			return err == nil && n > 0
		})
		if err != nil {
			return // let go of
		}
		p.how = "it ended"
		if p.child != nil {
			if state, err := p.child.Wait(); err == nil {
				p.how = state.String()
			}
		}
		close(p.gone)
	}()
	return p, nil
}

// release lets go of it, and leaves it running.
func (p *process) release() { p.handle.Close() }

// signal asks it to end; that it has ended already is no error.
func (p *process) signal(sig unix.Signal) error {
	conn, err := p.handle.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	if err := conn.Control(func(fd uintptr) { sent = unix.PidfdSendSignal(int(fd), sig, nil, 0) }); err != nil {
		return err
	}
	if errors.Is(sent, unix.ESRCH) {
		return nil
	}
	return sent
}

// await returns when it has ended, or ctx has.
func (p *process) await(ctx context.Context) error {
	select {
	case <-p.gone:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// startTime of a process in ticks since the boot; fs.ErrNotExist where there is none, or only what is left
// of one for its parent to see.
func startTime(pid int) (uint64, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	return parseStart(string(stat))
}

func parseStart(stat string) (uint64, error) {
	f := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:]) // the name before it may hold anything
	if len(f) < 20 {
		return 0, fmt.Errorf("%.100q is no state of a process", stat)
	}
	if f[0] == "Z" || f[0] == "X" {
		return 0, fs.ErrNotExist
	}
	return strconv.ParseUint(f[19], 10, 64)
}

func bootID() string {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(id))
}

// running returns the process that the record names, if it is that one still; nil otherwise.
func (r record) running() (*process, error) {
	if r.PID <= 0 || r.Boot != bootID() {
		return nil, nil
	}
	p, err := openProcess(r.PID, nil)
	if errors.Is(err, unix.ESRCH) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	// With the handle held the number cannot go to another between the look and the use.
	if started, err := startTime(r.PID); err == nil && started == r.Started {
		return p, nil
	}
	p.release()
	return nil, nil
}

// listener returns the process that listens on socket; nil where nobody does.
func listener(ctx context.Context, socket string) (*process, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, nil // nobody listens
	}
	defer conn.Close()
	unixConn, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, nil
	}
	raw, err := unixConn.SyscallConn()
	if err != nil {
		return nil, err
	}
	var peer *unix.Ucred
	var peerErr error
	if err := raw.Control(func(fd uintptr) { peer, peerErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return nil, err
	}
	if peerErr != nil {
		return nil, fmt.Errorf("asking who listens on %s: %w", socket, peerErr)
	}
	if peer.Pid <= 0 {
		return nil, &Error{fmt.Errorf("a containerd from outside of this container listens on %s", socket), "stop it, or choose another data directory"}
	}
	return openProcess(int(peer.Pid), nil)
}

func readRecord(path string) (record, error) {
	var r record
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(raw, &r); err == nil {
		return r, nil
	}
	return record{}, nil // half written: the socket will tell
}

func (r record) write(path string) error {
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return writeFile(path, raw)
}

// writeFile replaces a file as a whole.
func writeFile(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(content)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
