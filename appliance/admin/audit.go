package admin

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/audit"
)

// Audit keeps who changed what. *audit.Log is one.
type Audit interface {
	Add(ctx context.Context, e audit.Entry)
	List(ctx context.Context, q audit.Query) ([]audit.Record, error)
	Each(ctx context.Context, q audit.Query, fn func(*audit.Record) error) error
	Verify(ctx context.Context, known ...audit.Head) (audit.Verdict, error)
}

// Bounds of what is looked at for a record.
const (
	auditBody  = 64 << 10 // bytes of a request or an answer
	auditText  = 1 << 10  // bytes of a detail
	lookBound  = 2 * time.Second
	auditNames = 128 // bytes of the program that a client says it is
)

// unrecorded are changes that are none, or of which there is one for each few megabytes: that an upload begins and is finished
// is recorded.
var unrecorded = []string{
	"PATCH /folders/:id/uploads/:uid", "POST /pipelines/validate", "POST /sessions/check", "POST /services/check", "POST /services/:id/rehearse", "POST /validate", "POST /catalog/plan", "POST /audit/verify", "POST /backups/:name/verify",
}

// entering are requests that read by their method, and let somebody in, or give everything away.
var entering = []string{"GET /backups/:name/content", "GET /login/oidc/:name/callback", "GET /sessions/:id/exec", "GET /sessions/:id/terminal", "GET /sessions/:id/tunnel"}

// contents are requests whose bodies are files, whatever type they say.
var contents = []string{"PUT /folders/:id/files", "POST /images/import", "POST /bundles", "POST /bundles/check"}

// proofs are requests whose bodies are what proves somebody, under names that tell nothing: they are not looked at.
var proofs = []string{"POST /login", "PUT /me/password", "POST /me/totp", "DELETE /me/totp", "POST /me/recovery-codes"}

// unlooked are documents that are not looked at beside a change: what is here of an upload is found out by looking.
var unlooked = []string{"/folders/:id/uploads/:uid"}

// single are documents that are no member of a list, and yet what a change of them is compared by.
var single = []string{"/services/:id/autoscaling"}

// volatile are values that change by themselves: a record tells what somebody has changed.
var volatile = []string{
	"updated_at", "version", "status", "reason", "healthy_routes", "routes", "ready_at", "failures", "last_error", "next_retry", "good_revision", "scaled_at",
	"exit", "address", "pid", "started_at", "ended_at", "claim", "waits", "idle", "last_used", "touched_at", "endpoint", "warnings", "state",
	"memory_used", "utilization", "temperature", "power", "sampled_at", "taken", "holders",
	"alive", "silent_since", "clock_off", "behind", "sessions", "devices_free", "asked_from", "problem", "leads",
}

// auditor is what is recorded of the requests to one route.
type auditor struct {
	*server
	action string
	enters bool
	create bool
	files  bool // the body is one, or proves somebody
}

// lettingIn is under what a request carries how it is recorded that somebody is let in.
const lettingIn = "palisade.letting-in"

// letIn has it recorded, with a status, that whoever asks is let in now. It may last for hours: that is kept before.
func letIn(c *gin.Context, status int) {
	if record, ok := c.Value(lettingIn).(func(int)); ok {
		record(status)
	}
}

// unworthy is under what a request carries that it is not recorded: it has done nothing, and is one of very many.
const unworthy = "palisade.unworthy"

// audited has recorded what a handler changes.
func (s *server) audited(n need, method, path string, h func(*gin.Context) error) func(*gin.Context) error {
	route, name := method+" "+path, nameOf(h)
	h = s.guarded(n, h) // what was refused is recorded too
	enters := slices.Contains(entering, route)
	if (method == http.MethodGet || method == http.MethodHead) && !enters || slices.Contains(unrecorded, route) {
		return h
	}
	a := &auditor{server: s, action: name, enters: enters, create: method == http.MethodPost, files: slices.Contains(contents, route) || slices.Contains(proofs, route)}
	return func(c *gin.Context) error {
		if s.Audit == nil {
			return h(c)
		}
		return a.run(c, h)
	}
}

// nameOf is what a handler is called, which is what its operation is.
func nameOf(h func(*gin.Context) error) string {
	name := runtime.FuncForPC(reflect.ValueOf(h).Pointer()).Name()
	return strings.TrimSuffix(name[strings.LastIndexByte(name, '.')+1:], "-fm")
}

// compared is how many segments of a pattern name that which is changed there: /services/:id/scale changes /services/:id.
func compared(path string, readable func(path string) bool) int {
	for at := path; at != ""; at = at[:strings.LastIndexByte(at, '/')] {
		last := at[strings.LastIndexByte(at, '/')+1:]
		if readable(at) && !slices.Contains(unlooked, at) && (strings.HasPrefix(last, ":") || slices.Contains(single, at)) {
			return strings.Count(at, "/")
		}
	}
	return 0
}

func (a *auditor) run(c *gin.Context, h func(*gin.Context) error) (err error) {
	r := c.Request
	e := a.entry(c)
	e.Detail = detailOf(r.URL.Query())
	if a.enters {
		return a.enter(c, e, h)
	}
	var asked *bytes.Buffer
	if !a.files {
		asked = tee(r)
	}
	before, _ := a.look(c)
	answer := &heard{ResponseWriter: c.Writer}
	c.Writer = answer
	ended := false
	defer func() {
		c.Writer = answer.ResponseWriter
		if about := c.GetString(aboutKey); about != "" {
			e.Project = shortText(about, auditNames)
		}
		switch {
		case !ended:
			e.Error = "the answer was broken off"
		case err != nil:
			refuse(r.Context(), &e, err)
		default:
			e.Status = answer.Status()
		}
		if e.Error == "" && e.Status < http.StatusBadRequest {
			a.changes(c, &e, before, asked, answer)
		}
		if who := actorOf(c.Request.Context()); e.Actor == "" { // who logs in is known by now
			e.Actor, e.Via = who.Name, who.Via
		}
		if !c.GetBool(unworthy) {
			a.Audit.Add(r.Context(), e)
		}
	}()
	err = h(c)
	ended = true
	return err
}

// enter records who is let into a session, or is not.
func (a *auditor) enter(c *gin.Context, e audit.Entry, h func(*gin.Context) error) error {
	ctx := c.Request.Context()
	in := false
	c.Set(lettingIn, func(status int) {
		in = true
		e.Status = status
		if who := actorOf(c.Request.Context()); e.Actor == "" { // who logs in is known by now
			e.Actor, e.Via = who.Name, who.Via
		}
		a.Audit.Add(ctx, e)
	})
	err := h(c)
	if in {
		return err
	}
	why, away := c.Value(turnedAway).(error)
	switch e.Status = c.Writer.Status(); {
	case away:
		e.Actor = actorOf(c.Request.Context()).Name
		refuse(ctx, &e, why)
	case err != nil:
		refuse(ctx, &e, err)
	}
	if !c.GetBool(unworthy) {
		a.Audit.Add(ctx, e)
	}
	return err
}

// refuse says why nothing was changed.
func refuse(ctx context.Context, e *audit.Entry, err error) {
	p := problemOf(ctx, err)
	e.Status, e.Error = p.Status, shortText(audit.Hide(p.Detail), auditText)
}

// entry is what is known of a change before it is made.
func (a *auditor) entry(c *gin.Context) audit.Entry {
	r := c.Request
	actor := actorOf(r.Context())
	e := audit.Entry{
		At: a.Now(), Actor: actor.Name, Via: actor.Via, Key: actor.Key, Agent: shortText(r.UserAgent(), auditNames), Action: a.action,
		Target:  shortText(strings.Trim(strings.TrimPrefix(r.URL.EscapedPath(), api.Prefix), "/"), auditText),
		Request: requestIDOf(r.Context()), Project: shortText(r.URL.Query().Get("project"), auditNames),
	}
	if e.Project == "" {
		e.Project = DefaultProject
	}
	if actor.Via != "socket" {
		e.From = a.addressOf(r)
	}
	return e
}

// changes says what is another now: of what can be read before and after; where that shows nothing, since it is about what is
// below or beside that, what was asked for.
func (a *auditor) changes(c *gin.Context, e *audit.Entry, before []byte, asked *bytes.Buffer, answer *heard) {
	if before != nil {
		if after, known := a.look(c); known {
			e.Changes = audit.Diff(before, after, volatile...)
		}
	}
	path := strings.TrimPrefix(c.FullPath(), api.Prefix)
	if itself := before != nil && a.compared(path) == strings.Count(path, "/"); len(e.Changes) == 0 && asked != nil && !itself {
		e.Changes = audit.Diff(nil, asked.Bytes()) // nothing in it has changed by itself
	}
	if made := answer.name(); a.create && made != "" && !strings.Contains(e.Target, "/") {
		e.Target += "/" + url.PathEscape(made)
	}
}

// compared is how many segments of a pattern name what is compared.
func (a *auditor) compared(pattern string) int {
	return compared(pattern, func(path string) bool { return a.readable[path] })
}

// look reads what a change is about, as its asker may. Nil where there is nothing of the kind; known where that is so, and
// it is not only that it could not be read.
func (a *auditor) look(c *gin.Context) (document []byte, known bool) {
	n := a.compared(strings.TrimPrefix(c.FullPath(), api.Prefix))
	if n == 0 {
		return nil, false
	}
	parts := strings.Split(strings.TrimPrefix(c.Request.URL.EscapedPath(), api.Prefix), "/")
	at, err := url.Parse(api.Prefix + strings.Join(parts[:n+1], "/"))
	if err != nil {
		return nil, false
	}
	if project := c.Request.URL.Query().Get("project"); project != "" {
		at.RawQuery = url.Values{"project": {project}}.Encode()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Request.Context()), lookBound)
	defer cancel()
	r := c.Request.Clone(ctx)
	r.Method, r.URL, r.RequestURI, r.Body, r.ContentLength = http.MethodGet, at, at.RequestURI(), http.NoBody, 0
	w := &reading{header: http.Header{}}
	defer func() {
		if v := recover(); v != nil { // what is only looked at ends nothing
			document, known = nil, false
		}
	}()
	a.engine.ServeHTTP(w, r)
	switch {
	case w.status == http.StatusNotFound:
		return nil, true
	case w.status != http.StatusOK || w.body.Len() > auditBody:
		return nil, false
	}
	return w.body.Bytes(), true
}

// tee keeps what a client asks for, when that is JSON, as far as it is read; nil for all else.
func tee(r *http.Request) *bytes.Buffer {
	if r.Body == nil || r.ContentLength > auditBody || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		return nil
	}
	kept := &bytes.Buffer{}
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.TeeReader(r.Body, &bounded{kept}), r.Body}
	return kept
}

// bounded keeps the first auditBody bytes, and takes the others.
type bounded struct{ b *bytes.Buffer }

func (w *bounded) Write(p []byte) (int, error) {
	if room := auditBody - w.b.Len(); room > 0 {
		w.b.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

// detailOf is the query of a request, without the project, which has a place of its own, and without secrets: environments of
// commands, and what a command line tells.
func detailOf(q url.Values) string {
	q.Del("project")
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(q)) {
		values := audit.HideWords(q[name])
		for i, v := range values {
			if name == "code" || name == "state" || name == "id_token" || name == "access_token" { // of a log-in by a provider
				v = "(hidden)"
			}
			if name == "env" {
				variable, _, given := strings.Cut(q[name][i], "=")
				if v = "(hidden)"; given {
					v = variable + "=(hidden)"
				}
			}
			parts = append(parts, audit.Hide(name+"="+v))
		}
	}
	return shortText(strings.Join(parts, "&"), auditText)
}

func shortText(s string, most int) string {
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}
