package apps

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/palisade-run/palisade/sessions"
)

// Sessions are where apps run. *sessions.Manager is one.
type Sessions interface {
	Session(project, ref string) (sessions.Session, error)
	Exec(ctx context.Context, project, ref string, cmd sessions.ExecSpec) (sessions.Exit, error)
	Dial(ctx context.Context, project, ref string, port int) (net.Conn, error)
}

// Deps are what apps need of others.
type Deps struct {
	Sessions Sessions
	// Labels are those of the image that a session runs; nil: no image has any.
	Labels func(ctx context.Context, s sessions.Session) map[string]string
	// Who tells who makes a request: by the local socket, or by the API key that it carries. false: nobody that is known.
	Who func(r *http.Request) (Actor, bool)
	// Good tells whether an API key has not been revoked since.
	Good func(key string) bool
	// Terminal connects a websocket with the terminal that is held in a session.
	Terminal func(w http.ResponseWriter, r *http.Request, s sessions.Session, by Actor)
	// Access is told that somebody uses a session, and calls back when they are done. May be nil.
	Access func(session string) (left func())
	// Key signs log-ins: see OpenKey.
	Key []byte
	// May tells whether who is known may use a session's apps. Nil: whoever is known may.
	May func(by Actor, s sessions.Session) bool
	// URL is where browsers reach the door, without a slash at the end: an origin that nothing else is at. "": no browser does.
	URL string
	// Fixed: browsers reach it at URL alone, whatever they call the box.
	Fixed bool
	Log   *slog.Logger
	Now   func() time.Time
}

// Apps are the programs of all sessions. It is safe for concurrent use.
type Apps struct {
	Deps
	proxy  *httputil.ReverseProxy
	wires  *http.Transport
	spent  spent
	static static

	life context.Context // of starts under way
	end  context.CancelFunc
	all  sync.WaitGroup

	mu     sync.Mutex
	starts map[run]*start
	tables map[string]kept // by session
}

// run is one run of an app.
type run struct {
	session string
	since   time.Time // when the session was started
	app     string
}

type kept struct {
	since time.Time
	table []App
}

// mostTables are kept at most: they can be had again.
const mostTables = 4096

// New returns the apps of a manager's sessions. Close ends it.
func New(d Deps) (*Apps, error) {
	files, err := readStatic()
	if err != nil {
		return nil, err
	}
	a := &Apps{Deps: d, static: files, starts: map[run]*start{}, tables: map[string]kept{}}
	a.life, a.end = context.WithCancel(context.Background())
	a.wires = a.transport()
	a.proxy = a.newProxy()
	return a, nil
}

// Close lets go of all connections and of starts under way. What runs in sessions runs on.
func (a *Apps) Close() {
	a.end()
	a.all.Wait()
	a.wires.CloseIdleConnections()
}

// table is what a session may have. It is worked out once for each of its runs.
func (a *Apps) table(ctx context.Context, s sessions.Session) []App {
	a.mu.Lock()
	k, is := a.tables[s.ID]
	a.mu.Unlock()
	if is && k.since.Equal(s.StartedAt) {
		return k.table
	}
	if !s.Personal() {
		return slices.DeleteFunc(first(Table(nil, nil)), func(app App) bool { return app.Source == WellKnown })
	}
	var labels map[string]string
	if a.Labels != nil {
		labels = a.Labels(ctx, s)
	}
	table, problems := Table(labels, s.Task.Ports)
	if len(problems) > 0 {
		a.Log.Warn("an image's labels for its apps are not understood", "session", s.ID, "image", s.Image, "problems", strings.Join(problems, "; "))
	}
	if s.Status == sessions.StatusRunning && ctx.Err() == nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		if len(a.tables) >= mostTables {
			clear(a.tables)
		}
		a.tables[s.ID] = kept{s.StartedAt, table}
	}
	return table
}

func first[A, B any](v A, _ B) A { return v }

// Status of an app.
type Status string

// The statuses.
const (
	Running  Status = "running"  // its port answers
	Starting Status = "starting" // it was started, and its port does not answer yet
	Ready    Status = "ready"    // it is started when somebody opens it
	Silent   Status = "silent"   // nobody listens, and nothing is known that would start it
)

// View is an app as people see it.
type View struct {
	App
	Status Status
}

// List returns the apps that a session which runs has now. Of well-known programs those that are there.
func (a *Apps) List(ctx context.Context, project, ref string) ([]View, error) {
	s, err := a.running(project, ref)
	if err != nil {
		return nil, err
	}
	table := a.table(ctx, s)
	there := a.programs(ctx, s, table)
	var views []View
	for _, app := range table {
		v := View{App: app, Status: Ready}
		if app.Port != 0 {
			v.Status = a.status(ctx, s, app)
		}
		if app.Source == WellKnown && v.Status == Ready && !there[app.Program] {
			continue
		}
		views = append(views, v)
	}
	return views, nil
}

func (a *Apps) status(ctx context.Context, s sessions.Session, app App) Status {
	conn, err := a.Sessions.Dial(ctx, s.Project, s.ID, app.Port)
	if err == nil {
		conn.Close()
		return Running
	}
	a.mu.Lock()
	st := a.starts[run{s.ID, s.StartedAt, app.Name}]
	a.mu.Unlock()
	switch {
	case st != nil && !st.over():
		return Starting
	case app.Line != "" && !errors.Is(err, sessions.ErrSharedNetwork):
		return Ready
	}
	return Silent
}

// running finds a session that runs.
func (a *Apps) running(project, ref string) (sessions.Session, error) {
	s, err := a.Sessions.Session(project, ref)
	if err != nil {
		return s, err
	}
	if s.Status != sessions.StatusRunning {
		return s, &Error{Err: sessions.NotRunning(s), What: "see: palisade session info " + s.ID}
	}
	return s, nil
}

// find returns an app of a session that runs.
func (a *Apps) find(ctx context.Context, project, ref, name string) (sessions.Session, App, error) {
	s, err := a.running(project, ref)
	if err != nil {
		return s, App{}, err
	}
	app, found := Find(a.table(ctx, s), name)
	if !found {
		return s, App{}, noApp(s, name)
	}
	return s, app, nil
}

func noApp(s sessions.Session, name string) error {
	return &Error{
		Err:  fmt.Errorf("session %s has no app %q: %w", s.Name, name, sessions.ErrNotFound),
		What: "those that it has: palisade app " + s.Name + "; a port is opened with --preopen PORT when the session is made",
	}
}

// Link is the way to an app for a browser.
type Link struct {
	App     App
	Path    string // with a ticket that is good once
	Expires time.Time
}

// Link makes a ticket with which a browser gets into an app once, and stays.
func (a *Apps) Link(ctx context.Context, project, ref, name string, by Actor) (Link, error) {
	s, app, err := a.find(ctx, project, ref, name)
	if err != nil {
		return Link{}, err
	}
	if !a.mayUse(by, s) {
		return Link{}, fmt.Errorf("app %s of session %s: %w", app.Name, s.Name, sessions.ErrForbidden)
	}
	if a.URL == "" {
		return Link{}, &Error{
			Err:  fmt.Errorf("apps are shown to no browser: %w: apps.listen is off, and apps.url names no other origin", sessions.ErrForbidden),
			What: "bring it to a port of your own: palisade app " + s.Name + " " + app.Name,
		}
	}
	if app.Protocol != HTTP {
		return Link{}, &Error{
			Err:  fmt.Errorf("app %s of session %s: %w: it does not speak HTTP", app.Name, s.Name, sessions.ErrInvalid),
			What: "bring it to a port of your own: palisade app " + s.Name + " " + app.Name,
		}
	}
	until := a.Now().Add(ticketLife)
	ticket := seal(a.Key, forTicket, pass{Session: s.ID, App: app.Name, Name: by.Name, User: by.User, Key: by.Key, Expires: until.Unix(), Nonce: nonce()})
	path := Path(s.ID, app.Name) + "?" + url.Values{ticketParam: {ticket}}.Encode()
	return Link{App: app, Path: path, Expires: time.Unix(until.Unix(), 0).UTC()}, nil
}

// Open connects to an app of a session, and starts it before where that is needed.
func (a *Apps) Open(ctx context.Context, project, ref, name string) (net.Conn, App, error) {
	s, app, err := a.find(ctx, project, ref, name)
	switch {
	case err != nil:
		return nil, app, err
	case app.Port == 0:
		return nil, app, &Error{
			Err:  fmt.Errorf("app %s of session %s: %w: it has no port", app.Name, s.Name, sessions.ErrInvalid),
			What: "in a browser: palisade app " + s.Name + " " + app.Name + " --url; here: palisade session attach " + s.Name,
		}
	}
	conn, err := a.Sessions.Dial(ctx, s.Project, s.ID, app.Port)
	if !startable(app, err) {
		return conn, app, explain(s, app, err)
	}
	st := a.ensure(s, app)
	select {
	case <-st.done:
	case <-ctx.Done():
		return nil, app, context.Cause(ctx)
	}
	if st.err != nil {
		return nil, app, st.err
	}
	conn, err = a.Sessions.Dial(ctx, s.Project, s.ID, app.Port)
	return conn, app, explain(s, app, err)
}

// Port connects to a port of a session.
func (a *Apps) Port(ctx context.Context, project, ref string, port int) (net.Conn, error) {
	s, err := a.running(project, ref)
	if err != nil {
		return nil, err
	}
	conn, err := a.Sessions.Dial(ctx, s.Project, s.ID, port)
	return conn, explain(s, App{Port: port}, err)
}

// Used tells that somebody uses a session, until left is called.
func (a *Apps) Used(session string) (left func()) {
	if a.Access == nil {
		return func() {}
	}
	return a.Access(session)
}

// Address is where a browser finds the door, without a slash at the end, that calls this box host, a name or an address
// with its port or without; "" as host: it runs on this box. "": no browser finds it.
func (a *Apps) Address(host string) string {
	ours, err := url.Parse(a.URL)
	if host == "" || err != nil || a.Fixed || a.URL == "" {
		return a.URL
	}
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	return ours.Scheme + "://" + net.JoinHostPort(strings.Trim(name, "[]"), ours.Port())
}

// startable tells whether an app may be started since nobody listens at its port. Where its network is the box's, it would
// be open to every user of the box.
func startable(app App, err error) bool {
	return errors.Is(err, sessions.ErrRefused) && app.Line != "" && !errors.Is(err, sessions.ErrSharedNetwork)
}

// explain says what to do about a port that nobody listens at.
func explain(s sessions.Session, app App, err error) error {
	if !errors.Is(err, sessions.ErrRefused) {
		return err
	}
	what := fmt.Sprintf("start a program in the session that listens on port %d: palisade session attach %s", app.Port, s.Name)
	if errors.Is(err, sessions.ErrSharedNetwork) && app.Line != "" {
		what = fmt.Sprintf("this session shares the box's network, where any user would reach the app: start it yourself, with a password, on port %d", app.Port)
	}
	return &Error{Err: err, What: what}
}
