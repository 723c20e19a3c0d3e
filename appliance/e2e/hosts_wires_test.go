package e2e_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// lan is a switch with places on wires.
type lan struct {
	t       *testing.T
	bridge  string
	disks   bool   // each box has one of its own
	runtime string // of the boxes; "": plain processes
	places  []*place
}

// place is a network namespace on a wire to a switch that can be cut.
type place struct {
	net       *lan
	name      string
	number    int
	namespace string
	wire      string // the end of it that is at the switch
	slow      *slowWire
}

// ip runs the tool of that name.
func ip(t testing.TB, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// namespaces are those of places, by the process that made them.
var namespaces = regexp.MustCompile(`^pal([0-9]+)-[0-9]+$`)

// newLAN makes a switch. Namespaces of tests that were killed are removed.
func newLAN(t *testing.T) *lan {
	t.Helper()
	old, _ := filepath.Glob("/run/netns/pal*")
	for _, path := range old {
		if of := namespaces.FindStringSubmatch(filepath.Base(path)); of != nil {
			if _, err := os.Stat("/proc/" + of[1]); err != nil {
				_ = exec.Command("ip", "netns", "del", of[0]).Run() // another one that begins now may have been first
			}
		}
	}
	n := &lan{t: t, bridge: fmt.Sprintf("sw%d", os.Getpid()%100000)}
	ip(t, "link", "add", n.bridge, "type", "bridge")
	t.Cleanup(func() { ip(t, "link", "del", n.bridge) })
	ip(t, "link", "set", n.bridge, "up")
	return n
}

// placed is how many places were made: those of before may be there still while the kernel takes them away.
var placed atomic.Int32

// place makes another one.
func (n *lan) place(name string) *place {
	t, i := n.t, placed.Add(1)
	t.Helper()
	p := &place{net: n, name: name, number: len(n.places) + 1, namespace: fmt.Sprintf("pal%d-%d", os.Getpid(), i), wire: fmt.Sprintf("w%d-%d", os.Getpid()%100000, i)}
	ip(t, "netns", "add", p.namespace)
	t.Cleanup(func() { ip(t, "netns", "del", p.namespace) })
	ip(t, "link", "add", p.wire, "type", "veth", "peer", "name", "eth0", "netns", p.namespace)
	ip(t, "link", "set", p.wire, "master", n.bridge, "up")
	ip(t, "-n", p.namespace, "addr", "add", p.address()+"/24", "dev", "eth0")
	ip(t, "-n", p.namespace, "link", "set", "eth0", "up")
	ip(t, "-n", p.namespace, "link", "set", "lo", "up")
	n.places = append(n.places, p)
	return p
}

func (p *place) address() string { return fmt.Sprintf("10.88.7.%d", p.number) }

func (p *place) others() []*place {
	return slices.DeleteFunc(slices.Clone(p.net.places), func(o *place) bool { return o == p })
}

// cut takes the wire out of the switch, or puts it in again.
func (p *place) cut(is bool) {
	p.net.t.Helper()
	ip(p.net.t, "link", "set", p.wire, map[bool]string{true: "down", false: "up"}[is])
}

// astray sends what one says to another into the void.
func (p *place) astray(to *place, is bool) {
	p.net.t.Helper()
	if is {
		ip(p.net.t, "-n", p.namespace, "neigh", "replace", to.address(), "lladdr", "02:00:00:00:00:99", "dev", "eth0", "nud", "permanent")
		return
	}
	ip(p.net.t, "-n", p.namespace, "neigh", "del", to.address(), "dev", "eth0")
}

// mute lets nothing that is said here get to the others, and deaf nothing that they say get here.
func (p *place) mute(is bool) {
	for _, o := range p.others() {
		p.astray(o, is)
	}
}

func (p *place) deaf(is bool) {
	for _, o := range p.others() {
		o.astray(p, is)
	}
}

// within dials as a program in a network namespace does.
func within(namespace string) dialer {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		type dialled struct {
			conn net.Conn
			err  error
		}
		done := make(chan dialled, 1)
		go func() {
			runtime.LockOSThread() // the thread ends with the goroutine
			f, err := os.Open("/run/netns/" + namespace)
			if err != nil {
				done <- dialled{nil, err}
				return
			}
			defer f.Close()
			if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
				done <- dialled{nil, err}
				return
			}
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				done <- dialled{nil, err}
				return
			}
			at, err := net.ResolveTCPAddr(network, address)
			if err == nil {
				err = unix.Connect(fd, &unix.SockaddrInet4{Port: at.Port, Addr: [4]byte(at.IP.To4())})
			}
			file := os.NewFile(uintptr(fd), address)
			defer file.Close()
			if err != nil {
				done <- dialled{nil, err}
				return
			}
			conn, err := net.FileConn(file)
			done <- dialled{conn, err}
		}()
		select {
		case d := <-done:
			return d.conn, d.err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
