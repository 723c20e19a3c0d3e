package admin

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/api"
)

type server struct {
	Deps
	rights     Rights
	engine     *gin.Engine
	rehearsing chan struct{}   // held by the one who plays a trace
	readable   map[string]bool // patterns of the paths that GET knows; not changed once it serves
	looked     lastLook
}

// New returns the API's handler. It answers everything below api.Prefix.
func New(d Deps) http.Handler {
	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	s := &server{Deps: d, rights: Rights{Keys: d.Keys, Users: d.Users, Parts: d.Projects}, engine: e, readable: map[string]bool{}, rehearsing: make(chan struct{}, 1)}
	// A name may hold %2F: it must reach the handler as one segment, and be refused there with a sentence.
	e.UseRawPath, e.UnescapePathValues = true, true
	e.HandleMethodNotAllowed = true
	e.RedirectTrailingSlash, e.RedirectFixedPath = false, false
	e.ContextWithFallback = false
	e.NoRoute(s.handle(anyone, s.guarded(anyone, noRoute)))
	e.NoMethod(s.handle(anyone, s.guarded(anyone, noMethod)))
	s.routes(e)
	guard := http.NewCrossOriginProtection()
	guard.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := api.NewProblem(api.KindForbidden, http.StatusForbidden, "a page of another origin may not change anything here")
		writeProblem(w, r, p)
	}))
	return s.outermost(guard.Handler(e))
}

// outermost gives every request an id, logs it, and turns a panic into an answer.
func (s *server) outermost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := requestID(r)
		r = r.WithContext(context.WithValue(r.Context(), requestIDKey, id))
		w.Header().Set("X-Request-Id", id)
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cross-Origin-Resource-Policy", "same-origin") // a page of elsewhere cannot even show what is here
		rec := &recorder{ResponseWriter: w}
		begin := s.Now()
		// Registered first, so that it runs last and sees what the recovery has written.
		defer s.logRequest(r, rec, begin)
		defer s.recover(rec, r)
		next.ServeHTTP(rec, r)
	})
}

// recover answers a panic with a problem; where an answer has begun, it breaks the connection, for a clean end
// would look like a complete answer. http.ErrAbortHandler goes on: it means just that.
func (s *server) recover(rec *recorder, r *http.Request) {
	v := recover()
	if v == nil {
		return
	}
	if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		rec.aborted = true
		panic(http.ErrAbortHandler)
	}
	s.Log.ErrorContext(r.Context(), "admin API panicked", "panic", v, "path", r.URL.Path,
		"request_id", requestIDOf(r.Context()), "stack", string(debug.Stack()))
	if rec.status != 0 {
		rec.aborted = true
		panic(http.ErrAbortHandler)
	}
	writeProblem(rec, r, internalProblem(r.Context()))
}

// levelOf is that of a failure: what is not to be had now, such as an app of a session that does not start, is no fault of
// the appliance.
func levelOf(status int) slog.Level {
	if status == http.StatusServiceUnavailable {
		return slog.LevelWarn
	}
	return slog.LevelError
}

func (s *server) logRequest(r *http.Request, rec *recorder, begin time.Time) {
	level := slog.LevelInfo
	switch {
	case rec.status >= 500:
		level = levelOf(rec.status)
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		level = slog.LevelDebug
	}
	s.Log.LogAttrs(r.Context(), level, "admin request",
		slog.String("request_id", requestIDOf(r.Context())), slog.String("method", r.Method), slog.String("path", r.URL.Path),
		slog.Int("status", rec.status), slog.Duration("took", s.Now().Sub(begin)), slog.Bool("aborted", rec.aborted),
		slog.String("actor", rec.actor.Name), slog.String("via", rec.actor.Via), slog.String("from", r.RemoteAddr))
}

// recorder remembers what was answered.
type recorder struct {
	http.ResponseWriter
	status  int
	aborted bool
	taken   bool // the connection is somebody else's
	actor   Actor
}

func (r *recorder) WriteHeader(status int) {
	if r.taken {
		return // gin answers what nobody has
	}
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(p)
}

// Flush and Unwrap let streams through.
func (r *recorder) Flush()                      { _ = http.NewResponseController(r.ResponseWriter).Flush() }
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// goodRequestID is what a client's own id may look like: nothing that could forge a line of the log.
var goodRequestID = regexp.MustCompile(`^[\w.:-]{1,128}$`)

func requestID(r *http.Request) string {
	if id := r.Header.Get("X-Request-Id"); goodRequestID.MatchString(id) {
		return id
	}
	return "req-" + strings.ToLower(rand.Text()[:16])
}

func requestIDOf(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey).(string)
	return id
}

// handle makes a gin handler of one that returns its error: who asks is known, or is refused, and errors become answers, here
// and nowhere else.
func (s *server) handle(n need, h func(c *gin.Context) error) gin.HandlerFunc {
	return func(c *gin.Context) {
		if n.role() != open {
			done, err := s.authenticate(c)
			if err != nil {
				s.fail(c, err)
				return
			}
			defer done()
		}
		if rec, ok := findRecorder(c.Writer); ok {
			rec.actor = actorOf(c.Request.Context())
		}
		if err := h(c); err != nil {
			s.fail(c, err)
		}
	}
}

func findRecorder(w http.ResponseWriter) (*recorder, bool) {
	for {
		if rec, ok := w.(*recorder); ok {
			return rec, true
		}
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return nil, false
		}
		w = u.Unwrap()
	}
}

// fail answers with the problem that err is. An answer that has begun is broken off instead.
func (s *server) fail(c *gin.Context, err error) {
	ctx := c.Request.Context()
	if ctx.Err() != nil {
		panic(http.ErrAbortHandler) // the client has gone; there is nobody to answer
	}
	p := problemOf(ctx, err)
	if p.Status >= 500 {
		s.Log.Log(ctx, levelOf(p.Status), "admin request failed", "request_id", requestIDOf(ctx), "path", c.Request.URL.Path, "error", err)
	}
	if c.Writer.Written() {
		panic(http.ErrAbortHandler)
	}
	if after := retryAfter(err); after > 0 {
		c.Header("Retry-After", strconv.Itoa(int(math.Ceil(after.Seconds()))))
	}
	writeProblem(c.Writer, c.Request, p)
}

// WriteProblem answers for the API, where it cannot.
func WriteProblem(w http.ResponseWriter, r *http.Request, p *api.Problem) { writeProblem(w, r, p) }

func writeProblem(w http.ResponseWriter, r *http.Request, p *api.Problem) {
	out := *p
	out.RequestID = requestIDOf(r.Context())
	w.Header().Set("Content-Type", api.ProblemType)
	w.Header().Del("Content-Length")
	w.WriteHeader(out.Status)
	if r.Method != http.MethodHead {
		_ = encode(w, out)
	}
}

// respond answers with v as JSON.
func respond(c *gin.Context, status int, v any) error {
	c.Header("Content-Type", "application/json")
	c.Writer.WriteHeader(status)
	// The client may have gone; that is its own affair.
	_ = encode(c.Writer, v)
	return nil
}

func encode(w http.ResponseWriter, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

func noContent(c *gin.Context) error {
	c.Writer.WriteHeader(http.StatusNoContent)
	c.Writer.WriteHeaderNow()
	return nil
}

func noRoute(c *gin.Context) error {
	p := api.NewProblem(api.KindNoRoute, http.StatusNotFound, "there is nothing at %s", c.Request.URL.Path)
	p.Hint = "the API's document is at " + api.Prefix + "/openapi.yaml"
	return p
}

func noMethod(c *gin.Context) error {
	p := api.NewProblem(api.KindMethod, http.StatusMethodNotAllowed, "%s is not possible at %s", c.Request.Method, c.Request.URL.Path)
	if allowed := c.Writer.Header().Get("Allow"); allowed != "" {
		p.Hint = "possible there: " + allowed
	}
	return p
}
