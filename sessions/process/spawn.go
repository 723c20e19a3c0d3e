package process

import (
	"fmt"
	"math/bits"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// forker forks the session's processes, on the spawner's thread: that thread, and so all that it starts,
// is in the session's cgroups, has no more capabilities than a container has, and will get no new ones.
// The supervisor's other threads are and have what the supervisor is and has.
type forker struct {
	proc int      // descriptor of the box's /proc
	v2   *os.File // the version 2 cgroup that children are born in; nil: none
	rec  record
}

func newForker(proc int, rec record, g *group) (*forker, error) {
	f := &forker{proc: proc, rec: rec}
	for i, d := range g.dirs {
		if !d.V2 {
			continue
		}
		dir, err := g.roots[i].Open(".")
		if err != nil {
			return nil, err
		}
		f.v2 = dir
	}
	return f, nil
}

// enter gives the calling thread, which is locked, to the session, for good. Whatever it starts inherits its cores.
func enter(g *group, cores string) error {
	if cores != "" {
		set, err := cpuSet(cores)
		if err == nil {
			err = unix.SchedSetaffinity(0, &set)
		}
		if err != nil {
			return fmt.Errorf("keeping it on cores %s: %w", cores, err)
		}
	}
	if err := g.joinThread(); err != nil {
		return err
	}
	return dropCapabilities()
}

// cpuSet reads numbers of cores as the kernel writes them: "0-3,8".
func cpuSet(text string) (set unix.CPUSet, err error) {
	for part := range strings.SplitSeq(text, ",") {
		low, high, span := strings.Cut(part, "-")
		first, err := strconv.Atoi(low)
		if err != nil {
			return set, err
		}
		last := first
		if span {
			if last, err = strconv.Atoi(high); err != nil {
				return set, err
			}
		}
		if first < 0 || last < first || last >= len(set)*bits.UintSize {
			return set, fmt.Errorf("%q is no range of cores", part)
		}
		for core := first; core <= last; core++ {
			set.Set(core)
		}
	}
	return set, nil
}

// fork is a pid1.Fork.
func (f *forker) fork(path string, argv []string, attr *syscall.ProcAttr) (pid, host int, err error) {
	pidfd := -1
	attr.Sys.PidFD = &pidfd
	if f.v2 != nil {
		attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, int(f.v2.Fd())
	}
	pid, err = f.limited(func() (int, error) { return syscall.ForkExec(path, argv, attr) })
	if err == nil && pidfd >= 0 {
		host = f.hostPID(pidfd)
		unix.Close(pidfd)
	}
	return pid, host, err
}

// ownThreads is how many threads of the supervisor the kernel counts, at most, along with the session's.
const ownThreads = 16

// limited runs fork with what stands in for cgroup limits that this box does not let us set. The number
// of processes is limited before there is one that could make others. Memory is limited right after: such
// a limit could end the supervisor.
func (f *forker) limited(fork func() (int, error)) (int, error) {
	if n := f.rec.RlimitProc; n > 0 {
		var own unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_NPROC, &own); err != nil {
			return 0, err
		}
		low := unix.Rlimit{Cur: min(own.Max, uint64(n+ownThreads)), Max: own.Max}
		if err := unix.Setrlimit(unix.RLIMIT_NPROC, &low); err != nil {
			return 0, err
		}
		defer func() { _ = unix.Setrlimit(unix.RLIMIT_NPROC, &own) }()
	}
	pid, err := fork()
	if err != nil {
		return 0, err
	}
	for resource, n := range map[int]int64{unix.RLIMIT_DATA: f.rec.RlimitData, unix.RLIMIT_NPROC: f.rec.RlimitProc} {
		if resource == unix.RLIMIT_NPROC {
			n += ownThreads * min(n, 1)
		}
		if n > 0 { // also what it may raise it to
			_ = unix.Prlimit(pid, resource, &unix.Rlimit{Cur: uint64(n), Max: uint64(n)}, nil)
		}
	}
	return pid, nil
}

// hostPID asks the box's /proc for the process id behind a pidfd; 0 when it does not say.
func (f *forker) hostPID(pidfd int) int {
	b, err := readAt(f.proc, fmt.Sprintf("self/fdinfo/%d", pidfd))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(b) {
		if text, found := strings.CutPrefix(line, "Pid:"); found {
			var pid int
			_, _ = fmt.Sscan(text, &pid)
			return max(0, pid)
		}
	}
	return 0
}

func readAt(dir int, path string) (string, error) {
	fd, err := unix.Openat(dir, path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	b := make([]byte, 4096)
	n, err := unix.Read(fd, b)
	return string(b[:max(0, n)]), err
}
