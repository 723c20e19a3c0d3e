package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/people"
	"github.com/palisade-run/palisade/sessions"
)

// need is what it takes to ask for something.
type need uint8

// The needs, in order. From viewer to owner they are roles in the project that is asked for.
const (
	open   need = iota // nobody has to be known
	anyone             // whoever is known
	self               // whoever changes what is their own: no key that may less than its owner
	viewer
	member
	owner
	admin // of the box
)

// What else is said beside a need.
const (
	// across: with all=true it is about every project, and needs admin.
	across need = 1 << (iota + 4)
	// inBody: the project may be named in the body. Then projectOf asks for it.
	inBody
	// inPath: the project is what the path names.
	inPath
)

const roleBits need = 1<<4 - 1

// role is the need without what else is said.
func (n need) role() need { return n & roleBits }

// ofProject reports whether a need is about a part in a project.
func (n need) ofProject() bool { return n.role() >= viewer && n.role() <= owner }

// needKey is under what a request carries the need of its route.
const needKey = "palisade.need"

// guarded is a handler behind its need: the one place where permissions are enforced.
func (s *server) guarded(n need, h func(*gin.Context) error) func(*gin.Context) error {
	return func(c *gin.Context) error {
		if err := s.unfinished(c, n); err != nil {
			return err
		}
		ended, err := s.admit(c, n)
		if err != nil {
			return err
		}
		return ended(h(c))
	}
}

// aboutKey is under what a request carries the project that it is about.
const aboutKey = "palisade.about"

// admit lets a request through to its handler, or says why not. What goes on for long is asked for again and again: ended is to
// be called with how it ended.
func (s *server) admit(c *gin.Context, n need) (ended func(error) error, err error) {
	c.Set(needKey, n)
	project := s.home(c, n)
	if all, err := strconv.ParseBool(c.Request.URL.Query().Get("all")); n&across != 0 && err == nil && all {
		n = admin
	}
	if n&inBody != 0 && c.Request.URL.Query().Get("project") == "" {
		return asItIs, nil
	}
	ctx := c.Request.Context()
	c.Set(aboutKey, project)
	if err := s.permit(ctx, n, project); err != nil {
		return nil, err
	}
	return s.keepAsking(c, func(ctx context.Context) error { return s.permit(ctx, n, project) }), nil
}

// home is the project that a request is about. One that names none is about that of the key with which it came, else of the
// default one, else of the only one that who asks has a part in. It is put into the request, where all look for it.
func (s *server) home(c *gin.Context, n need) string {
	if n&inPath != 0 {
		return c.Param("name")
	}
	values := c.Request.URL.Query()
	if name := values.Get("project"); name != "" {
		return name
	}
	project := s.ownProject(actorOf(c.Request.Context()))
	if project != DefaultProject && n.ofProject() && n&inBody == 0 {
		values.Set("project", project)
		c.Request.URL.RawQuery = values.Encode()
	}
	return project
}

func (s *server) ownProject(a Actor) string {
	if a.Project != "" {
		return a.Project
	}
	if a.User.Name == "" || s.rights.Sees(a, DefaultProject) {
		return DefaultProject
	}
	if parts := s.rights.Parts.Parts(a.User.Name); len(parts) == 1 {
		return parts[0].Project
	}
	return DefaultProject
}

// permit says why who asks may not do in a project what needs n. A project that they have no part in is not there for them.
func (s *server) permit(ctx context.Context, n need, project string) error {
	a := actorOf(ctx)
	g := s.rights.grant(a, project)
	if n.ofProject() {
		if !projectName.MatchString(project) {
			return badField("?project", "", "%q is no name of a project", project)
		}
		if _, there := s.rights.Parts.Find(project); !there || !g.meets(viewer) {
			return people.NoProject(project)
		}
	}
	if g.meets(n) {
		return nil
	}
	return s.forbidden(a, g, n, project)
}

// permitEnter says why who asks may not enter, end or copy a session, which they may see.
func (s *server) permitEnter(c *gin.Context, v sessions.Session) error {
	allowed := func(ctx context.Context) error {
		a := actorOf(ctx)
		if s.rights.Enters(a, v) {
			return nil
		}
		p := s.forbidden(a, s.rights.grant(a, v.Project), owner, v.Project)
		if s.rights.made(a, v.CreatedBy) {
			p.Detail = fmt.Sprintf("session %s has secrets of the appliance in its environment: %s", v.Name, p.Detail)
		} else {
			p.Detail = fmt.Sprintf("session %s is %s's: %s", v.Name, v.CreatedBy, p.Detail)
		}
		return p
	}
	if err := allowed(c.Request.Context()); err != nil {
		return err
	}
	if asked, ok := c.Value(askedKey).(*asking); ok {
		asked.also(allowed)
	}
	return nil
}

// forbidden says what is needed, what who asks has, and who can give it.
func (s *server) forbidden(a Actor, g grant, n need, project string) *api.Problem {
	who := a.Name + " is"
	if a.Via == viaKey {
		who = fmt.Sprintf("the API key (scope %s) is", a.Scope)
	}
	p := api.NewProblem(api.KindForbidden, http.StatusForbidden, "")
	switch {
	case n.role() == admin:
		p.Detail = "that is for administrators of the appliance; " + who + " none"
		p.Hint = "ask one of them"
	case n.role() == self:
		p.Detail = fmt.Sprintf("that is for people themselves, and for keys of scope admin for all projects; the API key has scope %s", a.Scope)
		p.Hint = "log in, or use another key"
	default:
		p.Detail = fmt.Sprintf("that needs the role %s in project %s; %s %s there", roleOf(n.role()), project, who, g.role)
		p.Hint = s.givers(project)
	}
	return p
}

// givers says who can give somebody another role.
func (s *server) givers(project string) string {
	var names []string
	for _, m := range s.rights.Parts.Members(project) {
		if m.Role == people.Owner && len(names) < 5 {
			names = append(names, m.User)
		}
	}
	if len(names) == 0 {
		return "an administrator can give it: palisade project member add " + project + " NAME --role ROLE"
	}
	return "its owners can give it: " + strings.Join(names, ", ")
}

// projectOf is the project that the query and the body name, in which who asks may do what they ask for. The two may not
// differ.
func (s *server) projectOf(c *gin.Context, p *params, inBody string) (string, error) {
	project := p.text("project")
	switch {
	case inBody == "" && project == "":
		project = s.ownProject(actorOf(c.Request.Context()))
	case inBody == "":
	case project != "" && project != inBody:
		return "", badField("project", "", "%q in the body, %q in the query", inBody, project)
	case !projectName.MatchString(inBody):
		return "", badField("project", "", "%q is no name of a project", inBody)
	default:
		project = inBody
	}
	n, _ := c.Value(needKey).(need)
	c.Set(aboutKey, project)
	return project, s.permit(c.Request.Context(), n, project)
}

// askEvery is how often it is asked again whether somebody may what goes on for long: what is taken away ends within it.
const askEvery = 5 * time.Second

// askedKey is under what a request carries what is asked of it again.
const askedKey = "palisade.asked"

// asking is what is asked again while a request goes on.
type asking struct {
	mu    sync.Mutex
	all   []func(context.Context) error
	timer *time.Timer
	over  bool
}

func (q *asking) also(allowed func(context.Context) error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.all = append(q.all, allowed)
}

// keepAsking ends a request when what was allowed is not any more. Who comes from the box itself may always.
func (s *server) keepAsking(c *gin.Context, allowed func(context.Context) error) (ended func(error) error) {
	ctx := c.Request.Context()
	a := actorOf(ctx)
	if a.Via == "" || a.Via == viaSocket || c.Request.Method != http.MethodGet {
		return asItIs // what is being changed is finished
	}
	own, cancel := context.WithCancelCause(ctx)
	q := &asking{all: []func(context.Context) error{allowed}}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.timer = time.AfterFunc(askEvery, func() {
		if err := s.askAgain(ctx, q); err != nil {
			cancel(err)
			return
		}
		q.mu.Lock()
		defer q.mu.Unlock()
		if !q.over {
			q.timer.Reset(askEvery)
		}
	})
	c.Set(askedKey, q)
	c.Request = c.Request.WithContext(own)
	return func(err error) error {
		q.mu.Lock()
		q.over = true
		q.timer.Stop()
		q.mu.Unlock()
		why := context.Cause(own)
		c.Request = c.Request.WithContext(ctx) // for who answers with the error
		cancel(nil)
		if p, taken := errors.AsType[*api.Problem](why); taken && err != nil && ctx.Err() == nil {
			return p
		}
		return err
	}
}

func asItIs(err error) error { return err }

func (s *server) askAgain(ctx context.Context, q *asking) error {
	a, may := s.rights.Again(actorOf(ctx))
	if !may {
		return api.NewProblem(api.KindUnauthorized, http.StatusUnauthorized, "who has come this way may not any more")
	}
	ctx = context.WithValue(ctx, actorKey, a)
	q.mu.Lock()
	all := q.all
	q.mu.Unlock()
	for _, allowed := range all {
		if err := allowed(ctx); err != nil {
			return err
		}
	}
	return nil
}
