package process_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/palisade-run/palisade/sessions/process"
)

// What TestMain tells the tests about how they run.
const (
	within       = "PALISADE_TEST_WITHIN_NAMESPACES"
	mapped       = "PALISADE_TEST_MAPPED_ROOT"  // root of a user namespace only
	unprivileged = "PALISADE_TEST_UNPRIVILEGED" // root of nothing
)

// TestMain is four programs: the supervisor that the runtime starts; a daemon to be killed; a listener for
// sessions; and the
// tests, run once more in a network and a mount namespace of their own, so that nothing that they make
// is ever seen by the box.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "supervise" {
		syscall.Exit(process.SuperviseMain(os.Args[2:])) // os.Exit takes a second under the race detector
	}
	if len(os.Args) > 2 && os.Args[1] == "daemon" {
		daemonForever(os.Args[2])
	}
	if len(os.Args) > 3 && os.Args[1] == "listen" {
		listenForever(os.Args[2], os.Args[3])
	}
	if os.Getenv(unprivileged) != "" {
		os.Exit(m.Run())
	}
	if os.Getenv(within) != "" {
		if err := loopbackUp(); err != nil {
			fmt.Fprintln(os.Stderr, "bringing loopback up:", err)
			os.Exit(2)
		}
		os.Exit(m.Run())
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), within+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET, Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL,
	}
	if os.Geteuid() != 0 {
		cmd.Env = append(cmd.Env, mapped+"=1")
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "tests in namespaces of their own:", err)
		os.Exit(1)
	}
}

func loopbackUp() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(lo)
}

func listenForever(port, text string) {
	l, err := net.Listen("tcp", ":"+port)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for {
		c, err := l.Accept()
		if err != nil {
			os.Exit(1)
		}
		_, _ = c.Write([]byte(text))
		c.Close()
	}
}
