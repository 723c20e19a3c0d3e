package autoscaler

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// want tells which metrics the rules need.
func (k *Keeper) want() {
	k.mu.Lock()
	wanted := map[string][]Metric{}
	for id, s := range k.kept {
		if metrics := s.Policy.Metrics(); len(metrics) > 0 {
			wanted[id] = metrics
		}
	}
	k.mu.Unlock()
	k.signals.Want(wanted)
}

// Policy gives a service's policy; false where it has none.
func (k *Keeper) Policy(id string) (Kept, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.kept[id]
	if s == nil {
		return Kept{}, false
	}
	return s.copy(), true
}

func (s *watched) copy() Kept {
	out := s.Kept
	out.Policy.Rules = slices.Clone(out.Policy.Rules)
	out.Memory.Fired, out.Memory.Panics = maps.Clone(out.Memory.Fired), maps.Clone(out.Memory.Panics)
	return out
}

// SetPolicy replaces a service's policy, which ends a pause. version is that of the policy that was edited: 0 where
// there was none, -1 whatever it is. ErrInvalid with all that is wrong; ErrConflict where somebody else was quicker.
func (k *Keeper) SetPolicy(ctx context.Context, id string, p Policy, by string, version int64) (Kept, error) {
	p.Rules = slices.Clone(p.Rules)
	for i := range p.Rules {
		if p.Rules[i].ID == "" {
			p.Rules[i].ID = "rul-" + strings.ToLower(rand.Text()[:12])
		}
	}
	p.Fill()
	if err := p.Check(); err != nil {
		return Kept{}, err
	}
	return k.edit(ctx, id, by, func(row *Kept) error {
		if version >= 0 && row.Version != version {
			return fmt.Errorf("the policy has version %d, not %d: %w", row.Version, version, ErrConflict)
		}
		row.Policy = p
		return nil
	})
}

// Resume ends a pause: the policy counts again from now on. ErrNotFound where there is no policy.
func (k *Keeper) Resume(ctx context.Context, id, by string) error {
	_, err := k.edit(ctx, id, by, func(row *Kept) error {
		if row.Version == 0 {
			return fmt.Errorf("a policy of this service: %w", ErrNotFound)
		}
		return nil
	})
	return err
}

func (k *Keeper) edit(ctx context.Context, id, by string, change func(*Kept) error) (Kept, error) {
	k.editing.Lock()
	defer k.editing.Unlock()
	row, _ := k.Policy(id)
	row.ServiceID = id
	if err := change(&row); err != nil {
		return Kept{}, err
	}
	row.EditedBy, row.EditedAt = cmp.Or(by, row.EditedBy), time.Now().UTC()
	version, err := k.store.SavePolicy(ctx, row)
	if err != nil {
		return Kept{}, err
	}
	row.Version = version
	k.mu.Lock()
	s := k.kept[id]
	if s == nil {
		s = &watched{}
		k.kept[id] = s
	}
	memory := s.Memory // of a decision that was made meanwhile
	s.Kept = row
	s.Memory = memory
	s.paused = ""
	out := s.copy()
	k.mu.Unlock()
	k.want()
	k.world.Changed()
	k.Kick()
	return out, nil
}

// Wakes reports whether a request that finds the service at zero starts a route. scaledBy and scaledAt are as in Observed.
func (k *Keeper) Wakes(id, scaledBy string, scaledAt time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.kept[id]
	if s == nil || !s.Policy.On() || s.pausedBy(scaledBy, scaledAt) {
		return false
	}
	_, most := s.bounds(time.Now())
	s.shut = new(most == 0)
	return most > 0
}

// bounds are the least and the most routes now. The caller holds mu.
func (s *watched) bounds(now time.Time) (least, most int) {
	j := judge{p: &s.Policy, now: now, memory: s.Memory}
	j.bounds()
	return j.low, j.high
}

// pausedBy reports whether a person's number stands: it was set after the policy was edited last. The caller holds mu.
func (s *watched) pausedBy(scaledBy string, scaledAt time.Time) bool {
	return s.Policy.On() && scaledBy != "" && scaledAt.After(s.EditedAt)
}

// Standing says how a service's scaling stands; false where it has no policy.
func (k *Keeper) Standing(id string) (Standing, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.kept[id]
	if s == nil {
		return Standing{}, false
	}
	return Standing{
		On: s.Policy.On(), PausedBy: s.paused, PausedAt: s.since, Last: s.last, LoadTime: s.loaded, ETA: s.eta,
		Signals: k.signals.Status(id),
	}, true
}

// Decisions of a service, newest first.
func (k *Keeper) Decisions(ctx context.Context, id string, limit int) ([]Decision, error) {
	return k.store.Decisions(ctx, id, limit)
}
