package door_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/palisade-run/palisade/appliance/cluster/door"
	"github.com/palisade-run/palisade/appliance/cluster/door/doortest"
)

var errNobody = errors.New("nobody leads")

// follower is a box whose clients' requests go on to box one.
func follower(t *testing.T, leads http.Handler) (*doortest.Pair, *httptest.Server) {
	t.Helper()
	p := doortest.New(t, door.Rooms{Front: leads, Local: func(ctx context.Context, user string) context.Context {
		return context.WithValue(ctx, userKey{}, user)
	}})
	s := httptest.NewServer(p.Client.Forward(door.Forward{
		Leader: func() (string, error) { return "one", nil },
		Local:  func(ctx context.Context) string { user, _ := ctx.Value(userKey{}).(string); return user },
		Fail:   fail,
	}))
	t.Cleanup(s.Close)
	return p, s
}

type userKey struct{}

func fail(w http.ResponseWriter, _ *http.Request, err error) {
	http.Error(w, err.Error(), http.StatusServiceUnavailable)
}

// A request arrives as it was sent, from who sent it; what a client says of itself that boxes say of their clients is not believed.
func TestForwardedAsItCame(t *testing.T) {
	p, _ := follower(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		user, _ := r.Context().Value(userKey{}).(string)
		_, _ = fmt.Fprintf(w, "%s %s%s from %s by TLS %t user %q forwarded %q %q; %s", r.Method, r.Host, r.RequestURI, r.RemoteAddr, r.TLS != nil, user,
			r.Header.Get("X-Forwarded-For"), r.Header.Get("Palisade-Front")+r.Header.Get("Palisade-Front-User"), body)
	}))
	local := ""
	forward := door.Forward{Leader: func() (string, error) { return "one", nil }, Local: func(context.Context) string { return local }, Fail: fail}
	h := p.Client.Forward(forward)
	ask := func(change func(*http.Request)) string {
		r, w := httptest.NewRequest(http.MethodPut, "http://example.com/a%2Fb//c?x=1;y&z=%zz", strings.NewReader("hello")), httptest.NewRecorder()
		r.RemoteAddr = "192.0.2.7:4711"
		r.Header.Set("Palisade-Front", "10.0.0.1:1")
		r.Header.Set("Palisade-Front-User", "root")
		r.Header.Set("Palisade-Front-Tls", "1")
		r.Header.Set("X-Forwarded-For", "198.51.100.1")
		change(r)
		h.ServeHTTP(w, r)
		return w.Body.String()
	}
	want := `PUT example.com/a%2Fb//c?x=1;y&z=%zz from 192.0.2.7:4711 by TLS false user "" forwarded "" ""; hello`
	if got := ask(func(*http.Request) {}); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	forward.Trust = true // a proxy stands in front of this box
	h = p.Client.Forward(forward)
	if got := ask(func(*http.Request) {}); !strings.Contains(got, `forwarded "198.51.100.1" ""`) {
		t.Error(got)
	}
	local = "ada"
	if got := ask(func(r *http.Request) { r.RemoteAddr = "@" }); !strings.Contains(got, `from @ by TLS false user "ada@two"`) {
		t.Error(got)
	}
}

// An answer comes as it is made, and its end, or that it broke off, as it was.
func TestForwardedStreams(t *testing.T) {
	next := make(chan string)
	_, s := follower(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/cut" {
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Content-Type", "text/event-stream")
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		for word := range next {
			_, _ = io.WriteString(w, word+"\n")
			_ = http.NewResponseController(w).Flush()
		}
	}))
	answer, err := http.Get(s.URL + "/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	for i := range 20 { // the next is made when the one before was read
		next <- fmt.Sprint(i)
		if !lines.Scan() || lines.Text() != fmt.Sprint(i) {
			t.Fatalf("%d: %q, %v", i, lines.Text(), lines.Err())
		}
	}
	close(next)
	if lines.Scan() || lines.Err() != nil {
		t.Errorf("%q, %v", lines.Text(), lines.Err())
	}
	answer, err = http.Get(s.URL + "/cut")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if got, err := io.ReadAll(answer.Body); err == nil || string(got) != "half" {
		t.Errorf("%q, %v", got, err)
	}
}

// Large bodies go both ways at once, and nobody holds them in memory until they are whole.
func TestForwardedBodies(t *testing.T) {
	_, s := follower(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		_, _ = io.Copy(w, r.Body)
	}))
	said := bytes.Repeat([]byte("0123456789abcdef"), 1<<19)
	answer, err := http.Post(s.URL, "application/octet-stream", bytes.NewReader(said))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if got, err := io.ReadAll(answer.Body); err != nil || !bytes.Equal(got, said) {
		t.Errorf("%d bytes of %d, %v", len(got), len(said), err)
	}
}

// A line that is none of HTTP any more, as of a terminal, goes both ways until one side ends it.
func TestForwardedUpgrades(t *testing.T) {
	_, s := follower(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+r.Header.Get("Upgrade")+"\r\n\r\n")
		_, _ = io.Copy(c, buffered)
	}))
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	in := bufio.NewReader(c)
	answer, err := http.ReadResponse(in, nil)
	if err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%+v, %v", answer, err)
	}
	for _, word := range []string{"one\n", "two\n", "three\n"} {
		_, _ = io.WriteString(c, word)
		if got, err := in.ReadString('\n'); got != word {
			t.Fatalf("%q, %v", got, err)
		}
	}
}

// Who goes away ends what it asked for.
func TestForwardedClientsGo(t *testing.T) {
	came, gone := make(chan struct{}), make(chan struct{})
	_, s := follower(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(came)
		<-r.Context().Done()
		close(gone)
	}))
	ctx, cancel := context.WithCancel(t.Context())
	r, _ := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, nil)
	go func() { <-came; cancel() }()
	if answer, err := http.DefaultClient.Do(r); err == nil {
		answer.Body.Close()
		t.Error("it was answered")
	}
	<-gone
}

// A box that does not lead any more says so, and who does is asked again, where nothing of the request is lost by that.
func TestForwardedToWhoLeads(t *testing.T) {
	var asked, asks atomic.Int32
	asks.Store(1000)
	p := doortest.New(t, door.Rooms{Front: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if n := asked.Add(1); n < asks.Load() {
			w.Header().Set(door.LeaderHeader, "two")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "here")
	})})
	var mu sync.Mutex
	nobody := false
	h := p.Client.Forward(door.Forward{Fail: fail, Leader: func() (string, error) {
		mu.Lock()
		defer mu.Unlock()
		if nobody {
			return "", errNobody
		}
		return "one", nil
	}})
	ask := func(method, body string) (int, string) {
		var b io.Reader
		if body != "" {
			b = strings.NewReader(body)
		}
		r, w := httptest.NewRequest(method, "/", b), httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	if code, _ := ask(http.MethodPost, "what is sent once"); code != http.StatusServiceUnavailable || asked.Load() != 1 {
		t.Errorf("%d after %d", code, asked.Load())
	}
	asks.Store(3) // it leads from the third on
	if code, text := ask(http.MethodGet, ""); code != http.StatusOK || text != "here" {
		t.Errorf("%d %s", code, text)
	}
	p.Shut()
	if code, text := ask(http.MethodPost, "x"); code != http.StatusServiceUnavailable || !strings.Contains(text, "cannot be reached") {
		t.Errorf("%d %s", code, text)
	}
	mu.Lock()
	nobody = true
	mu.Unlock()
	if code, text := ask(http.MethodGet, ""); code != http.StatusServiceUnavailable || !strings.Contains(text, errNobody.Error()) {
		t.Errorf("%d %s", code, text)
	}
}
