package daemon

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/palisade-run/palisade/appliance/admin"
	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/console"
	"github.com/palisade-run/palisade/router"
	"github.com/palisade-run/palisade/training/apps"
)

// front is the first handler of every request: it sends each to the room whose it is. Until the daemon
// is ready the port is open already, so that a client of a daemon that restarts is told to try again
// in a second instead of being refused.
type front struct {
	rooms   atomic.Pointer[rooms] // nil until ready
	appHost string                // by which name browsers reach apps at this port; "": by none
}

// rooms are those who answer once the daemon is ready.
type rooms struct {
	gateway gateway
	admin   http.Handler
	apps    http.Handler             // of sessions
	appsAt  func(host string) string // their origin, for who calls this box so; "": none
	passOn  http.Handler             // what this box has of none of it: who leads answers; nil: this box does
	metrics http.Handler
	console http.Handler
	home    http.Handler
	check   func(context.Context) error // whether rows can be kept
	note    func() string               // what else is to be known of a box that is ready; nil: nothing ever is
}

// gateway is a router, as it is asked here.
type gateway interface {
	http.Handler
	Handles(host, path string) bool
	Enter() // before the next two lines of visit; see router.Gate.Uses
	Leave()
}

// visit takes the gateway of now, such that it knows before another takes its place.
func (f *front) visit() gateway {
	for {
		rs := f.rooms.Load()
		rs.gateway.Enter()
		if f.rooms.Load() == rs {
			return rs.gateway
		}
		rs.gateway.Leave()
	}
}

// ServeHTTP asks the gateway first: below a service's own host name every path is its engine's, /healthz
// too. Calls of gRPC are engines' at any path: nobody else here speaks it.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f.appHost != "" && strings.EqualFold(r.Host, f.appHost) { // another origin: nothing else is there
		f.appsAlone().ServeHTTP(w, r)
		return
	}
	rs := f.rooms.Load()
	if rs != nil && (rs.gateway.Handles(r.Host, r.URL.Path) || router.IsGRPC(r)) {
		gateway := f.visit()
		defer gateway.Leave()
		gateway.ServeHTTP(w, r)
		return
	}
	switch r.URL.Path {
	case "/healthz": // the process answers
		writeText(w, http.StatusOK, "ok\n")
		return
	case "/readyz":
		f.ready(w, r)
		return
	}
	switch {
	case rs == nil:
		starting(w)
	case rs.passOn != nil && passedOn(r.URL.Path):
		rs.passOn.ServeHTTP(w, r)
	case strings.HasPrefix(r.URL.Path, api.Prefix+"/") || r.URL.Path == api.Prefix:
		rs.admin.ServeHTTP(w, r)
	case apps.Handles(r.URL.Path):
		f.toApps(w, r, rs)
	case strings.HasPrefix(r.URL.Path, console.Prefix+"/"):
		rs.console.ServeHTTP(w, r)
	case r.URL.Path == "/metrics":
		rs.metrics.ServeHTTP(w, r)
	default:
		rs.home.ServeHTTP(w, r)
	}
}

// passedOn tells whether who leads answers below a path.
func passedOn(path string) bool {
	return strings.HasPrefix(path, api.Prefix+"/") || path == api.Prefix || apps.Handles(path) || strings.HasPrefix(path, console.Prefix+"/")
}

// outlasts tells whether a request is answered when something is over that ends the life it came to: a restart, or that the box comes
// into a cluster or leaves one.
func outlasts(r *http.Request) bool {
	return r.URL.Path == api.Prefix+"/restart" || r.Method != http.MethodGet && strings.HasPrefix(r.URL.Path, api.Prefix+"/cluster/self/")
}

// errHandedOver is why requests of a life that is over end.
var errHandedOver = hinted{errors.New("this box has another part in its cluster from now on, and what was asked of it before has ended"), "ask again"}

// askedAgain marks a request that has outlived a life. It is asked once more, and not of lives that end as well: where the box itself
// stops, none comes after.
type askedAgain struct{}

// until ends the requests of h when ctx ends, but for those that outlast it. One that only looks, and has not been answered by then, is
// asked again, of whatever answers next; nil: it is not.
func until(ctx context.Context, h, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if outlasts(r) {
			h.ServeHTTP(w, r)
			return
		}
		if r.Header.Get("Upgrade") != "" { // a line, whose two ends agree on what becomes of it
			own, cancel := context.WithCancel(r.Context())
			defer cancel()
			defer context.AfterFunc(ctx, cancel)()
			h.ServeHTTP(w, r.WithContext(own))
			return
		}
		own, cancel := context.WithCancelCause(r.Context())
		defer cancel(nil)
		defer context.AfterFunc(ctx, func() { cancel(errHandedOver) })()
		if next == nil || r.Context().Value(askedAgain{}) != nil || r.Method != http.MethodGet && r.Method != http.MethodHead || r.ContentLength != 0 {
			h.ServeHTTP(w, r.WithContext(own))
			return
		}
		a := &attempt{ResponseWriter: w, own: own}
		a.ask(h, r.WithContext(own))
		if a.dropped && r.Context().Err() == nil {
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), askedAgain{}, true)))
		}
	})
}

// attempt is the answer to a request that can be asked again: a failure that comes of the end of the life that it came to is not one.
type attempt struct {
	http.ResponseWriter
	own            context.Context
	begun, dropped bool
	header         http.Header // of an answer that is dropped
}

// ask asks h. What it breaks off, because the life is over, before anything was answered, is dropped too.
func (a *attempt) ask(h http.Handler, r *http.Request) {
	defer func() {
		if broken := recover(); broken != nil {
			if err, _ := broken.(error); !errors.Is(err, http.ErrAbortHandler) || a.begun || !errors.Is(context.Cause(a.own), errHandedOver) {
				panic(broken)
			}
			a.dropped = true
		}
	}()
	a.header = a.ResponseWriter.Header().Clone()
	h.ServeHTTP(a, r)
	if !a.dropped {
		a.begin() // an answer that is its headers alone
	}
}

// Header implements http.ResponseWriter.
func (a *attempt) Header() http.Header {
	if a.begun {
		return a.ResponseWriter.Header()
	}
	return a.header
}

// WriteHeader implements http.ResponseWriter.
func (a *attempt) WriteHeader(status int) {
	if a.dropped || !a.begun && status >= http.StatusInternalServerError && errors.Is(context.Cause(a.own), errHandedOver) {
		a.dropped = true
		return
	}
	if status < http.StatusOK && status != http.StatusSwitchingProtocols { // words before an answer
		to := a.ResponseWriter.Header()
		before := to.Clone()
		maps.Copy(to, a.header)
		a.ResponseWriter.WriteHeader(status)
		clear(to)
		maps.Copy(to, before)
		return
	}
	a.begin()
	a.ResponseWriter.WriteHeader(status)
}

// begin has what was said of the answer so far be that of the answer.
func (a *attempt) begin() {
	if a.begun {
		return
	}
	a.begun = true
	to := a.ResponseWriter.Header()
	clear(to)
	maps.Copy(to, a.header)
}

// Write implements http.ResponseWriter.
func (a *attempt) Write(p []byte) (int, error) {
	if a.dropped {
		return len(p), nil
	}
	a.begin()
	return a.ResponseWriter.Write(p)
}

// Flush implements http.Flusher.
func (a *attempt) Flush() {
	if a.dropped {
		return
	}
	a.begin()
	_ = http.NewResponseController(a.ResponseWriter).Flush()
}

// Hijack implements http.Hijacker.
func (a *attempt) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	a.begin()
	return http.NewResponseController(a.ResponseWriter).Hijack()
}

// Unwrap lets the rest through.
func (a *attempt) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// ready answers 200 when what runs has been adopted and rows can be kept.
func (f *front) ready(w http.ResponseWriter, r *http.Request) {
	rs := f.rooms.Load()
	if rs == nil {
		starting(w)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	if err := rs.check(ctx); err != nil {
		writeText(w, http.StatusServiceUnavailable, err.Error()+"\n")
		return
	}
	text := "ready\n"
	if rs.note != nil {
		if note := rs.note(); note != "" {
			text += note + "\n"
		}
	}
	writeText(w, http.StatusOK, text)
}

// starting says in OpenAI's shape that it takes a moment: whoever asks now is most likely such a client.
func starting(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "1")
	writeOpenAIError(w, http.StatusServiceUnavailable, "server_error", "starting", "the appliance is starting; try again in a second")
}

// writeOpenAIError answers in the shape that OpenAI's clients read.
func writeOpenAIError(w http.ResponseWriter, status int, kind, code, message string) {
	type inner struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    string  `json:"code"`
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	body, err := json.Marshal(struct {
		Error inner `json:"error"`
	}{inner{Message: message, Type: kind, Code: code}})
	if err != nil { // strings always marshal
		return
	}
	_, _ = w.Write(append(body, '\n')) // the client may have gone; that is its own affair
}

func writeText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text))
}

// home is what is found at the root: browsers go on to the console.
func home(version, gateway string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == console.Prefix || r.URL.Path == "/" && strings.Contains(r.Header.Get("Accept"), "text/html") {
			http.Redirect(w, r, console.Prefix+"/", http.StatusSeeOther)
			return
		}
		if r.URL.Path != "/" {
			writeOpenAIError(w, http.StatusNotFound, "invalid_request_error", "not_found",
				"there is nothing at "+r.URL.Path+"; "+meant(r.URL.Path, gateway))
			return
		}
		writeText(w, http.StatusOK, "Palisade "+version+"\n\nOpenAI-compatible gateway  "+gateway+"\nConsole                    "+console.Prefix+"/\nAdmin API                  "+api.Prefix+"/openapi.yaml\nMetrics                    /metrics\n")
	})
}

// meant says what somebody looks for at a path where nothing is, who brings it along from another server or has left out a part.
func meant(path, gateway string) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	switch first {
	case "chat", "completions", "embeddings", "models", "responses", "messages", "rerank", "audio", "images":
		return "with /v1 before it there is: a client's base URL is " + gateway
	case "health", "healthz", "ping", "live", "livez", "ready", "status":
		return "GET /readyz says whether it takes requests, GET /healthz whether it lives"
	case "version":
		return "GET " + api.Prefix + "/version tells it"
	case "api":
		switch strings.TrimPrefix(path, "/api/") {
		case "chat", "generate", "tags", "embed", "embeddings", "show", "ps", "pull", "version":
			return "that is Ollama's own protocol; its OpenAI-compatible one is spoken at " + gateway
		}
	}
	return "models answer at " + gateway + " and at /services/NAME/"
}

// newServer returns the HTTP server of all listeners. Headers must come soon; bodies and answers may
// take as long as they take: the router watches those itself. HTTP/2 is spoken on plain connections too, by
// who begins with it, as clients of gRPC do.
func newServer(h http.Handler, log *slog.Logger) *http.Server {
	s := &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ConnContext: admin.ConnContext, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		Protocols: new(http.Protocols),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          1000,                                          // answers last for minutes, and most clients keep to one connection
			MaxReceiveBufferPerConnection: 4<<20 - 1, MaxReceiveBufferPerStream: 1 << 20, // one upload that stands still stops no other
			SendPingTimeout: 30 * time.Second, // a client that is gone without a word
		},
	}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetHTTP2(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	return s
}
