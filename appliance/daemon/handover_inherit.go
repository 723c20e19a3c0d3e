package daemon

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// What one process leaves to the next, as systemd's protocol of socket activation has it: open descriptors from
// 3 on, their number and their names. systemd says for whom they are by LISTEN_PID; a daemon cannot know its
// successor's process number before that one runs, and names itself instead.
const (
	listenPID   = "LISTEN_PID"
	listenFDs   = "LISTEN_FDS"
	listenNames = "LISTEN_FDNAMES"
	fromVar     = "PALISADE_TAKES_OVER_FROM"

	firstFD     = 3
	controlName = "palisade-control"
	lockName    = "palisade-lock"
	mostFDs     = 64
)

// inheritance is what this process was started with.
type inheritance struct {
	control   *os.File // the line to the daemon that started this one; nil: nobody, or systemd
	lock      *os.File // the data directory's, held by both
	listeners []*os.File
}

// inherited names the descriptors that were left to a process, from firstFD on. None where they are somebody else's:
// variables may come down from a process before the one that started us.
func inherited(getenv func(string) string, pid, parent int) (names []string, fromDaemon bool, err error) {
	if getenv(listenFDs) == "" {
		return nil, false, nil
	}
	fromDaemon = getenv(fromVar) == strconv.Itoa(parent)
	if !fromDaemon && getenv(listenPID) != strconv.Itoa(pid) {
		return nil, false, nil
	}
	n, err := strconv.Atoi(getenv(listenFDs))
	if err != nil || n < 0 || n > mostFDs {
		return nil, false, fmt.Errorf("%s=%q is no number of descriptors", listenFDs, getenv(listenFDs))
	}
	names = make([]string, n)
	for i, name := range strings.SplitN(getenv(listenNames), ":", n+1) {
		if i < n {
			names[i] = name
		}
	}
	return names, fromDaemon, nil
}

// inherit takes what was left to this process, and sees to it that nobody gets it from us unasked: neither sessions nor
// what they run.
func inherit() (in inheritance, err error) {
	names, fromDaemon, err := inherited(os.Getenv, os.Getpid(), os.Getppid())
	for _, name := range []string{listenPID, listenFDs, listenNames, fromVar} {
		err = errors.Join(err, os.Unsetenv(name))
	}
	if err != nil {
		return in, fmt.Errorf("taking over open sockets: %w", err)
	}
	for i, name := range names {
		fd := firstFD + i
		unix.CloseOnExec(fd)
		file := os.NewFile(uintptr(fd), name)
		switch {
		case file == nil:
			return in, fmt.Errorf("taking over open sockets: descriptor %d (%s) is none", fd, name)
		case fromDaemon && name == controlName:
			in.control = file
		case fromDaemon && name == lockName:
			in.lock = file
		default:
			in.listeners = append(in.listeners, file)
		}
	}
	return in, nil
}

// bequeath is the environment, beside the own, of a process that gets named descriptors from firstFD on.
func bequeath(names []string) []string {
	return []string{
		fromVar + "=" + strconv.Itoa(os.Getpid()), listenFDs + "=" + strconv.Itoa(len(names)), listenNames + "=" + strings.Join(names, ":"),
	}
}

// open makes listeners of what was left, and closes the descriptors.
func (in *inheritance) open() (ports, sockets []net.Listener, err error) {
	for _, file := range in.listeners {
		l, err := net.FileListener(file)
		if err = errors.Join(err, file.Close()); err != nil {
			return nil, nil, fmt.Errorf("taking over the socket %s: %w", file.Name(), err)
		}
		switch l.(type) {
		case *net.TCPListener:
			ports = append(ports, l)
		case *net.UnixListener:
			sockets = append(sockets, l)
		default:
			return nil, nil, fmt.Errorf("taking over the socket %s: %s is neither TCP nor a unix socket", file.Name(), l.Addr().Network())
		}
	}
	in.listeners = nil
	return ports, sockets, nil
}
