package containerd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// alive reports whether the first process of a container lives. It is gone only once the kernel has ended
// everything in its PID namespace.
func (t task) alive() bool {
	if t.PID <= 1 || t.BootID != bootID() {
		return false
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", t.PID))
	if err != nil {
		return false
	}
	state, started, ok := parseStat(string(b))
	return ok && started == t.Started && state != "Z" && state != "X"
}

// taskOf describes the process pid, which lives.
func taskOf(pid int) (task, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return task{}, err
	}
	_, started, ok := parseStat(string(b))
	if !ok {
		return task{}, fmt.Errorf("process %d: its stat cannot be read", pid)
	}
	return task{PID: pid, Started: started, BootID: bootID()}, nil
}

// parseStat reads a process's state and start, in clock ticks since the boot, from its /proc/PID/stat.
func parseStat(stat string) (state string, started uint64, ok bool) {
	f := strings.Fields(stat[strings.LastIndex(stat, ")")+1:]) // the name before it may hold anything
	if len(f) < 20 {
		return "", 0, false
	}
	started, err := strconv.ParseUint(f[19], 10, 64)
	return f[0], started, err == nil
}

// open returns a descriptor of the process that stays its own; nil, nil when it has ended.
func (t task) open() (*os.File, error) {
	fd, err := unix.PidfdOpen(t.PID, 0)
	if err != nil || !t.alive() {
		if err == nil {
			unix.Close(fd)
		}
		if t.alive() {
			return nil, fmt.Errorf("opening process %d: %w", t.PID, err)
		}
		return nil, nil
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "process"), nil
}

// await returns nil once the process has ended, or ctx's error.
func (t task) await(ctx context.Context) error {
	f, err := t.open()
	if err != nil || f == nil {
		return err
	}
	defer f.Close()
	stop := context.AfterFunc(ctx, func() { f.Close() })
	defer stop()
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	err = c.Read(func(fd uintptr) bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		return err == nil && n > 0
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// signal sends sig to the process; nil when it has ended.
func (t task) signal(sig unix.Signal) error {
	f, err := t.open()
	if err != nil || f == nil {
		return err
	}
	defer f.Close()
	if err := unix.PidfdSendSignal(int(f.Fd()), sig, nil, 0); !errors.Is(err, unix.ESRCH) {
		return err
	}
	return nil
}

// hostPID finds, among the children of init, the process that the container's PID namespace calls inner:
// its id as the box sees it. Where there is none, init stands for it.
func hostPID(init, inner int) int {
	if inner <= 0 {
		return init
	}
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", init))
	for _, name := range lists {
		b, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		for field := range strings.FieldsSeq(string(b)) {
			pid, err := strconv.Atoi(field)
			if err == nil && innerPID(pid) == inner {
				return pid
			}
		}
	}
	return init
}

// innerPID is what the innermost PID namespace of process pid calls it.
func innerPID(pid int) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if ids, found := strings.CutPrefix(line, "NSpid:"); found {
			f := strings.Fields(ids)
			n, _ := strconv.Atoi(f[max(0, len(f)-1)])
			return n
		}
	}
	return 0
}
