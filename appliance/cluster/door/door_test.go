package door_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster/door"
	"github.com/palisade-run/palisade/appliance/cluster/door/doortest"
	"github.com/palisade-run/palisade/appliance/cluster/trust"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/runtimetest"
	"github.com/palisade-run/palisade/variants"
)

const patience = time.Minute

// box is a fake runtime as all of what is asked of a box.
type box struct{ *runtimetest.Fake }

func (box) CheckImage(image string) error {
	if image == "foreign" {
		return fmt.Errorf("%s: %w", image, sessions.ErrImagePlatform)
	}
	return nil
}

func (box) Commit(_ context.Context, id string, c sessions.Commit, tell func(sessions.Progress)) (sessions.Image, error) {
	tell(sessions.Progress{Done: 1, Total: 2, Message: "half of " + id})
	if c.Image == "taken" {
		return sessions.Image{}, fmt.Errorf("%s: %w", c.Image, sessions.ErrExists)
	}
	return sessions.Image{Name: c.Image, Size: 2}, nil
}

// started is a runtime in which session a runs.
func started(t *testing.T) *runtimetest.Fake {
	t.Helper()
	fake := runtimetest.NewFake()
	_, err := fake.Start(t.Context(), sessions.Spec{ID: "a", Image: "any", Processes: []variants.Process{{Name: "main", Argv: runtimetest.Argv(runtimetest.Forever())}}})
	if err != nil {
		t.Fatal(err)
	}
	return fake
}

func TestJoin(t *testing.T) {
	p := doortest.New(t, door.Rooms{})
	three, token := p.Box("three"), p.Token(false)
	for range 2 {
		if state, err := p.Join(three, token); err != nil || state != trust.Waiting {
			t.Errorf("%s, %v", state, err)
		}
	}
	if err := p.Desk.Approve(t.Context(), "three", "tester"); err != nil {
		t.Fatal(err)
	}
	if state, err := p.Join(three, token); err != nil || state != trust.In {
		t.Errorf("%s, %v", state, err)
	}
}

// Who joins in the wrong way is told what is wrong, and what to do.
func TestJoinWrongly(t *testing.T) {
	p, other := doortest.New(t, door.Rooms{}), doortest.New(t, door.Rooms{})
	people := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(people.Close)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	used := p.Token(true)
	if _, err := p.Join(p.Box("user"), used); err != nil {
		t.Fatal(err)
	}
	unready := doortest.New(t, door.Rooms{})
	unready.Shut()
	notYet, at := listen(t, door.Rooms{Node: unready.One, Version: doortest.Version})
	_ = notYet
	for name, tc := range map[string]struct {
		url, version string
		token        *trust.Token
		name         string
		kind         error
		final        bool
		hint         string
	}{
		"http":                  {url: "http://" + p.At, kind: door.ErrAddress, final: true, hint: "https"},
		"no host":               {url: "https://:8480", kind: door.ErrAddress, final: true, hint: "palisade cluster token"},
		"a path":                {url: "https://" + p.At + "/console", kind: door.ErrAddress, final: true, hint: "palisade cluster token"},
		"the port for people":   {url: people.Listener.Addr().String(), kind: door.ErrAddress, final: true, hint: door.DefaultPort},
		"nobody listens":        {url: closed.Addr().String(), kind: door.ErrAway, hint: "nc -vz"},
		"a name of nobody":      {url: "https://box.invalid", kind: door.ErrAway, hint: "DNS"},
		"another cluster":       {url: other.At, kind: trust.ErrAuthority, final: true, hint: "this cluster"},
		"a token of elsewhere":  {token: new(other.Token(true)), kind: trust.ErrAuthority, final: true, hint: "this cluster"},
		"a token that was used": {token: &used, kind: trust.ErrSpent, final: true, hint: "palisade cluster token"},
		"a name that is taken":  {name: "two", kind: trust.ErrTaken, final: true, hint: "--name"},
		"an old version":        {version: "v1.2.9", final: true, hint: "update"},
		"a later version":       {version: "v2.0.0", final: true, hint: "update"},
		"one that is not ready": {url: at, token: new(unready.Token(true)), kind: door.ErrNotReady, hint: "again"},
	} {
		t.Run(name, func(t *testing.T) {
			asking := door.Asking{Node: p.Box(or(tc.name, "box")), Version: or(tc.version, doortest.Version), Now: time.Now}
			asking.Pending = trust.Pending{URL: or(tc.url, p.At), Token: p.Token(true)}
			if tc.token != nil {
				asking.Pending.Token = *tc.token
			}
			_, err := door.Join(t.Context(), asking)
			var hinted interface{ Hint() string }
			switch {
			case err == nil || tc.kind != nil && !errors.Is(err, tc.kind):
				t.Errorf("%v", err)
			case door.Final(err) != tc.final:
				t.Errorf("final: %t: %v", !tc.final, err)
			case !errors.As(err, &hinted) || !strings.Contains(hinted.Hint(), tc.hint):
				t.Errorf("%v: no hint with %q", err, tc.hint)
			}
		})
	}
}

func or(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

// listen opens a door.
func listen(t *testing.T, rooms door.Rooms) (*door.Server, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := door.NewServer(rooms, silent)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		if err := errors.Join(s.Shutdown(context.Background()), <-done); err != nil {
			t.Error(err)
		}
	})
	return s, l.Addr().String()
}

// Only a session's own ports are reached, wherever the caller would like to go.
func TestDial(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, open, _ := net.SplitHostPort(l.Addr().String())
	asked := make(chan string, 1)
	p := doortest.New(t, door.Rooms{Reach: func(_ context.Context, session string, port int) (string, error) {
		asked <- session + " " + strconv.Itoa(port)
		if session != "a/../b" {
			return "", fmt.Errorf("session %s: %w", session, sessions.ErrNoInstance)
		}
		return "127.0.0.1", nil
	}})
	dial := func(name, session, port string) error {
		c, err := p.Client.Dial(t.Context(), name, session, port)
		if err == nil {
			c.Close()
		}
		return err
	}
	if err := dial("one", "a/../b", open); err != nil || <-asked != "a/../b "+open {
		t.Errorf("%v", err)
	}
	if err := dial("one", "c", "80"); !errors.Is(err, sessions.ErrNoInstance) || <-asked != "c 80" {
		t.Errorf("a session that is not there: %v", err)
	}
	for _, port := range []string{"", "0", "65536", "80/../../x", "localhost:80", "-1", "http"} {
		if err := dial("one", "a/../b", port); err == nil {
			t.Errorf("port %q is reached", port)
		}
	}
	l.Close()
	if err := dial("one", "a/../b", open); !errors.Is(err, syscall.ECONNREFUSED) || <-asked == "" {
		t.Errorf("nobody listens: %v", err)
	}
	if err := dial("other", "a", "80"); !errors.Is(err, doortest.ErrUnknown) {
		t.Errorf("a box that is none: %v", err)
	}
}

// What a box is asked beside what sessions' suite asks.
func TestABoxIsAsked(t *testing.T) {
	fake := started(t)
	p := doortest.New(t, door.Rooms{Box: box{fake}})
	far := p.Client.Box("one")
	if err := far.CheckImage("foreign"); !errors.Is(err, sessions.ErrImagePlatform) {
		t.Errorf("%v", err)
	}
	if err := far.CheckImage("any"); err != nil {
		t.Error(err)
	}
	if err := far.CheckCluster("any"); err != nil {
		t.Error(err)
	}
	var told []sessions.Progress
	tell := func(p sessions.Progress) { told = append(told, p) }
	img, err := far.Commit(t.Context(), "a", sessions.Commit{Image: "mine:1"}, tell)
	if err != nil || img.Name != "mine:1" || img.Size != 2 || len(told) != 1 || told[0].Message != "half of a" {
		t.Errorf("%+v, %v, %+v", img, err, told)
	}
	if _, err := far.Commit(t.Context(), "a", sessions.Commit{Image: "taken"}, tell); !errors.Is(err, sessions.ErrExists) {
		t.Errorf("%v", err)
	}
	fake.OnPull(func(image string) runtimetest.PullResult {
		return runtimetest.PullResult{Progress: []sessions.Progress{{Done: 5, Total: 7}}, Err: fmt.Errorf("%s: %w", image, sessions.ErrNoImage)}
	})
	if err := far.Pull(t.Context(), "x", tell); !errors.Is(err, sessions.ErrNoImage) || told[len(told)-1].Done != 5 {
		t.Errorf("%v, %+v", err, told)
	}
	if _, err := p.Client.Images("one").Images(t.Context()); !errors.Is(err, sessions.ErrNotSupported) {
		t.Errorf("%v", err)
	}
	fake.OnDial(func(id string, port int) (net.Conn, error) {
		if port != 80 {
			return nil, fmt.Errorf("%s: %w", id, sessions.ErrSharedNetwork)
		}
		near, there := net.Pipe()
		go func() {
			_, _ = io.WriteString(there, "inside")
			there.Close()
		}()
		return near, nil
	})
	if _, err := far.Dial(t.Context(), "a", 81); !errors.Is(err, sessions.ErrSharedNetwork) {
		t.Errorf("%v", err)
	}
	c, err := far.Dial(t.Context(), "a", 80)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got, _ := io.ReadAll(c); string(got) != "inside" {
		t.Errorf("%q", got)
	}
}

// An answer that breaks off says that the box is away, whoever reads it.
func TestAnAnswerThatBreaksOff(t *testing.T) {
	p := doortest.New(t, door.Rooms{Goods: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half of ")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://one/goods/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := p.Client.Transport("one").RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if text, err := io.ReadAll(answer.Body); string(text) != "half of " || !errors.Is(err, door.ErrAway) || !errors.Is(err, sessions.ErrRuntimeDown) {
		t.Errorf("%q, %v", text, err)
	}
}

// late is an input of which nothing comes before the command has ended, and much then.
type late struct {
	ended, enough chan struct{}
	n             int
}

func (l *late) Read(p []byte) (int, error) {
	<-l.ended
	if l.n++; l.n == 1000 {
		close(l.enough)
	}
	return 1, nil
}

// What a command wrote last and how it ended arrive, though it is sent input when it has ended, and who asked for it has read little.
func TestTheLastWordsOfACommand(t *testing.T) {
	fake := started(t)
	const pieces, piece = 300, 32 << 10
	in := &late{ended: make(chan struct{}), enough: make(chan struct{})}
	wrote := make(chan struct{}, pieces)
	fake.OnExec(func(_ string, cmd sessions.ExecSpec) (sessions.Exit, error) {
		for range pieces {
			if _, err := cmd.Stdout.Write(make([]byte, piece)); err != nil {
				t.Error(err)
			}
			wrote <- struct{}{}
		}
		close(in.ended)
		return sessions.Exit{Code: 7}, nil
	})
	p := doortest.New(t, door.Rooms{Box: box{fake}})
	came := 0
	// It reads on where the command can write no more, so that all buffers are full when that has ended.
	read := func(b []byte) {
		came += len(b)
		for full := false; !full; {
			select {
			case <-wrote:
			case <-in.ended:
				full = true
			case <-time.After(10 * time.Millisecond):
				full = true
			}
		}
		select {
		case <-in.ended:
			select {
			case <-in.enough:
			case <-time.After(time.Second): // nobody takes it
			}
		default:
		}
	}
	exit, err := p.Client.Box("one").Exec(t.Context(), "a", sessions.ExecSpec{Argv: []string{"x"}, Stdin: in, Stdout: writer(read)})
	if err != nil || exit.Code != 7 || came != pieces*piece {
		t.Errorf("%d of %d bytes, exit %+v, %v", came, pieces*piece, exit, err)
	}
}

type writer func([]byte)

func (w writer) Write(p []byte) (int, error) {
	w(p)
	return len(p), nil
}
