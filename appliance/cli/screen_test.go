package cli

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/appliance/api"
)

// TestAPanicGivesTheTerminalBack: a mistake of ours must not leave a person with a terminal that does not echo.
func TestAPanicGivesTheTerminalBack(t *testing.T) {
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	defer slave.Close()
	go func() {
		for buffer := make([]byte, 4096); ; {
			if _, err := master.Read(buffer); err != nil {
				return
			}
		}
	}()
	client, err := api.NewClient(api.Options{Host: "unix:///nowhere/at/all.sock"})
	if err != nil {
		t.Fatal(err)
	}
	before, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	var calls atomic.Int32
	a := &app{now: func() time.Time {
		if calls.Add(1) > 1 { // the first is that of one goroutine, the second that of another
			panic("wanted by the test")
		}
		return time.Now()
	}}
	a.LookupEnv = func(string) (string, bool) { return "", false }
	got := func() (v any) {
		defer func() { v = recover() }()
		return a.topLive(t.Context(), newLooker(client), &screen{in: slave, out: slave}, leastInterval)
	}()
	if got != "wanted by the test" {
		t.Errorf("ended with %v", got)
	}
	after, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	if *after != *before {
		t.Errorf("the terminal was %+v and is %+v", *before, *after)
	}
}

func TestRedraw(t *testing.T) {
	if got, want := redraw("a\nb\nc", 2), "\x1b[Ha\x1b[K\r\nb\x1b[K\x1b[J"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
