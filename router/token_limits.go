package router

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/palisade-run/palisade/router/quota"
)

// OtherProjects names, among the limits of projects, those of every project that has no line.
const OtherProjects = "*"

// projects are the limits of projects and the subjects made of them. Published maps are never changed.
type projects struct {
	named map[string]*quota.Subject // nil where that one has no limits
	rest  quota.Limits              // of each of the others
	spent map[string]int64          // in the window of rest
	read  time.Time                 // when spent was
	// lifted are subjects whose limits were taken away: what they count goes on where they get some again.
	lifted map[string]*quota.Subject

	making sync.Mutex
	others atomic.Pointer[map[string]*quota.Subject] // made when first asked for
}

// Spent tells how many tokens (prompt and completion) were used since from (zero: ever), by a token's id
// and by a project's name.
type Spent func(ctx context.Context, from time.Time) (tokens, projects map[string]int64, err error)

// Limit puts limits on projects (OtherProjects: on each that is not named), and lets budgets go on where
// they were: without it they begin anew with the program. To be called before requests come, and again at any time: counts and
// budgets go on, and what is in flight is settled where it was taken. Services get theirs when the table is set next. Errors
// are of limits that cannot be (ErrInvalid) or of spent; nothing has changed then.
func (t *Tokens) Limit(ctx context.Context, limits map[string]quota.Limits, spent Spent) error {
	for name, l := range limits {
		if err := l.Check(); err != nil {
			return fmt.Errorf("limits of project %q: %w", name, invalidLimits(err))
		}
	}
	now := t.now()
	t.writing.Lock()
	defer t.writing.Unlock()
	set := t.current.Load()
	reading := set
	if t.limited {
		reading = &tokenSet{} // what tokens have spent is known
	}
	before, err := spentBefore(ctx, spent, now, reading, limits)
	if err != nil {
		return err
	}
	if !t.limited {
		t.resume(set, before, now)
		t.limited = true
	}
	t.projects.Store(t.projects.Load().next(limits, before, now))
	return nil
}

// resume lets the budgets of tokens go on where they were. The caller holds writing.
func (t *Tokens) resume(set *tokenSet, before map[quota.Window]spentIn, now time.Time) {
	next := &tokenSet{byHash: maps.Clone(set.byHash), byID: maps.Clone(set.byID)}
	for id, e := range set.byID {
		if n := before[e.Limits.Window].tokens[id]; e.Limits.Budget > 0 && n > 0 {
			again := *e
			again.payer = e.subject(n, now)
			next.put(&again)
		}
	}
	t.current.Store(next)
}

// next are the projects with other limits; subjects that there are go on.
func (p *projects) next(limits map[string]quota.Limits, before map[quota.Window]spentIn, now time.Time) *projects {
	p.making.Lock()
	defer p.making.Unlock()
	known := maps.Clone(p.lifted)
	if known == nil {
		known = map[string]*quota.Subject{}
	}
	if others := p.others.Load(); others != nil {
		maps.Copy(known, *others)
	}
	for name, s := range p.named {
		if s != nil {
			known[name] = s
		}
	}
	n := &projects{named: map[string]*quota.Subject{}, lifted: map[string]*quota.Subject{}, read: now}
	n.rest = limits[OtherProjects]
	n.spent = before[n.rest.Window].projects
	for name, l := range limits {
		if name != OtherProjects && (known[name] == nil || l.Unlimited()) {
			n.named[name] = projectSubject(name, l, before[l.Window].projects[name], now)
		}
	}
	others := map[string]*quota.Subject{}
	for name, s := range known {
		l, named := limits[name]
		if !named {
			l = n.rest
		}
		s.SetLimits(l, before[l.Window].projects[name], now)
		switch {
		case l.Unlimited():
			n.lifted[name] = s
		case named:
			n.named[name] = s
		default:
			others[name] = s
		}
	}
	n.others.Store(&others)
	return n
}

type spentIn struct{ tokens, projects map[string]int64 }

// spentBefore asks once for each window of which somebody has a budget.
func spentBefore(ctx context.Context, spent Spent, now time.Time, set *tokenSet, limits map[string]quota.Limits) (map[quota.Window]spentIn, error) {
	out := map[quota.Window]spentIn{}
	ask := func(l quota.Limits) error {
		if _, known := out[l.Window]; known || l.Budget == 0 {
			return nil
		}
		from, _ := l.Window.Bounds(now)
		tokens, projects, err := spent(ctx, from)
		if err != nil {
			return fmt.Errorf("reading what was spent of budgets: %w", err)
		}
		out[l.Window] = spentIn{tokens, projects}
		return nil
	}
	for _, e := range set.byID {
		if e.State(now) != nil {
			continue
		}
		if err := ask(e.Limits); err != nil {
			return nil, err
		}
	}
	for _, l := range limits {
		if err := ask(l); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func projectSubject(name string, l quota.Limits, spent int64, now time.Time) *quota.Subject {
	return quota.NewSubject(fmt.Sprintf("project %q", name), l, spent, now).Keyed("project:" + name)
}

// Project is what limits a project; nil where nothing does. It waits for nobody. Services keep theirs
// when the table is set; to ask again and again gives the same one.
func (t *Tokens) Project(name string) *quota.Subject {
	p := t.projects.Load()
	if s, ok := p.named[name]; ok {
		return s
	}
	if p.rest.Unlimited() {
		return nil
	}
	if known := p.others.Load(); known != nil && (*known)[name] != nil {
		return (*known)[name]
	}
	return p.other(name)
}

// other makes the subject of a project that has no line.
func (p *projects) other(name string) *quota.Subject {
	p.making.Lock()
	defer p.making.Unlock()
	next := map[string]*quota.Subject{}
	if known := p.others.Load(); known != nil {
		next = maps.Clone(*known)
	}
	if next[name] == nil {
		next[name] = projectSubject(name, p.rest, p.spent[name], p.read)
		p.others.Store(&next)
	}
	return next[name]
}

// Payers are what a request counts for: its token, nil where it came without one that counts, the
// project of its service, and who issued the token. No allocation, no lock.
func (t *Tokens) Payers(tok *Token, project string) quota.Payers {
	p := quota.Payers{1: t.Project(project)}
	if tok != nil && !tok.Limits.Unlimited() {
		if e := t.current.Load().byID[tok.ID]; e != nil {
			p[0] = e.payer
		}
	}
	if tok != nil {
		if e := t.current.Load().byID[tok.ID]; e != nil {
			p[2] = e.person
		}
	}
	return p
}

// Share has requests let in by c, which other processes and boxes ask too. To be called before requests come.
func (t *Tokens) Share(c quota.Counter) { t.counter = c }

// take lets a request in for all that it counts for, or says why not.
func (t *Tokens) take(now time.Time, p quota.Payers, ask quota.Ask) (quota.Grant, quota.Refusal, bool) {
	if t.counter != nil {
		return t.counter.Take(now, p, ask)
	}
	return p.Take(now, ask)
}

// Charge counts tokens that a request has used which another process let in: for the token with the id, "" where
// there was none, for its service's project, and for who issued the token. Where counts are shared that process has told the others
// itself.
func (t *Tokens) Charge(id, project string, used int64) {
	now, p := t.now(), quota.Payers{1: t.Project(project)}
	if e := t.current.Load().byID[id]; e != nil {
		p[0], p[2] = e.payer, e.person
	}
	if t.counter != nil {
		t.counter.Charge(now, p, used)
		return
	}
	for _, s := range p {
		s.Charge(now, used)
	}
}

// Standing is how much of its limits a token has left. The zero value where it has none, or is not there.
func (t *Tokens) Standing(id string) quota.State {
	e := t.current.Load().byID[id]
	if e == nil {
		return quota.State{}
	}
	return e.payer.State(t.now())
}

// overLimit is the answer to a request that a limit keeps out. OpenAI's clients tell a rate, which is worth
// another try, from a budget that is spent by the code.
func overLimit(r *quota.Refusal) *Refusal {
	f := &Refusal{
		Status: http.StatusTooManyRequests, Type: "requests", Code: "rate_limit_exceeded",
		Message: r.Message(), RetryAfter: r.RetryAfter, reason: r.Kind.String(),
	}
	switch r.Kind {
	case quota.Tokens:
		f.Type = "tokens"
	case quota.Budget:
		f.Type, f.Code, f.hopeless = "insufficient_quota", "insufficient_quota", true
		if r.Window == quota.Ever {
			f.RetryAfter = 0 // it will never fit
		}
	}
	return f
}

// invalidLimits makes an error of limits one of this room's.
func invalidLimits(err error) error {
	if e, ok := errors.AsType[*quota.FieldError](err); ok {
		return &inputError{e.Error(), e.Hint()}
	}
	return err
}
