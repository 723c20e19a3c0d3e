package admin

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/autoscaler"
	"github.com/palisade-run/palisade/sessions"
)

func (s *server) listRules(c *gin.Context) error {
	v, err := s.findScaled(c, query(c))
	if err != nil {
		return err
	}
	k := s.policyOf(v)
	page := api.Page[api.Rule]{Items: rulesOut(&k)}
	c.Header("ETag", api.ETag(k.Version))
	return respond(c, http.StatusOK, page)
}

func (s *server) getRule(c *gin.Context) error {
	v, err := s.findScaled(c, query(c))
	if err != nil {
		return err
	}
	k := s.policyOf(v)
	at, err := findRule(c, v, k.Policy.Rules)
	if err != nil {
		return err
	}
	return respondRule(c, http.StatusOK, &k, at)
}

func respondRule(c *gin.Context, status int, k *autoscaler.Kept, at int) error {
	c.Header("ETag", api.ETag(k.Version))
	return respond(c, status, rulesOut(k)[at])
}

// findRule returns where the rule that the path names stands: by its id or its name, which no other has.
func findRule(c *gin.Context, v sessions.ServiceView, rules []autoscaler.Rule) (int, error) {
	ref := c.Param("rid")
	at := slices.IndexFunc(rules, func(r autoscaler.Rule) bool { return r.ID == ref || r.Name == ref })
	if at >= 0 && ref != "" {
		return at, nil
	}
	err := withNearest(fmt.Errorf("rule %q of service %q: %w", ref, v.Name, autoscaler.ErrNotFound), ref, func() []string {
		var known []string
		for _, r := range rules {
			known = append(known, r.ID, r.Name)
		}
		return slices.DeleteFunc(known, func(word string) bool { return word == "" })
	})
	if _, said := errors.AsType[hinter](err); !said {
		err = &hinted{err, "those that are: palisade service rule list " + v.Name}
	}
	return 0, err
}

func (s *server) createRule(c *gin.Context) error {
	v, err := s.findScaled(c, query(c))
	if err != nil {
		return err
	}
	var in api.Rule
	if err := decode(c, &in); err != nil {
		return err
	}
	if in.ID != nil {
		return badField("id", "leave it out", "a new rule gets its own")
	}
	at := 0
	k, err := s.editPolicy(c, v, func(e *policyEdit) {
		at = len(e.policy.Rules)
		e.only = at
		r := e.rule("", &in, newRule(&in))
		if e.fresh { // its bounds are the only ones that anybody has said
			e.policy.Min, e.policy.Max = min(e.policy.Min, value(r.MinReplicas, e.policy.Min)), max(e.policy.Max, value(r.MaxReplicas, e.policy.Max))
		}
		e.policy.Rules = append(e.policy.Rules, r)
	})
	if err != nil {
		return err
	}
	c.Header("Location", api.Prefix+"/services/"+v.ID+"/rules/"+k.Policy.Rules[at].ID)
	return respondRule(c, http.StatusCreated, &k, at)
}

func (s *server) updateRule(c *gin.Context) error {
	v, err := s.findScaled(c, query(c))
	if err != nil {
		return err
	}
	var in api.Rule
	gone, err := decodePatch(c, &in)
	if err != nil {
		return err
	}
	at := 0
	k, err := s.editPolicy(c, v, func(e *policyEdit) {
		if at, e.failed = findRule(c, v, e.policy.Rules); e.failed != nil {
			return
		}
		e.only = at
		before := e.policy.Rules[at]
		if in.ID != nil && *in.ID != before.ID {
			e.failed = badField("id", "", "%q: a rule keeps its own, %s", *in.ID, before.ID)
			return
		}
		before = without(before, gone)
		if in.Kind != nil || slices.Contains(gone, "kind") {
			before = ofKind(before, newRule(&in).Kind, in.Kind)
		}
		e.policy.Rules[at] = e.rule("", &in, before)
	})
	if err != nil {
		return err
	}
	return respondRule(c, http.StatusOK, &k, at)
}

// ofKind is a rule that becomes one of another kind: it keeps what rules of both have. said is the kind in the request's
// words; where it has none, its other fields mean one.
func ofKind(r autoscaler.Rule, meant autoscaler.Kind, said *string) autoscaler.Rule {
	layWord(&meant, said)
	if meant == r.Kind {
		return r
	}
	out := autoscaler.Rule{ID: r.ID, Name: r.Name, Kind: meant, MinReplicas: r.MinReplicas, MaxReplicas: r.MaxReplicas}
	if meant != autoscaler.KindSchedule {
		out.Metric = r.Metric
	}
	return out
}

func (s *server) removeRule(c *gin.Context) error {
	v, err := s.findScaled(c, query(c))
	if err != nil {
		return err
	}
	if _, err := s.editPolicy(c, v, func(e *policyEdit) {
		at, err := findRule(c, v, e.policy.Rules)
		if e.failed = err; err == nil {
			e.policy.Rules = slices.Delete(e.policy.Rules, at, at+1)
		}
	}); err != nil {
		return err
	}
	return noContent(c)
}

func value[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}
