package autoscaler

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"
)

const (
	// yieldAfter is for how long demand must have been seen before anybody gives way: after a start of the daemon all
	// services look idle.
	yieldAfter = 2 * time.Minute
	// yieldEvery is how often it is asked whether somebody gives way to a service. Each time the pool is looked at anew.
	yieldEvery = 5 * time.Second
	// yieldTime bounds how long one round asks: while it does, nothing else is decided. Who is not asked about is the first
	// of the next round.
	yieldTime = 50 * time.Millisecond
	// yieldMost is how many routes one service gives up for one of another at most.
	yieldMost = 8
)

// yields are the wishes of services whose routes wait for places of others, by who is to give way, and what was chosen
// for each of them. One place is asked for at a time: what comes free may be enough for the next one too.
func (k *Keeper) yields(services []Observed, now time.Time) (wishes map[string]*Yield, chosen map[string]*Standoff) {
	if now.Sub(k.begun) < yieldAfter {
		return nil, nil
	}
	began := time.Now()
	for _, c := range k.claimants(services, now) {
		if time.Since(began) > yieldTime {
			break
		}
		k.asked[c.ID] = now
		claim := Claimant{ID: c.ID, Service: c.Name, Project: c.Project, Priority: c.Priority, Why: c.Full, Worth: worthOf(c)}
		all := weigh(claim, k.candidates(c, &claim, services, now), now)
		if chosen == nil {
			chosen = map[string]*Standoff{}
		}
		asked := all.told(c.Project)
		chosen[c.ID] = &asked
		if o := all.best; o != nil {
			gives := all.told(o.Project)
			chosen[o.ID], k.givers[c.ID] = &gives, o.ID
			return map[string]*Yield{o.ID: {For: gives.Claimant, Routes: gives.Routes, Reason: gives.Reason}}, chosen
		}
	}
	return nil, chosen
}

// claimants are the services that it is time to ask for, those first that have not been asked for the longest.
func (k *Keeper) claimants(services []Observed, now time.Time) []*Observed {
	var out []*Observed
	waits := map[string]bool{}
	for i := range services {
		c := &services[i]
		if c.Full == "" {
			continue
		}
		waits[c.ID] = true
		if now.Sub(k.asked[c.ID]) >= yieldEvery && !leaves(services, k.givers[c.ID]) {
			out = append(out, c)
		}
	}
	maps.DeleteFunc(k.asked, func(id string, _ time.Time) bool { return !waits[id] })
	maps.DeleteFunc(k.givers, func(id, _ string) bool { return !waits[id] })
	maps.DeleteFunc(k.told, func(id, _ string) bool { return !waits[id] })
	slices.SortStableFunc(out, func(a, b *Observed) int { return k.asked[a.ID].Compare(k.asked[b.ID]) })
	return out
}

// Kinds of what is noted of a service that has no policy, and so no decisions.
const (
	noteYielded = "yielded" // another one gives way to it
	noteWaits   = "waits"   // nobody does
)

// noAutoscaling is why the number of routes of most services is not the keeper's to change.
const noAutoscaling = "it has no autoscaling"

// verdictsTold is how many verdicts a note has room for.
const verdictsTold = 4

// tell notes for a service without a policy who gives way to it; once for each answer. Where no other service is scaled
// by itself, nobody was asked, and its sessions say why they wait.
func (k *Keeper) tell(ctx context.Context, o *Observed, chosen *Standoff) error {
	if chosen == nil || chosen.ServiceID == o.ID {
		return nil
	}
	kind, message := noteYielded, chosen.Reason
	if chosen.ServiceID == "" {
		kind = noteWaits
		asked := slices.DeleteFunc(slices.Clone(chosen.Losers), func(v Verdict) bool { return v.Why == noAutoscaling })
		if len(asked) == 0 {
			return nil
		}
		for _, v := range asked[:min(len(asked), verdictsTold)] {
			message += "; " + v.Service + ": " + v.Why
		}
		if more := len(asked) - verdictsTold; more > 0 {
			message += fmt.Sprintf("; %d more", more)
		}
	}
	if k.told[o.ID] == kind+chosen.ServiceID {
		return nil
	}
	writing, cancel := context.WithTimeout(ctx, saveTimeout)
	defer cancel()
	if err := k.world.Note(writing, o.ID, kind, message); err != nil {
		return fmt.Errorf("noting who gives way: %w", err)
	}
	k.told[o.ID] = kind + chosen.ServiceID
	return nil
}

// candidates are all other services. Whether the routes of one would make place is a look at the whole pool, and is asked
// only of those that would give them.
func (k *Keeper) candidates(c *Observed, claim *Claimant, services []Observed, now time.Time) []Candidate {
	var all []Candidate
	for i := range services {
		o := &services[i]
		if o.ID == c.ID || o.Replicas == 0 {
			continue
		}
		one := Candidate{
			ID: o.ID, Service: o.Name, Project: o.Project, Priority: o.Priority, Worth: worthOf(o), InFlight: o.InFlight - o.Held, Held: o.Held, RequestAt: o.Busy,
		}
		one.Worth.Replicas = o.Replicas
		for j := range o.Routes {
			switch r := &o.Routes[j]; r.State {
			case RouteStarting:
				one.Starting++
			case RouteLeaving:
				one.Leaving++
			case RouteReady, RouteUnhealthy:
				if r.ReadyAt.After(one.NewestAt) {
					one.NewestAt = r.ReadyAt
				}
			}
		}
		one.Min, one.Fixed = k.fixed(o, now)
		one.Frees = 1
		if judgeCandidate(claim, &one, now).Yields {
			one.Frees = 0
			for n := 1; n <= min(o.Replicas-one.Min, yieldMost) && one.Frees == 0; n++ {
				if k.world.Frees(c.ID, o.ID, n) {
					one.Frees = n
				}
			}
		}
		all = append(all, one)
	}
	return all
}

// fixed says why a service's number of routes is not to be changed for another's sake; else how many it is to have.
func (k *Keeper) fixed(o *Observed, now time.Time) (least int, why string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.kept[o.ID]
	switch {
	case s == nil || !s.Policy.On():
		return 0, noAutoscaling
	case s.pausedBy(o.ScaledBy, o.ScaledAt):
		return 0, "paused by " + o.ScaledBy
	}
	least, _ = s.bounds(now)
	return least, ""
}

func worthOf(o *Observed) Worth {
	return Worth{PerMinute: o.Rate * 60, Replicas: o.Replicas, LoadTime: o.LoadTime, GiB: o.Memory}
}

// leaves reports whether a route of the service is on its way out: what it holds is not free yet.
func leaves(services []Observed, id string) bool {
	i := slices.IndexFunc(services, func(o Observed) bool { return o.ID == id })
	return i >= 0 && slices.ContainsFunc(services[i].Routes, func(r Route) bool { return r.State == RouteLeaving })
}
