package door_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster/door"
	"github.com/palisade-run/palisade/appliance/cluster/trust"
	"github.com/palisade-run/palisade/appliance/cluster/trust/trusttest"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/runtimetest"
)

const patience = time.Minute

// town is a cluster of two boxes: one has a door and sessions, two comes through it.
type town struct {
	*testing.T
	shelf    *trusttest.Memory
	desk     *trust.Desk
	one, two *trust.Node
	runtime  *runtimetest.Fake
	server   *door.Server
	at       string // of one's door
	client   *door.Client

	mu   sync.Mutex
	gone bool // one is no node any more, as two sees it
}

// newTown makes one. rooms is what the door leads to; Node, Desk and Box are filled in.
func newTown(t *testing.T, change func(*town, *door.Rooms)) *town {
	t.Helper()
	c := &town{T: t, shelf: &trusttest.Memory{}, runtime: runtimetest.NewFake()}
	var err error
	if c.one, err = trust.Found(filepath.Join(t.TempDir(), "one"), "one", time.Now); err != nil {
		t.Fatal(err)
	}
	key, err := c.one.ClusterKey()
	if err != nil {
		t.Fatal(err)
	}
	c.desk = trust.NewDesk(c.shelf, key, time.Now)
	founding, _, err := c.one.Founding()
	if err == nil {
		err = c.desk.Begin(t.Context(), founding)
	}
	if err != nil {
		t.Fatal(err)
	}
	rooms := door.Rooms{Node: c.one, Version: "v1.4.0", Desk: func() *trust.Desk { return c.desk }, Box: box{c.runtime}}
	if change != nil {
		change(c, &rooms)
	}
	c.server, c.at = open(t, rooms)
	c.two = c.box("two")
	if state, err := c.join(c.two, true, ""); err != nil || state != trust.In {
		t.Fatalf("%s, %v", state, err)
	}
	c.client = door.NewClient(c.two, func(name string) (string, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if name != "one" || c.gone {
			return "", errUnknown
		}
		return c.at, nil
	})
	t.Cleanup(c.client.Close)
	return c
}

var errUnknown = errors.New("no such box")

// open opens a door and returns where it is.
func open(t *testing.T, rooms door.Rooms) (*door.Server, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := door.NewServer(rooms, slog.New(slog.DiscardHandler))
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = s.Shutdown(ctx)
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return s, l.Addr().String()
}

// box makes a box that is in no cluster.
func (c *town) box(name string) *trust.Node {
	c.Helper()
	n, err := trust.Create(filepath.Join(c.TempDir(), name), name, time.Now)
	if err != nil {
		c.Fatal(err)
	}
	return n
}

func (c *town) token(approve bool) trust.Token {
	c.Helper()
	token, err := c.desk.NewToken(c.Context(), trust.Asked{Approve: approve, Uses: 1, For: time.Hour})
	if err != nil {
		c.Fatal(err)
	}
	return token
}

func (c *town) join(n *trust.Node, approve bool, version string) (trust.State, error) {
	return door.Join(c.Context(), door.Asking{Node: n, Pending: trust.Pending{URL: "https://" + c.at, Token: c.token(approve)}, Version: version, Now: time.Now})
}

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

func TestJoinAndRenew(t *testing.T) {
	c := newTown(t, nil)
	if err := c.client.Renew(t.Context(), "one"); err != nil {
		t.Error(err)
	}
	three := c.box("three")
	token := c.token(false)
	ask := door.Asking{Node: three, Pending: trust.Pending{URL: c.at, Token: token}, Version: "v1.3.9", Now: time.Now}
	for range 2 {
		if state, err := door.Join(t.Context(), ask); err != nil || state != trust.Waiting {
			t.Errorf("%s, %v", state, err)
		}
	}
	if err := c.desk.Approve(t.Context(), "three", "tester"); err != nil {
		t.Fatal(err)
	}
	if state, err := door.Join(t.Context(), ask); err != nil || state != trust.In {
		t.Errorf("%s, %v", state, err)
	}
}

// echo answers every connection with what it says.
func echo(t *testing.T) (port string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port
}

func TestDial(t *testing.T) {
	c := newTown(t, func(_ *town, r *door.Rooms) {
		r.Reach = func(_ context.Context, session string, _ int) (string, error) {
			if session != "a" {
				return "", errUnknown
			}
			return "127.0.0.1", nil
		}
	})
	conn, err := c.client.Dial(t.Context(), "one", "a", echo(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	said := strings.Repeat("what is said comes back. ", 100_000)
	go func() {
		_, _ = io.WriteString(conn, said)
		_ = conn.(*door.Conn).CloseWrite()
	}()
	if got, err := io.ReadAll(conn); err != nil || string(got) != said {
		t.Errorf("%d bytes of %d, %v", len(got), len(said), err)
	}
	if _, err := c.client.Dial(t.Context(), "one", "b", "80"); err == nil || !strings.Contains(err.Error(), errUnknown.Error()) {
		t.Errorf("a session that is not there: %v", err)
	}
	if _, err := c.client.Dial(t.Context(), "other", "a", "80"); !errors.Is(err, errUnknown) {
		t.Errorf("a box that is none: %v", err)
	}
}

func TestForward(t *testing.T) {
	c := newTown(t, func(_ *town, r *door.Rooms) {
		r.Front = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			_, _ = io.WriteString(w, r.Method+" "+r.Host+r.URL.RequestURI()+" "+r.RemoteAddr+" "+string(body))
		})
	})
	h := c.client.Forward(door.Forward{
		Leader: func() (string, error) { return "one", nil },
		Fail: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		},
	})
	r, w := newRequest(http.MethodPost, "http://example.com/a%2Fb/?x=1;y&z", "hello")
	r.RemoteAddr = "192.0.2.7:4711"
	h.ServeHTTP(w, r)
	if got := w.Body.String(); w.Code != 200 || got != "POST example.com/a%2Fb/?x=1;y&z 192.0.2.7:4711 hello" {
		t.Errorf("%d %s", w.Code, got)
	}
}
