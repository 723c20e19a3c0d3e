package door_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster/door"
	"github.com/palisade-run/palisade/appliance/cluster/door/doortest"
	"github.com/palisade-run/palisade/appliance/cluster/trust"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/runtimetest"
)

var silent = slog.New(slog.DiscardHandler)

// Who shows no certificate may ask to join, and nothing else.
func TestStrangers(t *testing.T) {
	p := doortest.New(t, door.Rooms{
		Box: box{runtimetest.NewFake()}, Front: http.NotFoundHandler(), Goods: http.NotFoundHandler(),
		Reach: func(context.Context, string, int) (string, error) { return "127.0.0.1", nil },
	})
	stranger := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}}}
	for _, path := range []string{"/", "/api/v1/sessions", "/door/1/ping", "/door/1/sessions/a/exec", "/door/1/sessions/a/ports/80", "/goods/x", "/door/1/load"} {
		r, _ := http.NewRequest(http.MethodGet, "https://"+p.At+path, nil)
		r.Header.Set("Palisade-Front", "10.0.0.1:1")
		r.Header.Set("Palisade-Front-User", "root")
		answer, err := stranger.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if answer.StatusCode != http.StatusUnauthorized || !strings.Contains(string(text), "other boxes") || !answer.Close {
			t.Errorf("%s: %s %s", path, answer.Status, text)
		}
	}
	for _, body := range []string{"", "{}", "not JSON", strings.Repeat("x", trust.LongestRequest+1), `{"token_id":"x","unknown":1}`} {
		answer, err := stranger.Post("https://"+p.At+"/door/1/join", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusForbidden {
			t.Errorf("%.20q: %s", body, answer.Status)
		}
	}
}

// Who was removed is refused with the next request, and what it has open is cut off.
func TestRemoved(t *testing.T) {
	fake := started(t)
	running := make(chan struct{})
	over := make(chan error, 1)
	fake.OnExec(func(_ string, cmd sessions.ExecSpec) (sessions.Exit, error) {
		close(running)
		_, err := io.ReadAll(cmd.Stdin)
		over <- err
		return sessions.Exit{}, err
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	p := doortest.New(t, door.Rooms{
		Box: box{fake}, Reach: func(context.Context, string, int) (string, error) { return "127.0.0.1", nil },
	})
	tunnel, err := p.Client.Dial(t.Context(), "one", "a", port)
	if err != nil {
		t.Fatal(err)
	}
	defer tunnel.Close()
	stdin, typed := io.Pipe()
	defer typed.Close()
	ran := make(chan error, 1)
	go func() {
		_, err := p.Client.Box("one").Exec(t.Context(), "a", sessions.ExecSpec{Argv: []string{"x"}, Stdin: stdin})
		ran <- err
	}()
	<-running
	if err := p.Client.Tell(t.Context(), "one", door.Load{}); !errors.Is(err, door.ErrNotReady) {
		t.Errorf("%v", err)
	}
	hostport := strings.TrimPrefix(p.At, "https://")
	if _, err := door.AskWay(t.Context(), p.Two, hostport); !errors.Is(err, door.ErrNotReady) { // this one knows of no way
		t.Errorf("one that is of the cluster: %v", err)
	}
	p.Remove()
	if _, err := door.AskWay(t.Context(), p.Two, hostport); !errors.Is(err, trust.ErrRemoved) {
		t.Errorf("one that was removed: %v", err)
	}
	if err := p.Client.Tell(t.Context(), "one", door.Load{}); !errors.Is(err, door.ErrNotPeer) {
		t.Errorf("the next request: %v", err)
	}
	if _, err := p.Client.Dial(t.Context(), "one", "a", port); err == nil {
		t.Error("it still connects")
	}
	if n, err := tunnel.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("what is open: %d, %v", n, err)
	}
	if err := <-over; err == nil {
		t.Error("its command reads on")
	}
	if err := <-ran; !errors.Is(err, door.ErrAway) {
		t.Errorf("%v", err)
	}
}

// A box that this one does not know any more is told nothing, over what is open neither.
func TestForgotten(t *testing.T) {
	heard := 0
	p := doortest.New(t, door.Rooms{Hear: func(string, door.Load) error { heard++; return nil }})
	if err := p.Client.Tell(t.Context(), "one", door.Load{Revision: 1}); err != nil {
		t.Fatal(err)
	}
	p.Forget()
	if err := p.Client.Tell(t.Context(), "one", door.Load{Revision: 2}); !errors.Is(err, doortest.ErrUnknown) || heard != 1 {
		t.Errorf("%v, %d", err, heard)
	}
}

// Who only connects, again and again, keeps nobody out who is known, and goes away in the end.
func TestManyWhoSayNothing(t *testing.T) {
	p := doortest.New(t, door.Rooms{Hear: func(string, door.Load) error { return nil }})
	if err := p.Client.Tell(t.Context(), "one", door.Load{}); err != nil {
		t.Fatal(err)
	}
	var mute []net.Conn
	for range 400 {
		c, err := net.Dial("tcp", p.At)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		mute = append(mute, c)
	}
	if err := p.Client.Tell(t.Context(), "one", door.Load{}); err != nil {
		t.Errorf("who is known: %v", err)
	}
	if _, err := mute[len(mute)-1].Read(make([]byte, 1)); err == nil { // there are too many of that address
		t.Error("it is listened to")
	}
	for _, c := range mute {
		c.Close()
	}
	var all sync.WaitGroup
	for range 100 { // more than may be connecting at once
		all.Go(func() {
			for {
				err := p.Client.Tell(t.Context(), "one", door.Load{})
				if err == nil {
					return
				}
				if !errors.Is(err, door.ErrAway) { // until the gate has seen that they are gone
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

// A box that plays tricks with the frames of a command is cut off.
func TestFramesThatAreNone(t *testing.T) {
	fake := started(t)
	ended := make(chan error, 1)
	fake.OnExec(func(_ string, cmd sessions.ExecSpec) (sessions.Exit, error) {
		_, err := io.ReadAll(&slow{cmd.Stdin})
		ended <- err
		return sessions.Exit{}, err
	})
	for name, said := range map[string][]byte{
		"more than was allowed": append(frame('q', `{"argv":["x"],"stdin":true}`), frame('i', strings.Repeat("x", 900<<10))...),
		"a length of no bounds": append(frame('q', `{"argv":["x"],"stdin":true}`), 'i', 0xff, 0xff, 0xff, 0xff),
		"a window of nothing":   append(frame('q', `{"argv":["x"],"stdin":true}`), frame('w', "")...),
	} {
		t.Run(name, func(t *testing.T) {
			p := doortest.New(t, door.Rooms{Box: box{fake}})
			c, err := tls.Dial("tcp", p.At, p.Two.DoorClient("one"))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_, _ = io.WriteString(c, "GET /door/1/sessions/a/exec HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: palisade-exec/1\r\n\r\n")
			go func() { _, _ = c.Write(said) }()
			_, _ = io.Copy(io.Discard, c)
			if err := <-ended; err == nil {
				t.Error("the command took it for the end of its input")
			}
		})
	}
}

func frame(kind byte, body string) []byte {
	n := len(body)
	return append([]byte{kind, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, body...)
}

// slow reads a byte at a time.
type slow struct{ io.Reader }

func (s *slow) Read(p []byte) (int, error) { return s.Reader.Read(p[:1]) }

// Who says that there is more to come, and sends nothing, is not waited for.
func TestAStrangerWhoKeepsABodyBack(t *testing.T) {
	p := doortest.New(t, door.Rooms{})
	for _, head := range []string{"POST /x", "PUT /door/1/join"} {
		c, err := tls.Dial("tcp", p.At, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		if _, err := io.WriteString(c, head+" HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(patience))
		answer, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if answer.StatusCode/100 != 4 {
			t.Errorf("%s: %s", head, answer.Status)
		}
		if _, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: it is waited for", head)
		}
	}
}
