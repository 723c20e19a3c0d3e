package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"

	"github.com/palisade-run/palisade/appliance/api"
)

// sign is a handler that says who it is.
type sign string

func (s sign) ServeHTTP(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, string(s)) }

// gate is a gateway that handles /v1/ and all of one host.
type gate struct{ sign }

func (gate) Handles(host, path string) bool {
	return host == "chat.example.com" || strings.HasPrefix(path, "/v1/")
}

func (gate) Enter() {}
func (gate) Leave() {}

func openFront(check error) *front {
	f := &front{}
	f.rooms.Store(&rooms{check: func(context.Context) error { return check }, gateway: gate{"gateway"}, admin: sign("admin"), metrics: sign("metrics"), home: home("1.2.3", "http://x/v1")})
	return f
}

func ask(h http.Handler, target string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
	return w
}

func TestFrontSendsToRooms(t *testing.T) {
	f := openFront(nil)
	for target, want := range map[string]string{
		"http://x/v1/models": "gateway", "http://x" + api.Prefix + "/services": "admin", "http://x" + api.Prefix: "admin",
		"http://x/metrics": "metrics", "http://x/healthz": "ok\n", "http://x/readyz": "ready\n",
		// Below a service's own name every path is its engine's.
		"http://chat.example.com/healthz": "gateway", "http://chat.example.com/readyz": "gateway", "http://chat.example.com/metrics": "gateway",
		"http://chat.example.com" + api.Prefix + "/services": "gateway", "http://chat.example.com/": "gateway",
	} {
		if got := ask(f, target); got.Code != http.StatusOK || got.Body.String() != want {
			t.Errorf("%s: %d %q, want %q", target, got.Code, got.Body, want)
		}
	}
}

// Nobody but an engine speaks gRPC, whatever its methods are called.
func TestFrontSendsCallsToTheGateway(t *testing.T) {
	f := openFront(nil)
	for _, target := range []string{"/package.Service/Method", "/metrics", "/"} {
		r := httptest.NewRequest(http.MethodPost, target, nil)
		r.ProtoMajor, r.Proto = 2, "HTTP/2.0"
		r.Header.Set("Content-Type", "application/grpc+proto")
		w := httptest.NewRecorder()
		f.ServeHTTP(w, r)
		if w.Body.String() != "gateway" {
			t.Errorf("%s: %q", target, w.Body)
		}
	}
}

func openAIError(t *testing.T, w *httptest.ResponseRecorder) (code string) {
	t.Helper()
	var body struct {
		Error struct{ Message, Type, Code string }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || body.Error.Message == "" || body.Error.Type == "" {
		t.Errorf("%q is not an error in OpenAI's shape: %v", w.Body, err)
	}
	return body.Error.Code
}

func TestFrontWhileStarting(t *testing.T) {
	f := &front{}
	for _, path := range []string{"/", "/readyz", "/v1/models", "/services/x/", api.Prefix + "/services", "/metrics"} {
		got := ask(f, path)
		if got.Code != http.StatusServiceUnavailable || got.Header().Get("Retry-After") != "1" || openAIError(t, got) != "starting" {
			t.Errorf("%s: %d %v %q", path, got.Code, got.Header(), got.Body)
		}
	}
	if got := ask(f, "/healthz"); got.Code != http.StatusOK {
		t.Errorf("/healthz: %d: it lives, though it is not ready", got.Code)
	}
}

func TestReadyAsksTheStore(t *testing.T) {
	f := openFront(errors.New("the database is away"))
	if got := ask(f, "/readyz"); got.Code != http.StatusServiceUnavailable || !strings.Contains(got.Body.String(), "away") {
		t.Errorf("/readyz: %d %q", got.Code, got.Body)
	}
	if got := ask(f, "/healthz"); got.Code != http.StatusOK {
		t.Errorf("/healthz: %d", got.Code)
	}
	if got := ask(f, "/v1/models"); got.Code != http.StatusOK {
		t.Errorf("/v1/models: %d: requests need no database", got.Code)
	}
}

func TestHome(t *testing.T) {
	f := openFront(nil)
	if got := ask(f, "/"); got.Code != http.StatusOK || !strings.Contains(got.Body.String(), "http://x/v1") || !strings.Contains(got.Body.String(), "1.2.3") {
		t.Errorf("/: %d %q", got.Code, got.Body)
	}
	got := ask(f, "/nothing/here")
	if got.Code != http.StatusNotFound || openAIError(t, got) != "not_found" || !strings.Contains(got.Body.String(), "/services/NAME/") {
		t.Errorf("/nothing/here: %d %q", got.Code, got.Body)
	}
	for path, hint := range map[string]string{
		"/chat/completions": "base URL is http://x/v1", "/models": "base URL is http://x/v1", "/api/tags": "Ollama's own protocol",
		"/health": "/readyz", "/version": "/api/v1/version",
	} {
		if got := ask(f, path); got.Code != http.StatusNotFound || !strings.Contains(got.Body.String(), hint) {
			t.Errorf("%s: %d %q", path, got.Code, got.Body)
		}
	}
}

func TestUntil(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	began, ended := make(chan struct{}), make(chan struct{})
	h := until(ctx, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
		close(ended)
	}), nil)
	go ask(h, "/")
	<-began
	stop()
	<-ended

	// A client that goes ends its own request, as without it.
	own, gone := context.WithCancel(t.Context())
	gone()
	until(t.Context(), http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }), nil).
		ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil).WithContext(own))
}

// A request that only looks, and was not answered when the life ended that it came to, is answered by the next one; others are told.
func TestUntilTheNextLife(t *testing.T) {
	began := make(chan struct{}, 1)
	over := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Life", "first")
		if r.URL.Path == "/begun" {
			_, _ = w.Write([]byte("half, "))
		}
		began <- struct{}{}
		<-r.Context().Done()
		if r.URL.Path == "/broken" {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte(context.Cause(r.Context()).Error()))
	})
	next := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Next", "yes")
		_, _ = w.Write([]byte("next"))
	})
	for _, tt := range []struct {
		method, path string
		code         int
		body         string
	}{
		{http.MethodGet, "/", http.StatusOK, "next"},
		{http.MethodGet, "/broken", http.StatusOK, "next"},
		{http.MethodGet, "/begun", http.StatusOK, "half, " + errHandedOver.Error()},
		{http.MethodDelete, "/", http.StatusServiceUnavailable, errHandedOver.Error()},
	} {
		ctx, stop := context.WithCancel(t.Context())
		h := until(ctx, over, next)
		got := httptest.NewRecorder()
		done := make(chan struct{})
		go func() {
			defer close(done)
			h.ServeHTTP(got, httptest.NewRequest(tt.method, tt.path, nil))
		}()
		<-began
		stop()
		<-done
		if got.Code != tt.code || got.Body.String() != tt.body {
			t.Errorf("%s %s: %d %q", tt.method, tt.path, got.Code, got.Body)
		}
		if isNext := got.Header().Get("X-Next") != ""; isNext != (tt.body == "next") || isNext == (got.Header().Get("X-Life") != "") {
			t.Errorf("%s %s: %v", tt.method, tt.path, got.Header())
		}
	}
	// Who has gone is not asked for once more.
	own, gone := context.WithCancel(t.Context())
	gone()
	asked := false
	<-func() chan struct{} {
		done := make(chan struct{})
		go func() {
			defer close(done)
			until(t.Context(), over, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true })).
				ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil).WithContext(own))
		}()
		return done
	}()
	if asked {
		t.Error("it is asked again for nobody")
	}
}

// Where the box itself stops, no life comes after: a request that waits is asked once more, and not for ever.
func TestWhatStopsIsNotAskedForEver(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	asked := 0
	var same http.Handler
	same = until(ctx, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked++
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	}), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { same.ServeHTTP(w, r) }))
	defer func() {
		if broken, _ := recover().(error); !errors.Is(broken, http.ErrAbortHandler) || asked != 2 {
			t.Errorf("asked %d times, then %v", asked, broken)
		}
	}()
	same.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/api/v1/services", nil))
}

// An answer that is its headers alone has them, and words before an answer are none.
func TestAnswersWithoutABodyKeepTheirHeaders(t *testing.T) {
	s := httptest.NewServer(until(t.Context(), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		w.Header().Set("X-Own", "1")
	}), http.NotFoundHandler()))
	defer s.Close()
	hints := ""
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(_ int, h textproto.MIMEHeader) error {
		hints = h.Get("Link")
		return nil
	}})
	ask, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := s.Client().Do(ask)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK || res.Header.Get("X-Own") != "1" || res.Header.Get("Link") != "" || hints != "</style.css>" {
		t.Errorf("%d %v, before it %q", res.StatusCode, res.Header, hints)
	}
}
