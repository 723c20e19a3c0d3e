package relay_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/appliance/cluster/door"
	"github.com/palisade-run/palisade/appliance/cluster/door/doortest"
	"github.com/palisade-run/palisade/appliance/cluster/relay"
)

// far is a session on box one, reached from box two.
type far struct {
	testing.TB
	pair    *doortest.Pair
	relays  *relay.Relays
	at      string // on two
	session string // its own address, on one
}

// newFar has every connection to the session served by serve.
func newFar(t testing.TB, serve func(*net.TCPConn)) *far {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.AcceptTCP()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				serve(c)
			})
		}
	})
	t.Cleanup(all.Wait)
	t.Cleanup(func() { l.Close() })
	f := &far{TB: t, session: l.Addr().String()}
	f.pair = doortest.New(t, door.Rooms{Reach: func(_ context.Context, session string, _ int) (string, error) {
		if session != "a" {
			return "", errors.New("no such session")
		}
		return "127.0.0.1", nil
	}})
	f.relays = relay.New(f.pair.Client.Dial, slog.New(slog.DiscardHandler))
	t.Cleanup(f.relays.Close)
	f.at = f.address(l.Addr().(*net.TCPAddr).Port)
	return f
}

func (f *far) address(port int) string {
	f.Helper()
	at, err := f.relays.Address(relay.Target{Node: "one", Session: "a", Port: port})
	if err != nil {
		f.Fatal(err)
	}
	return at
}

func (f *far) connect() *net.TCPConn {
	f.Helper()
	c, err := net.Dial("tcp", f.at)
	if err != nil {
		f.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	f.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

func echo(c *net.TCPConn) {
	_, _ = io.Copy(c, c)
	_ = c.CloseWrite()
}

// Many at once do not get what is others'.
func TestManyAtOnce(t *testing.T) {
	f := newFar(t, echo)
	var all sync.WaitGroup
	for i := range 64 {
		all.Go(func() {
			random := rand.NewChaCha8([32]byte{byte(i)})
			said := make([]byte, 1+int(random.Uint64()%300_000))
			_, _ = random.Read(said)
			c := f.connect()
			go func() {
				_, _ = c.Write(said)
				_ = c.CloseWrite()
			}()
			if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, said) {
				t.Errorf("%d: %d bytes of %d, %v", i, len(got), len(said), err)
			}
		})
	}
	all.Wait()
}

// Either side may have said all it has to say, and hear on.
func TestHalfClose(t *testing.T) {
	f := newFar(t, func(c *net.TCPConn) {
		asked, _ := io.ReadAll(c)
		_, _ = fmt.Fprintf(c, "%d bytes", len(asked))
	})
	c := f.connect()
	if _, err := io.WriteString(c, "asked"); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(c); err != nil || string(got) != "5 bytes" {
		t.Errorf("%q, %v", got, err)
	}

	heard := make(chan string, 1)
	f = newFar(t, func(c *net.TCPConn) {
		_, _ = io.WriteString(c, "all there is")
		_ = c.CloseWrite()
		rest, _ := io.ReadAll(c)
		heard <- string(rest)
	})
	c = f.connect()
	if got, err := io.ReadAll(c); err != nil || string(got) != "all there is" {
		t.Errorf("%q, %v", got, err)
	}
	_, _ = io.WriteString(c, "and this")
	_ = c.Close()
	if got := <-heard; got != "and this" {
		t.Errorf("%q", got)
	}
}

// Nothing waits for more to come: the next word is said when the one before was heard.
func TestNothingIsHeldBack(t *testing.T) {
	f := newFar(t, echo)
	c := f.connect()
	word := make([]byte, 1)
	for i := range 500 {
		word[0] = byte(i)
		if _, err := c.Write(word); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, word); err != nil || word[0] != byte(i) {
			t.Fatalf("%d: %v, %v", i, word, err)
		}
	}
}

// How the far side ends is how the near one sees it.
func TestHowItEnds(t *testing.T) {
	read := func(c *net.TCPConn) { _, _ = io.ReadFull(c, make([]byte, 5)) }
	for name, tc := range map[string]struct {
		serve func(*net.TCPConn)
		said  string
		reset bool // once more was said
	}{
		"without an answer":          {read, "", false},
		"orderly":                    {func(c *net.TCPConn) { read(c); _, _ = io.WriteString(c, "whole") }, "whole", false},
		"reset before an answer":     {func(c *net.TCPConn) { read(c); door.Reset(c) }, "", true},
		"reset in the midst of one":  {func(c *net.TCPConn) { read(c); _, _ = io.WriteString(c, "ha"); read(c); door.Reset(c) }, "ha", true},
		"reset before it asked them": {func(c *net.TCPConn) { door.Reset(c) }, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFar(t, tc.serve)
			c, err := net.Dial("tcp", f.at)
			if err != nil { // the reset may be here before connect has returned
				if !errors.Is(err, syscall.ECONNRESET) || tc.said != "" || !tc.reset {
					t.Error(err)
				}
				return
			}
			defer c.Close()
			_, first := io.WriteString(c, "asked")
			got := make([]byte, len(tc.said))
			if _, err := io.ReadFull(c, got); err != nil || string(got) != tc.said {
				t.Fatalf("%q, %v", got, err)
			}
			var second error
			if tc.reset {
				_, second = io.WriteString(c, "asked")
			}
			_, err = io.ReadFull(c, make([]byte, 1))
			// The kernel says it once, to whoever asks first: a reader after that sees the end.
			if is := errors.Is(errors.Join(first, second, err), syscall.ECONNRESET); is != tc.reset {
				t.Errorf("%v, %v, %v", first, second, err)
			}
		})
	}
}

// A port at which nobody listens is a reset before anything is read: a router may ask elsewhere.
func TestNobodyListens(t *testing.T) {
	f := newFar(t, echo)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.at = f.address(l.Addr().(*net.TCPAddr).Port)
	l.Close()
	c, err := net.Dial("tcp", f.at)
	if err == nil { // the reset may be here before connect has returned
		defer c.Close()
		_, err = c.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%v", err)
	}
}

// When the near side goes, the far one hears of it.
func TestWhoAskedGoes(t *testing.T) {
	ended := make(chan error, 1)
	f := newFar(t, func(c *net.TCPConn) {
		var err error
		for err == nil { // it goes on and on
			_, err = c.Write([]byte(strings.Repeat("token ", 1000)))
		}
		ended <- err
	})
	c := f.connect()
	if _, err := io.ReadFull(c, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if err := <-ended; err == nil {
		t.Error("it was never told")
	}
}

// A box that is gone is one that resets, and one that is back is there again.
func TestGoneAndBack(t *testing.T) {
	f := newFar(t, echo)
	say := func(c net.Conn) error {
		if _, err := io.WriteString(c, "hello"); err != nil {
			return err
		}
		_, err := io.ReadFull(c, make([]byte, 5))
		return err
	}
	open := f.connect()
	if err := say(open); err != nil {
		t.Fatal(err)
	}
	f.pair.Shut()
	if _, err := open.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) { // it is not taken for an orderly end
		t.Errorf("what was open: %v", err)
	}
	c, err := net.Dial("tcp", f.at)
	if err == nil { // the reset may be here before connect has returned
		err = say(c)
		c.Close()
	}
	if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		t.Errorf("while it is gone: %v", err)
	}
	f.pair.Open()
	if err := say(f.connect()); err != nil {
		t.Errorf("when it is back: %v", err)
	}
}

// While an answer is waited for, nobody knows what became of what was asked: that is no reset.
func TestGoneWhileAnAnswerIsWaitedFor(t *testing.T) {
	asked := make(chan struct{})
	f := newFar(t, func(c *net.TCPConn) {
		_, _ = io.ReadFull(c, make([]byte, 5))
		close(asked)
		_, _ = io.Copy(io.Discard, c)
	})
	c := f.connect()
	_, _ = io.WriteString(c, "asked")
	<-asked
	f.pair.Shut()
	if n, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("%d, %v", n, err)
	}
}

// What is not wanted any more is closed; what is under way goes on.
func TestKeep(t *testing.T) {
	f := newFar(t, echo)
	c := f.connect()
	if _, err := io.WriteString(c, "x"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	again := f.address(4711)
	if other := f.address(4711); other != again {
		t.Errorf("%s is %s now", again, other)
	}
	f.relays.Keep(func(t relay.Target) bool { return t.Port == 4711 })
	if still := f.address(4711); still != again {
		t.Errorf("what is wanted is at %s now, and was at %s", still, again)
	}
	if late, err := net.Dial("tcp", f.at); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("%v, %v", late, err)
	}
	if _, err := io.WriteString(c, "y"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Error(err)
	}
	f.relays.Close()
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("it goes on after the end")
	}
	if _, err := f.relays.Address(relay.Target{Node: "one", Session: "a", Port: 1}); err == nil {
		t.Error("there are more after the end")
	}
}

// Another user of this box does not reach sessions of other boxes, whether it waits for an answer or not.
func TestAnotherUserOfThisBox(t *testing.T) {
	if os.Geteuid() != 0 {
		return // nobody else can be played
	}
	var served atomic.Int64
	f := newFar(t, func(c *net.TCPConn) {
		served.Add(1)
		echo(c)
	})
	refused := make(chan error)
	go func() { // the thread ends with it, and takes the user along
		runtime.LockOSThread()
		_ = unix.Setfsuid(65534)
		c, err := net.Dial("tcp4", f.at)
		if err == nil {
			_ = c.SetDeadline(time.Now().Add(time.Minute))
			_, _ = io.WriteString(c, "what is said")
			_, err = c.Read(make([]byte, 1))
			_ = c.Close()
		}
		refused <- err
	}()
	if err := <-refused; !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("it got on: %v", err)
	}
	mine := f.connect()
	if _, err := io.WriteString(mine, "x"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(mine, make([]byte, 1)); err != nil || served.Load() != 1 {
		t.Errorf("this program's own: %v, and %d were served", err, served.Load())
	}
}
