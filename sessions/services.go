package sessions

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/catalog/folders"
)

// ServiceRequest asks for a new service.
type ServiceRequest struct {
	Name      string // "" for one that is made up: svc-XXXXXX
	Project   string
	CreatedBy string
	Replicas  int
	Public    bool
	Policy    *Policy  // nil: the default
	Routing   *Routing // nil: the default
	Priority  *int     // nil: DefaultPriority
	Recipe    Recipe
}

// ServiceUpdate changes a service; nil leaves as it is. A changed recipe makes a new revision, which
// is rolled out; so does an unchanged one whose definition file says something else by now.
type ServiceUpdate struct {
	Name     *string
	Public   *bool
	Replicas *int
	Policy   *Policy
	Routing  *Routing
	Priority *int // of routes that are placed from now on
	Recipe   *Recipe
	By       string
}

// apply changes what the update names, but not the recipe: that is a revision of its own.
func (up *ServiceUpdate) apply(s *Service) {
	set(&s.Name, up.Name)
	set(&s.Public, up.Public)
	if up.Replicas != nil {
		s.scaledBy(*up.Replicas, up.By)
	}
	set(&s.Policy, up.Policy)
	set(&s.Routing, up.Routing)
	set(&s.Priority, up.Priority)
}

// maxReplicas is far above what one box runs, and low enough that a slip of the hand is seen.
const maxReplicas = 1000

func checkReplicas(n int) error {
	if n < 0 || n > maxReplicas {
		return fmt.Errorf("%w: replicas %d: a number from 0 to %d", ErrInvalid, n, maxReplicas)
	}
	return nil
}

// CreateService records a service; its routes start soon after. All that can be known to be wrong is
// told now: ErrInvalid (with catalog.Problems where a definition is), ErrExists, ErrNotFound.
func (m *Manager) CreateService(ctx context.Context, req ServiceRequest) (ServiceView, error) {
	sv, res, err := m.draftService(ctx, req)
	if err != nil {
		return ServiceView{}, err
	}
	rev := Revision{ServiceID: sv.ID, Number: 1, CreatedAt: sv.CreatedAt, CreatedBy: req.CreatedBy, Recipe: res.recipe, Launch: res.launch}
	view, err := m.record(ctx, sv, rev)
	view.Warnings = res.warnings
	m.changed() // also where it broke off: what was begun is to go
	return view, err
}

// draftService is the service that a request asks for, with what it would run.
func (m *Manager) draftService(ctx context.Context, req ServiceRequest) (Service, resolved, error) {
	now := time.Now().UTC()
	sv := Service{
		ID: newID("svc"), Name: req.Name, Project: req.Project, CreatedBy: req.CreatedBy, CreatedAt: now, UpdatedAt: now,
		Lifecycle: LifecycleActive, Replicas: req.Replicas, Public: req.Public, Policy: m.Policy, Revision: 1,
		Priority: DefaultPriority, Routing: DefaultRouting(),
	}
	set(&sv.Priority, req.Priority)
	set(&sv.Routing, req.Routing)
	if sv.Name == "" {
		sv.Name = sv.ID[:10]
	}
	if req.Policy != nil {
		sv.Policy = *req.Policy
	}
	if err := together(checkName(sv.Name), checkReplicas(sv.Replicas), checkPriority(sv.Priority), sv.Policy.Check(), sv.Routing.Check()); err != nil {
		return sv, resolved{}, err
	}
	res, err := m.resolve(ctx, folders.Who{Person: sv.CreatedBy, Project: sv.Project}, sv.Name, req.Recipe)
	return sv, res, err
}

// record writes a new service down.
func (m *Manager) record(ctx context.Context, sv Service, rev Revision) (ServiceView, error) {
	if err := m.take(ctx); err != nil {
		return ServiceView{}, err
	}
	defer m.give()
	for _, other := range m.services {
		if other.Project == sv.Project && other.Name == sv.Name {
			return ServiceView{}, fmt.Errorf("service %q %w", sv.Name, ErrExists)
		}
	}
	if err := m.admits(&sv, 0, sv.Replicas, true); err != nil {
		return ServiceView{}, err
	}
	// The row begins as one that should go: whatever breaks off before the last write, here or by a crash,
	// leaves a service that the plan removes and not one that runs half of what was asked.
	s := &service{Service: sv, revisions: []Revision{rev}}
	if err := m.saveService(ctx, s, func(w *Service) { w.Lifecycle = LifecycleDestroying }); err != nil {
		return ServiceView{}, err
	}
	m.mu.Lock()
	m.services[sv.ID] = s
	m.mu.Unlock()
	m.mark(sv.ID, "")
	if err := m.saveRevision(ctx, rev); err != nil {
		return ServiceView{}, err
	}
	if err := m.saveService(ctx, s, func(w *Service) { w.Lifecycle = LifecycleActive }); err != nil {
		return ServiceView{}, err
	}
	m.event(ctx, Event{ServiceID: sv.ID, Kind: "created", Message: fmt.Sprintf("%s wanted by %s", plural(sv.Replicas, "route"), sv.CreatedBy)})
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.view(s, time.Now()), nil
}

// UpdateService changes what is wanted. A new recipe is checked first as a whole.
func (m *Manager) UpdateService(ctx context.Context, project, ref string, up ServiceUpdate) (ServiceView, error) {
	current, err := m.Service(project, ref)
	if err != nil {
		return ServiceView{}, err
	}
	wanted := current.Service
	up.apply(&wanted)
	var routing error
	if up.Routing != nil {
		routing = wanted.Routing.Check()
	}
	if err := together(checkName(wanted.Name), checkReplicas(wanted.Replicas), checkPriority(wanted.Priority), wanted.Policy.Check(), routing); err != nil {
		return ServiceView{}, err
	}
	var rev *Revision
	var warnings catalog.Problems
	if up.Recipe != nil {
		res, err := m.resolve(ctx, folders.Who{Person: wanted.CreatedBy, Project: wanted.Project}, wanted.Name, *up.Recipe)
		if err != nil {
			return ServiceView{}, err
		}
		warnings = res.warnings
		rev = &Revision{ServiceID: wanted.ID, CreatedAt: time.Now().UTC(), CreatedBy: up.By, Recipe: res.recipe, Launch: res.launch}
	}
	view, err := m.edit(ctx, project, wanted.ID, func(s *service) error {
		for _, other := range m.services {
			if other != s && other.Project == wanted.Project && other.Name == wanted.Name {
				return fmt.Errorf("service %q %w", wanted.Name, ErrExists)
			}
		}
		if up.Replicas != nil {
			if err := m.admits(&s.Service, s.Replicas, *up.Replicas, false); err != nil {
				return err
			}
		}
		next := s.Service
		up.apply(&next)
		what := changes(s.Service, next)
		number := s.Revision
		if rev != nil && !sameRevision(*rev, s.revision(s.Revision)) {
			rev.Number = s.revisions[len(s.revisions)-1].Number + 1
			if err := m.saveRevision(ctx, *rev); err != nil {
				return err
			}
			m.mu.Lock()
			s.revisions = append(s.revisions, *rev)
			m.mu.Unlock()
			number = rev.Number
			what = append(what, fmt.Sprintf("recipe: revision %d rolls out", number))
		}
		before := s.Name
		err := m.saveAndTell(ctx, s, Event{Kind: "updated", Message: cmp.Or(strings.Join(what, ", "), "nothing changed") + ", by " + up.By}, func(w *Service) {
			up.apply(w)
			w.Revision = number
			w.clearFailures()
		})
		if err == nil && s.Name != before {
			m.metrics.routes.DeletePartialMatch(prometheus.Labels{"service": before})
			m.views.everything() // another one may have that name
		}
		return err
	})
	view.Warnings = warnings
	return view, err
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// sameRevision compares what would run; rows that came from the store have passed through JSON, so
// that is what is compared.
func sameRevision(a Revision, b *Revision) bool {
	if b == nil {
		return false
	}
	text := func(r *Revision) string {
		raw, err := json.Marshal([]any{r.Recipe, r.Launch})
		if err != nil {
			return err.Error()
		}
		return string(raw)
	}
	return text(&a) == text(b)
}

// saveAndTell is saveService, with an event once it is done. The caller holds writing.
func (m *Manager) saveAndTell(ctx context.Context, s *service, e Event, change func(*Service)) error {
	if err := m.saveService(ctx, s, change); err != nil {
		return err
	}
	e.ServiceID = s.ID
	m.event(ctx, e)
	return nil
}

// clearFailures forgets starts that failed, so that the next one comes at once.
func (s *Service) clearFailures() { s.Failures, s.LastError, s.RetryAt = 0, "", time.Time{} }

// edit runs change on a service that is to stay, holding writing, and returns the view of what it then is.
func (m *Manager) edit(ctx context.Context, project, ref string, change func(*service) error) (ServiceView, error) {
	if err := ctx.Err(); err != nil {
		return ServiceView{}, err
	}
	if err := m.take(ctx); err != nil {
		return ServiceView{}, err
	}
	s, err := m.find(project, ref)
	if err == nil && s.Lifecycle != LifecycleActive {
		err = fmt.Errorf("service %q is being removed: %w", s.Name, ErrForbidden)
	}
	if err == nil {
		err = change(s)
		m.mark(s.ID, "")
	}
	m.give()
	if err != nil {
		return ServiceView{}, err
	}
	m.changed()
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.view(s, time.Now()), nil
}

// find looks a service up by id or name. The caller holds writing or mu.
func (m *Manager) find(project, ref string) (*service, error) {
	if s := m.services[ref]; s != nil && s.Project == project {
		return s, nil
	}
	for _, s := range m.services {
		if s.Project == project && s.Name == ref {
			return s, nil
		}
	}
	return nil, fmt.Errorf("service %q %w", ref, ErrNotFound)
}

// Scale is a wish for another number of routes.
type Scale struct {
	To     int    // 0 keeps the address
	By     string // the person; of no account where Auto
	Reason string
	// Auto: the autoscaler wishes it. A person's number stands no longer then, and failed starts keep their back-off:
	// more requests are no reason to try again sooner.
	Auto bool
	// Version is that of the service for which the number was found; ErrConflict where it has another by now. 0: any.
	Version int64
}

// ScaleService sets the number of routes. A person's wish counts as one also where it is the number there is; the
// autoscaler's is then nothing, and nothing is written.
func (m *Manager) ScaleService(ctx context.Context, project, ref string, wish Scale) (ServiceView, error) {
	if err := checkReplicas(wish.To); err != nil {
		return ServiceView{}, err
	}
	var capped error
	view, err := m.edit(ctx, project, ref, func(s *service) error {
		if wish.Version != 0 && wish.Version != s.Version {
			return fmt.Errorf("service %q %w: it has version %d, not %d", s.Name, ErrConflict, s.Version, wish.Version)
		}
		if !wish.Auto {
			if err := m.admits(&s.Service, s.Replicas, wish.To, false); err != nil {
				return err
			}
			e := Event{Kind: "scaled", Message: fmt.Sprintf("from %d to %d by %s: %s", s.Replicas, wish.To, wish.By, wish.Reason)}
			return m.saveAndTell(ctx, s, e, func(w *Service) {
				w.scaledBy(wish.To, wish.By)
				w.clearFailures()
			})
		}
		had, err := s.Replicas, m.autoscale(ctx, s, wish)
		if errors.Is(err, ErrLimit) && s.Replicas != had {
			capped, err = err, nil // something was done
		}
		return err
	})
	return view, cmp.Or(err, capped)
}

// autoscale does what the autoscaler wishes, as far as limits let it: *CappedError where that is less. It is told once, by an
// event. The caller holds writing.
func (m *Manager) autoscale(ctx context.Context, s *service, wish Scale) error {
	to, why := m.within(&s.Service, wish.To)
	if why == nil {
		m.cap(s, nil)
		if s.Replicas == to && s.ScaledBy == "" {
			return nil
		}
		return m.saveAndTell(ctx, s, Event{Kind: "autoscaled", Message: wish.Reason}, func(w *Service) { w.scaledBy(to, "") })
	}
	capped := &CappedError{At: to, LimitError: why}
	if to > s.Replicas {
		err := m.saveAndTell(ctx, s, Event{Kind: "autoscaled", Message: wish.Reason + "; " + capped.Error()}, func(w *Service) { w.scaledBy(to, "") })
		if err != nil {
			return err
		}
	} else if s.capped != why.bound() {
		m.event(ctx, Event{ServiceID: s.ID, Kind: "limited", Message: fmt.Sprintf("not scaled to %d (%s): %s", wish.To, wish.Reason, capped.Error())})
	}
	m.cap(s, why)
	return capped
}

// cap notes that a limit keeps a service from more routes; nil: none does. Who waits for one is told. The caller holds writing.
func (m *Manager) cap(s *service, why *LimitError) {
	words := ""
	if s.capped = ""; why != nil {
		s.capped = why.bound()
		words = heldByLimit(why.Kind == "user")
	}
	m.mu.Lock()
	same := s.short == words
	s.short = words
	m.mu.Unlock()
	if !same {
		m.mark(s.ID, "")
		m.changed()
	}
}

// scaledBy notes how many routes are wanted and by whom.
func (s *Service) scaledBy(replicas int, by string) {
	s.Replicas, s.ScaledBy, s.ScaledAt = replicas, by, time.Now().UTC()
}

// DestroyService ends all routes, with drain, and then the service.
func (m *Manager) DestroyService(ctx context.Context, project, ref, by string) error {
	_, err := m.edit(ctx, project, ref, func(s *service) error {
		e := Event{Kind: "destroying", Message: "wanted by " + by}
		return m.saveAndTell(ctx, s, e, func(w *Service) { w.Lifecycle = LifecycleDestroying })
	})
	return err
}

// ClearErrors forgets failed starts, so that the next one comes at once.
func (m *Manager) ClearErrors(ctx context.Context, project, ref, by string) error {
	_, err := m.edit(ctx, project, ref, func(s *service) error {
		return m.saveAndTell(ctx, s, Event{Kind: "cleared", Message: "errors cleared by " + by}, (*Service).clearFailures)
	})
	return err
}

// RollBack makes an older revision the wanted one.
func (m *Manager) RollBack(ctx context.Context, project, ref string, number int, by string) (ServiceView, error) {
	return m.edit(ctx, project, ref, func(s *service) error {
		if s.revision(number) == nil {
			return fmt.Errorf("revision %d of %q: %w", number, s.Name, ErrNotFound)
		}
		e := Event{Kind: "updated", Message: fmt.Sprintf("revision %d wanted again by %s", number, by)}
		return m.saveAndTell(ctx, s, e, func(w *Service) {
			w.Revision = number
			w.clearFailures()
		})
	})
}

// SetTrafficRatio sets a live route's weight in the balance; 0 takes it out.
func (m *Manager) SetTrafficRatio(ctx context.Context, project, ref, routeID string, ratio float64) error {
	if math.IsNaN(ratio) || ratio < 0 || ratio > 1000 {
		return fmt.Errorf("%w: traffic ratio %v: a number from 0 to 1000", ErrInvalid, ratio)
	}
	_, err := m.edit(ctx, project, ref, func(s *service) error {
		i := slices.IndexFunc(s.routes, func(r *runner) bool { return r.id == routeID })
		if i < 0 {
			return fmt.Errorf("route %q of service %q %w", routeID, s.Name, ErrNotFound)
		}
		return s.routes[i].weigh(ctx, ratio)
	})
	return err
}
