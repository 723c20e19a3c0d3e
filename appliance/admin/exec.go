package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/terminal"
)

// goneGrace is how long a command whose client has gone may take to end by itself once its input has ended.
const goneGrace = 10 * time.Second

// errGone says that nobody is at the other end any more.
var errGone = errors.New("the client has gone")

// errGoesOn says that a terminal has not ended with its line.
var errGoesOn = errors.New("the terminal goes on in its session, and is shown no more")

// The bounds of a command that comes with a request.
const (
	maxArguments = 4096
	maxVariables = 512
)

// findRunning returns the session that the path names, which runs. A service is none, but has some.
func (s *server) findRunning(c *gin.Context, p *params) (sessions.Session, error) {
	v, err := s.findSession(c, p)
	if errors.Is(err, sessions.ErrNotFound) {
		if service, none := s.Services.Service(p.project(), c.Param("id")); none == nil {
			return v, s.nameARoute(service)
		}
	}
	if err != nil {
		return v, err
	}
	if v.Status != sessions.StatusRunning && v.Status != sessions.StatusTerminating {
		return v, &hinted{sessions.NotRunning(v), "see: palisade session info " + v.ID}
	}
	return v, nil
}

func (s *server) nameARoute(v sessions.ServiceView) error {
	var running []string
	for _, ses := range s.Sessions.Sessions(v.Project, sessions.SessionFilter{Service: v.ID, Live: true}) {
		if ses.Status == sessions.StatusRunning {
			running = append(running, ses.ID)
		}
	}
	err := fmt.Errorf("session %q %w; there is a service of that name", v.Name, sessions.ErrNotFound)
	if len(running) == 0 {
		return &hinted{err, "none of its routes runs now: palisade service routes " + v.Name}
	}
	return &hinted{err, "name one of its routes: " + strings.Join(running, ", ")}
}

// mayTakeOver says why no line can be made of the request. It is asked before anything is begun in the session: any page may
// send a GET from anywhere.
func mayTakeOver(c *gin.Context, protocol string) error {
	if !strings.EqualFold(c.GetHeader("Upgrade"), "websocket") {
		p := api.NewProblem(api.KindInvalid, http.StatusUpgradeRequired, "this is a websocket: %s", protocol)
		p.Hint = "on the command line: palisade session exec, palisade session attach, palisade app"
		c.Header("Upgrade", "websocket")
		return p
	}
	if origin := c.GetHeader("Origin"); origin != "" {
		if from, err := url.Parse(origin); err != nil || !strings.EqualFold(from.Host, c.Request.Host) {
			return api.NewProblem(api.KindForbidden, http.StatusForbidden, "a page of another origin may not open a line here")
		}
	}
	return nil
}

// takeOver makes a line of the request, which may be one. Where it fails it says why, or the request has been answered.
func takeOver(c *gin.Context) (*api.ServerLine, error) {
	rec, ok := findRecorder(c.Writer)
	if !ok {
		return nil, errors.New("the connection cannot be taken over")
	}
	letIn(c, http.StatusSwitchingProtocols)
	line, err := api.AcceptLine(rec, c.Request)
	rec.taken = rec.status != 0
	if rec.taken { // without a line it has been answered
		return line, nil
	}
	return nil, err
}

func (s *server) execSession(c *gin.Context) error {
	p := query(c, "command...", "env...", "cwd", "stdin", "tty", "rows", "columns", "term")
	spec, err := execSpec(p)
	if err != nil {
		return err
	}
	v, err := s.findRunning(c, p)
	if err != nil {
		return err
	}
	if err := firstError(s.permitEnter(c, v), func() error { return mayTakeOver(c, api.ExecProtocol) }); err != nil {
		return err
	}
	ctx, done, err := s.Lines.begin(c.Request.Context(), v.ID)
	if err != nil {
		return err
	}
	defer done()
	line, err := takeOver(c)
	if line != nil {
		s.runOn(ctx, line, v, p.flag("stdin"), spec)
	}
	return err
}

func execSpec(p *params) (sessions.ExecSpec, error) {
	spec := sessions.ExecSpec{Argv: p.values["command"], WorkDir: p.text("cwd"), Env: map[string]string{}}
	if size := window(p); p.flag("tty") {
		spec.Terminal = &sessions.Terminal{Size: size, Type: p.text("term")}
	}
	p.flag("stdin")
	switch {
	case p.err != nil:
		return spec, p.err
	case len(spec.Argv) == 0 || spec.Argv[0] == "":
		return spec, badField("?command", "?command=ls&command=-l", "is missing")
	case len(spec.Argv) > maxArguments || len(p.values["env"]) > maxVariables:
		return spec, badField("?command", "", "at most %d words and %d variables", maxArguments, maxVariables)
	}
	for _, pair := range p.values["env"] {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" || strings.ContainsRune(pair, 0) {
			return spec, badField("?env", "?env=NAME=VALUE", "%q is no variable", pair)
		}
		spec.Env[name] = value
	}
	if strings.ContainsRune(strings.Join(append(spec.Argv, spec.WorkDir), ""), 0) {
		return spec, badField("?command", "", "a word has a NUL in it")
	}
	return spec, nil
}

func window(p *params) sessions.Window {
	return sessions.Window{Rows: uint16(p.number("rows", 0, 0, 10_000)), Columns: uint16(p.number("columns", 0, 0, 10_000))}
}

// runOn runs a command on a line and says how it ended. Its input ends when the client goes, or its terminal does; what goes
// on then is killed after a grace.
func (s *server) runOn(ctx context.Context, line *api.ServerLine, v sessions.Session, stdin bool, spec sessions.ExecSpec) {
	running, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if stdin {
		spec.Stdin = line.Stdin()
	}
	spec.Stdout, spec.Stderr = line.Stdout(running), line.Stderr(running)
	grace := goneGrace
	if spec.Terminal != nil {
		spec.Terminal.Resize, grace = resizes(running, line), 0
	}
	go func() {
		select {
		case <-line.Gone():
		case <-running.Done():
			return
		}
		late := time.NewTimer(grace)
		defer late.Stop()
		select {
		case <-late.C:
			cancel(errGone)
		case <-running.Done():
		}
	}()
	exit, err := s.Sessions.Exec(running, v.Project, v.ID, spec)
	s.endLine(ctx, line, exit, s.orOver(v, err))
}

// endLine says the last word.
func (s *server) endLine(ctx context.Context, line *api.ServerLine, exit sessions.Exit, err error) {
	if cause := context.Cause(ctx); cause != nil {
		err = fmt.Errorf("%w: %w", sessions.ErrUnavailable, cause)
	}
	if err == nil {
		line.Finish(*exitOut(&exit))
		return
	}
	p := problemOf(ctx, err)
	p.RequestID = requestIDOf(ctx)
	select {
	case <-line.Gone():
	default:
		if p.Status >= 500 && p.Kind() != api.KindUnavailable {
			s.Log.ErrorContext(ctx, "a command in a session failed", "request_id", p.RequestID, "error", err)
		}
	}
	line.Fail(p)
}

// resizes passes the client's window on.
func resizes(ctx context.Context, line *api.ServerLine) <-chan sessions.Window {
	out := make(chan sessions.Window)
	go func() {
		for size := range until(ctx, line.Resized()) {
			select {
			case out <- sessions.Window(size):
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

func (s *server) sessionTerminal(c *gin.Context) error {
	p := query(c, "name", "rows", "columns", "term")
	size := window(p)
	v, err := s.findRunning(c, p)
	if err != nil {
		return err
	}
	if err := firstError(s.permitEnter(c, v), func() error { return mayTakeOver(c, api.ExecProtocol) }); err != nil {
		return err
	}
	ctx, done, err := s.Lines.begin(c.Request.Context(), v.ID)
	if err != nil {
		return err
	}
	defer done()
	name := p.text("name")
	if name == "" {
		name = "main"
	}
	view, err := s.Terminals.Attach(terminal.Request{
		Session: v.ID, Name: name, Size: size, Type: p.text("term"),
		Exec: func(ctx context.Context, spec sessions.ExecSpec) (sessions.Exit, error) {
			return s.Sessions.Exec(ctx, v.Project, v.ID, spec)
		},
	})
	if err != nil {
		return err
	}
	defer view.Close()
	line, err := takeOver(c)
	if line != nil {
		s.watch(ctx, line, v, view)
	}
	return err
}

// watch connects a client with a terminal until one of them is gone.
func (s *server) watch(ctx context.Context, line *api.ServerLine, v sessions.Session, view *terminal.View) {
	watching, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, view.Close)()
	go func() {
		select {
		case <-line.Gone():
			view.Close()
			cancel()
		case <-watching.Done():
		}
	}()
	go func() { _, _ = io.Copy(view, line.Stdin()) }() // ends with the line, or the terminal
	go func() {
		for size := range until(watching, line.Resized()) {
			view.Resize(sessions.Window(size))
		}
	}()
	_, _ = io.Copy(line.Stdout(watching), struct{ io.Reader }{view})
	exit, over, err := view.End()
	switch cause := context.Cause(ctx); {
	case cause != nil:
		err = fmt.Errorf("%w: %w: %w", sessions.ErrUnavailable, errGoesOn, cause)
	case !over: // the client has gone
		err = errGone
	}
	s.endLine(context.WithoutCancel(ctx), line, exit, s.orOver(v, err))
}

// orOver is err, or that the session has ended since it was found running: then that is why.
func (s *server) orOver(v sessions.Session, err error) error {
	if err == nil {
		return nil
	}
	now, gone := s.Sessions.Session(v.Project, v.ID)
	if gone != nil || now.Status == sessions.StatusRunning {
		return err
	}
	return &hinted{sessions.NotRunning(now), "see: palisade session info " + v.ID}
}

// until yields what comes until ctx ends.
func until[T any](ctx context.Context, from <-chan T) iter.Seq[T] {
	return func(yield func(T) bool) {
		for {
			select {
			case v := <-from:
				if !yield(v) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}
