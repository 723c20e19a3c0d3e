package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/autoscaler"
	"github.com/palisade-run/palisade/sessions"
)

// Autoscaling keeps what owners want of their services' numbers of routes, and says what was decided.
// *autoscaler.Keeper is one.
type Autoscaling interface {
	// Policy of a service; false where it was never edited.
	Policy(serviceID string) (autoscaler.Kept, bool)
	// SetPolicy checks and keeps a policy (autoscaler.ErrInvalid), unless its version is another than version, 0 where there
	// is none yet (autoscaler.ErrConflict). It ends a pause.
	SetPolicy(ctx context.Context, serviceID string, p autoscaler.Policy, by string, version int64) (autoscaler.Kept, error)
	// Resume ends a pause; where there is none it does nothing.
	Resume(ctx context.Context, serviceID, by string) error
	// Standing is false where nothing is known of the service.
	Standing(serviceID string) (autoscaler.Standing, bool)
	// Decisions, newest first.
	Decisions(ctx context.Context, serviceID string, limit int) ([]autoscaler.Decision, error)
}

// editAttempts is how often an edit that names no version is made again on top of one that came meanwhile.
const editAttempts = 3

// findScaled is find for what is about a service's scaling.
func (s *server) findScaled(c *gin.Context, p *params) (sessions.ServiceView, error) {
	if p.err == nil && s.Autoscaling == nil {
		return sessions.ServiceView{}, noAutoscaling()
	}
	return s.find(c, p)
}

func noAutoscaling() error {
	return api.NewProblem(api.KindNotSupported, http.StatusNotImplemented, "nothing is scaled by itself here")
}

func (s *server) getAutoscaling(c *gin.Context) error {
	v, err := s.findScaled(c, query(c))
	if err != nil {
		return err
	}
	return s.respondStanding(c, v)
}

func (s *server) respondStanding(c *gin.Context, v sessions.ServiceView) error {
	out := s.standing(v)
	c.Header("ETag", api.ETag(out.Version))
	return respond(c, http.StatusOK, out)
}

// changeAutoscaling answers an edit of the whole policy with how it stands then.
func (s *server) changeAutoscaling(c *gin.Context, change func(e *policyEdit)) error {
	v, err := s.findScaled(c, query(c))
	if err != nil {
		return err
	}
	if _, err := s.editPolicy(c, v, change); err != nil {
		return err
	}
	// A pause ends with the edit, so the service may have changed too.
	if v, err = s.Services.Service(v.Project, v.ID); err != nil {
		return err
	}
	return s.respondStanding(c, v)
}

func (s *server) setAutoscaling(c *gin.Context) error {
	var in api.Autoscaling
	if err := decode(c, &in); err != nil {
		return err
	}
	return s.changeAutoscaling(c, func(e *policyEdit) {
		before := e.policy.Rules
		e.policy, e.fresh = autoscaler.DefaultPolicy(), true
		e.lay(&in, before)
	})
}

func (s *server) updateAutoscaling(c *gin.Context) error {
	var in api.Autoscaling
	if err := decode(c, &in); err != nil {
		return err
	}
	return s.changeAutoscaling(c, func(e *policyEdit) { e.lay(&in, e.policy.Rules) })
}

func (s *server) clearAutoscaling(c *gin.Context) error {
	return s.changeAutoscaling(c, func(e *policyEdit) { e.policy.Rules, e.policy.IdleAfter = nil, 0 })
}

func (s *server) resumeAutoscaling(c *gin.Context) error {
	v, err := s.findScaled(c, query(c))
	if err != nil {
		return err
	}
	if k, ok := s.Autoscaling.Policy(v.ID); !ok || !k.Policy.On() {
		return &hinted{
			fmt.Errorf("service %q has no autoscaling that could go on: %w", v.Name, sessions.ErrForbidden),
			"palisade service autoscale " + v.Name + " --max N --target concurrency=8",
		}
	}
	if err := s.Autoscaling.Resume(c.Request.Context(), v.ID, actorOf(c.Request.Context()).Name); err != nil {
		return err
	}
	if v, err = s.Services.Service(v.Project, v.ID); err != nil {
		return err
	}
	return s.respondStanding(c, v)
}

// policyOf is a service's policy; of one that has none, what an edit of it begins with.
func (s *server) policyOf(v sessions.ServiceView) autoscaler.Kept {
	k, ok := s.Autoscaling.Policy(v.ID)
	if !ok {
		return autoscaler.Kept{ServiceID: v.ID, Policy: firstPolicy(v.Replicas)}
	}
	k.Policy.Rules = slices.Clone(k.Policy.Rules) // what is kept is not for an edit to change
	return k
}

// firstPolicy is the default, widened to a service's number of routes: that its first rule is written must not end any.
func firstPolicy(replicas int) autoscaler.Policy {
	p := autoscaler.DefaultPolicy()
	p.Max = max(p.Max, replicas)
	return p
}

// editPolicy changes a service's policy. With If-Match it is refused where the policy has another version; without, a
// change that came meanwhile stays, and this one is made on top of it.
func (s *server) editPolicy(c *gin.Context, v sessions.ServiceView, change func(e *policyEdit)) (autoscaler.Kept, error) {
	ctx := c.Request.Context()
	for attempt := 1; ; attempt++ {
		k := s.policyOf(v)
		if err := checkVersion(c, fmt.Sprintf("the autoscaling of service %q", v.Name), k.Version); err != nil {
			return autoscaler.Kept{}, err
		}
		e := &policyEdit{policy: k.Policy, fresh: k.Version == 0, only: -1}
		if change(e); e.failed != nil {
			return autoscaler.Kept{}, e.failed
		}
		if err := e.check(""); err != nil {
			return autoscaler.Kept{}, err
		}
		saved, err := s.Autoscaling.SetPolicy(ctx, v.ID, e.policy, actorOf(ctx).Name, k.Version)
		if !errors.Is(err, autoscaler.ErrConflict) || c.GetHeader("If-Match") != "" || attempt == editAttempts {
			return saved, e.problemOf(err, "")
		}
	}
}

// scalingOf is what a service's own answer says of its scaling, and whether that is paused; nil where it was never edited.
func (s *server) scalingOf(v sessions.ServiceView) (policy *api.Autoscaling, paused bool) {
	if s.Autoscaling == nil {
		return nil, false
	}
	k, ok := s.Autoscaling.Policy(v.ID)
	if !ok {
		return nil, false
	}
	return new(autoscalingOut(&k)), isPaused(v, &k)
}

// isPaused reports whether a person's number of routes stands: it was set after the last edit. It is asked of what is kept
// and not of the last decision, so that who has just set a number sees at once what came of it.
func isPaused(v sessions.ServiceView, k *autoscaler.Kept) bool {
	return k.Policy.On() && v.ScaledBy != "" && v.ScaledAt.After(k.EditedAt)
}

// checkAutoscaling reads the autoscaling of a request that creates or updates a service, before anything is done for it.
// base is what it is laid over.
func (s *server) checkAutoscaling(in *api.Autoscaling, base func() autoscaler.Kept) (*autoscaler.Kept, error) {
	if in == nil {
		return nil, nil //nolint:nilnil // nothing said is no mistake
	}
	if s.Autoscaling == nil {
		return nil, noAutoscaling()
	}
	k := base()
	e := &policyEdit{policy: k.Policy, fresh: k.Version == 0, only: -1}
	e.lay(in, k.Policy.Rules)
	if err := e.check("autoscaling."); err != nil {
		return nil, err
	}
	k.Policy = e.policy
	return &k, nil
}

// keepAutoscaling keeps what checkAutoscaling read; nil is nothing to keep. What was done before it stays done.
func (s *server) keepAutoscaling(ctx context.Context, v sessions.ServiceView, k *autoscaler.Kept) error {
	if k == nil {
		return nil
	}
	_, err := s.Autoscaling.SetPolicy(ctx, v.ID, k.Policy, actorOf(ctx).Name, k.Version)
	if err == nil {
		return nil
	}
	p := *problemOf(ctx, err)
	p.Detail = fmt.Sprintf("service %q is as you asked, but for its autoscaling: %s", v.Name, p.Detail)
	p.Hint = strings.TrimPrefix(p.Hint+"; set it once more: palisade service autoscale "+v.Name, "; ")
	return fmt.Errorf("%w: %w", &p, err) // the log has the whole of it
}

func (s *server) listDecisions(c *gin.Context) error {
	p := query(c, "limit")
	limit := p.number("limit", api.DefaultLimit, 1, api.MaxLimit)
	v, err := s.findScaled(c, p)
	if err != nil {
		return err
	}
	all, err := s.Autoscaling.Decisions(c.Request.Context(), v.ID, limit)
	if err != nil {
		return err
	}
	page := api.Page[api.Decision]{Items: []api.Decision{}}
	for i := range all {
		page.Items = append(page.Items, decisionOut(&all[i]))
	}
	return respond(c, http.StatusOK, page)
}

func listMetrics(c *gin.Context) error {
	p := query(c, "limit", "cursor")
	items := []api.Metric{}
	for _, m := range autoscaler.Vocabulary() {
		items = append(items, api.Metric{
			MetricSource: string(m.Metric.Source), MetricName: m.Metric.Name, Unit: m.Unit, Description: m.About, Totals: m.Totals, Target: m.Busier,
		})
	}
	return respondPage(c, p, items, func(m api.Metric) string { return m.MetricSource + "\x00" + m.MetricName })
}
