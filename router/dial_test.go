package router

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// crowded is a listener whose queue is full: the kernel answers nobody until accept is called.
func crowded(t *testing.T) (at netip.AddrPort, accept func()) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	at = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(name.(*unix.SockaddrInet4).Port))
	for range 10 {
		s, made, err := connect(at)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		if !made {
			return at, func() {
				var accepting sync.WaitGroup
				accepting.Go(func() { // whoever asked before has its turn too
					for {
						c, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC)
						if err != nil {
							return
						}
						t.Cleanup(func() { _ = unix.Close(c) })
					}
				})
				t.Cleanup(func() {
					_ = unix.Shutdown(fd, unix.SHUT_RDWR)
					accepting.Wait()
				})
			}
		}
	}
	t.Fatal("the queue has no end")
	return at, nil
}

func TestConnectIsMadeAtOnce(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		s, made, err := connect(netip.MustParseAddrPort(l.Addr().String()))
		if err != nil || !made {
			t.Fatalf("%s: %v %v", address, made, err)
		}
		defer s.Close()
		other, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		if _, err := s.Write([]byte("question")); err != nil {
			t.Fatal(err)
		}
		if err := s.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(other); string(got) != "question" || err != nil {
			t.Errorf("%q %v", got, err)
		}
		if s.RemoteAddr().String() != l.Addr().String() {
			t.Errorf("it is connected to %s", s.RemoteAddr())
		}
	}
}

func TestConnectIsRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddrPort(l.Addr().String())
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if s, made, err := connect(at); s != nil || made || !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("%v %v %v", s, made, err)
	}
}

func TestConnectWaits(t *testing.T) {
	at, accept := crowded(t)
	begin := func() *socket {
		s, made, err := connect(at)
		if err != nil || made {
			t.Fatalf("%v %v", made, err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	if err := begin().await(t.Context(), 10*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("longer than it may: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	s := begin()
	go func() { ended <- s.await(ctx, time.Hour) }()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	s = begin()
	accept()
	if err := s.await(t.Context(), time.Minute); err != nil {
		t.Error(err)
	}
	if _, err := s.Write([]byte("x")); err != nil {
		t.Error(err)
	}
}

// A connection that is not made yet ends soon after its route has left the table.
func TestConnectEndsWithItsRoute(t *testing.T) {
	at, _ := crowded(t)
	up := newUpstream(at.String(), Config{}.withDefaults(), &buffers{}, newDepartures())
	ended := make(chan error)
	go func() {
		_, err := up.connect(func() context.Context { return t.Context() })
		ended <- err
	}()
	up.leave()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
