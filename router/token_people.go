package router

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/palisade-run/palisade/router/quota"
)

// people are the limits of those who issue tokens, and the subjects made of them. Guarded by Tokens.writing.
type people struct {
	limits   map[string]quota.Limits // OtherProjects, "*", of each who is not named
	subjects map[string]*quota.Subject
}

func (p *people) of(name string) quota.Limits {
	if l, named := p.limits[name]; named {
		return l
	}
	return p.limits[OtherProjects]
}

// subject of a person; nil where nothing limits them. One who has issued no token yet has spent nothing.
func (p *people) subject(name string, spent int64, now time.Time) *quota.Subject {
	l := p.of(name)
	s := p.subjects[name]
	switch {
	case name == "" || l.Unlimited():
		return nil
	case s == nil:
		s = quota.NewSubject(fmt.Sprintf("user %q", name), l, spent, now).Keyed("user:" + name)
		p.subjects[name] = s
	}
	return s
}

// LimitPeople puts limits on what all tokens that one person has issued may use together ("*": of each who is not named). As
// Limit, it may be called at any time.
func (t *Tokens) LimitPeople(ctx context.Context, limits map[string]quota.Limits, spent Spent) error {
	for name, l := range limits {
		if err := l.Check(); err != nil {
			return fmt.Errorf("limits of user %q: %w", name, invalidLimits(err))
		}
	}
	now := t.now()
	t.writing.Lock()
	defer t.writing.Unlock()
	before, err := spentBefore(ctx, spent, now, &tokenSet{}, limits)
	if err != nil {
		return err
	}
	set := t.current.Load()
	used := map[quota.Window]map[string]int64{}
	for window, in := range before {
		used[window] = map[string]int64{}
		for id, n := range in.tokens {
			if e := set.byID[id]; e != nil {
				used[window][e.CreatedBy] += n
			}
		}
	}
	had := t.people.subjects
	t.people = people{limits: maps.Clone(limits), subjects: maps.Clone(had)}
	if t.people.subjects == nil {
		t.people.subjects = map[string]*quota.Subject{}
	}
	for name, s := range had {
		l := t.people.of(name)
		s.SetLimits(l, used[l.Window][name], now)
	}
	next := &tokenSet{byHash: maps.Clone(set.byHash), byID: maps.Clone(set.byID)}
	for _, e := range set.byID {
		if person := t.people.subject(e.CreatedBy, used[t.people.of(e.CreatedBy).Window][e.CreatedBy], now); person != e.person {
			again := *e
			again.person = person
			next.put(&again)
		}
	}
	t.current.Store(next)
	return nil
}

// Person is how much of their limits a person has left. The zero value where they have none.
func (t *Tokens) Person(name string) quota.State {
	t.writing.Lock()
	s := t.people.subjects[name]
	t.writing.Unlock()
	return s.State(t.now())
}
