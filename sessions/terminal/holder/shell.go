package holder

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// drain is how long what a shell left running may hold on to what it has shown last.
const drain = 500 * time.Millisecond

// openTerminal makes a terminal of the session's own.
func openTerminal(size Window) (ours, theirs *os.File, err error) {
	ours, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("making a terminal: %w", err)
	}
	n := 0
	err = control(ours, func(fd int) (err error) {
		if n, err = unix.IoctlGetInt(fd, unix.TIOCGPTN); err != nil {
			return err
		}
		return unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	})
	if err == nil {
		err = setSize(ours, size)
	}
	if err == nil {
		theirs, err = openBlocking(fmt.Sprintf("/dev/pts/%d", n))
	}
	if err != nil {
		ours.Close()
		return nil, nil, fmt.Errorf("making a terminal: %w", err)
	}
	return ours, theirs, nil
}

// openBlocking opens a file as programs expect to find it.
func openBlocking(name string) (*os.File, error) {
	fd, err := unix.Open(name, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

func setSize(terminal *os.File, size Window) error {
	if size == (Window{}) {
		return nil
	}
	return control(terminal, func(fd int) error {
		return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: size.Rows, Col: size.Columns})
	})
}

// control leaves the file to Go's poller, as Fd would not: then a read of it can be ended.
func control(f *os.File, do func(fd int) error) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var done error
	if err := c.Control(func(fd uintptr) { done = do(int(fd)) }); err != nil {
		return err
	}
	return done
}

// startShell starts the first of those that can be started: the user's own, bash, sh, ash.
func startShell(terminal *os.File) (*exec.Cmd, error) {
	var errs []error
	for _, name := range []string{os.Getenv("SHELL"), "bash", "sh", "ash"} {
		if name == "" {
			continue
		}
		c := exec.Command(name) //nolint:gosec,noctx // the shell that its own user asks for, for as long as that goes on
		c.Stdin, c.Stdout, c.Stderr = terminal, terminal, terminal
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
		err := c.Start()
		if err == nil {
			return c, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// run runs a shell on h until it has ended, or hang says so, and returns what says so to those who watch.
func run(h *Held, size Window, hang <-chan os.Signal) (tell func()) {
	ours, theirs, err := openTerminal(size)
	if err != nil {
		return func() { h.Fail(FailedElse, err.Error()) }
	}
	defer ours.Close()
	shell, err := startShell(theirs)
	theirs.Close()
	if err != nil {
		return func() { h.Fail(FailedNoShell, err.Error()) }
	}
	shown := make(chan struct{})
	go func() {
		defer close(shown)
		_, _ = io.CopyBuffer(h, struct{ io.Reader }{ours}, make([]byte, 32<<10)) // fails with EIO once nobody has it open
	}()
	go func() {
		_, _ = io.CopyBuffer(struct{ io.Writer }{ours}, struct{ io.Reader }{h}, make([]byte, MaxFrame))
	}()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = shell.Wait() // how it ended is in its state
	}()
	for over := false; !over; {
		select {
		case size := <-h.Sizes():
			_ = setSize(ours, size)
		case <-hang:
			ours.Close() // the kernel hangs up all that has it
			hang = nil
		case <-ended:
			over = true
		}
	}
	h.Ending()
	_ = ours.SetReadDeadline(time.Now().Add(drain))
	<-shown
	status, _ := shell.ProcessState.Sys().(syscall.WaitStatus)
	return func() { h.Exit(status) }
}
