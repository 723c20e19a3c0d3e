package containerdtest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// What tells a test program what it is.
const (
	within = "PALISADE_TEST_WITHIN" // the value says what
	first  = "first process"
	tests  = "tests"
)

// Main is a TestMain. It runs the tests once more, in a PID, a mount and a network namespace of their own, with
// /run and /var/tmp in memory and loopback up. When the tests end, however they end, all that they have started
// ends with the namespace.
func Main(m *testing.M) {
	switch os.Getenv(within) {
	case tests:
		runBeside()
		os.Exit(m.Run())
	case first:
		os.Exit(reap())
	}
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "these tests need root: containerd does")
		os.Exit(1)
	}
	cmd := again(first)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNET, Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL,
	}
	os.Exit(exitCode(cmd.Run()))
}

// atOnce is how many parallel tests run at once where the command line does not say: they wait for containerd, runc
// and the disk for most of their time.
const atOnce = "8"

func runBeside() {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		_ = flag.Set("test.parallel", atOnce) // it is the testing package's own, and takes numbers
	}
}

func again(as string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), within+"="+as)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd
}

func exitCode(err error) int {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "tests in namespaces of their own:", err)
		return 1
	}
	return 0
}

// reap is the namespace's first process: it runs the tests, and buries whoever loses its parent.
func reap() int {
	if err := furnish(); err != nil {
		fmt.Fprintln(os.Stderr, "tests in namespaces of their own:", err)
		return 1
	}
	cmd := again(tests)
	if err := cmd.Start(); err != nil {
		return exitCode(err)
	}
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return exitCode(err)
		case pid == cmd.Process.Pid && status.Exited():
			return status.ExitStatus()
		case pid == cmd.Process.Pid:
			return 128 + int(status.Signal())
		}
	}
}

func furnish() error {
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	for _, dir := range []string{"/run", "/var/tmp"} {
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=0755"); err != nil {
			return fmt.Errorf("mounting %s: %w", dir, err)
		}
	}
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		return fmt.Errorf("bringing loopback up: %w", err)
	}
	return nil
}

// contextOf is one that a test's cleanup may use: its own has ended by then.
func contextOf(t testing.TB) context.Context { return context.WithoutCancel(t.Context()) }
