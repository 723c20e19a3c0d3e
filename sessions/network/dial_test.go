package network_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/palisade-run/palisade/sessions/network"
)

func TestDialReachesTheLoopbackOfASession(t *testing.T) {
	n := open(t, network.Config{})
	a, b := create(t, n, "a"), create(t, n, "b")
	serve(t, a, "127.0.0.1:8000", "four")
	serve(t, a, "[::1]:8001", "six")
	dial := func(path string, port int) (string, error) {
		c, err := network.Dial(t.Context(), path, port)
		if err != nil {
			return "", err
		}
		defer c.Close()
		text, err := io.ReadAll(c)
		return string(text), err
	}
	for port, want := range map[int]string{8000: "four", 8001: "six"} {
		if got, err := dial(a.Path, port); got != want || err != nil {
			t.Errorf("%d: %q, %v", port, got, err)
		}
		if _, err := dial(b.Path, port); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%d of another: %v", port, err)
		}
	}
	if _, err := dial("/proc/thread-self/ns/net", 8000); !errors.Is(err, network.ErrShared) {
		t.Errorf("our own: %v", err)
	}
	if _, err := dial(a.Path+"-none", 8000); err == nil {
		t.Error("a namespace that is not there was entered")
	}
}

// TestDialIsBounded: nobody takes connections, the kernel's queue is full, and no thread waits.
func TestDialIsBounded(t *testing.T) {
	n := open(t, network.Config{})
	a := create(t, n, "a")
	fd := -1
	err := network.Enter(a.Path, func() (err error) {
		if fd, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0); err != nil {
			return err
		}
		if err := syscall.Bind(fd, &syscall.SockaddrInet4{Port: 8000, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
			return err
		}
		return syscall.Listen(fd, 0)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	results := make(chan error)
	for range 20 {
		go func() {
			c, err := network.Dial(ctx, a.Path, 8000)
			if err == nil {
				t.Cleanup(func() { c.Close() })
			}
			results <- err
		}()
	}
	late := 0
	for range 20 {
		if err := <-results; errors.Is(err, context.DeadlineExceeded) {
			late++
		} else if err != nil {
			t.Error(err)
		}
	}
	if late == 0 {
		t.Error("every connection stood at once")
	}
}

// TestDialWhileThreadsAreInside: whichever threads are inside of the session just now, it is never taken for the box.
func TestDialWhileThreadsAreInside(t *testing.T) {
	n := open(t, network.Config{})
	a := create(t, n, "a")
	inside, leave := make(chan struct{}), make(chan struct{})
	var threads sync.WaitGroup
	defer threads.Wait()
	defer close(leave)
	for range 32 { // more than there are idle threads, so that the first one is among them
		threads.Go(func() {
			err := network.Enter(a.Path, func() error {
				inside <- struct{}{}
				<-leave
				return nil
			})
			if err != nil {
				t.Error(err)
				inside <- struct{}{}
			}
		})
		<-inside
		if _, err := network.Dial(t.Context(), a.Path, 8000); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatal(err)
		}
	}
}

func BenchmarkDial(b *testing.B) {
	n, err := network.Open(network.Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer n.Close()
	defer func() { _ = n.Destroy() }()
	a, err := n.Create("a")
	if err != nil {
		b.Fatal(err)
	}
	var l net.Listener
	if err := network.Enter(a.Path, func() (err error) {
		l, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(8000)))
		return err
	}); err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	for b.Loop() {
		c, err := network.Dial(b.Context(), a.Path, 8000)
		if err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
}
