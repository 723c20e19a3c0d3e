package autoscaler

import (
	"slices"
	"time"
)

const (
	// yieldAfter is for how long demand must have been seen before anybody gives way: after a start of the daemon all
	// services look idle.
	yieldAfter = 2 * time.Minute
	// yieldEvery is how often it is asked whether somebody gives way to a service. Each time the pool is looked at anew.
	yieldEvery = 5 * time.Second
	// yieldMost is how many routes one service gives up for one of another at most.
	yieldMost = 8
)

// yields are the wishes of services whose routes wait for places of others, by who is to give way, and what was chosen
// for each of them. One place is asked for at a time: what comes free may be enough for the next one too.
func (k *Keeper) yields(services []Observed, now time.Time) (wishes map[string]*Yield, chosen map[string]*Standoff) {
	if now.Sub(k.begun) < yieldAfter {
		return nil, nil
	}
	for i := range services {
		c := &services[i]
		if c.Full == "" {
			delete(k.asked, c.ID)
			delete(k.givers, c.ID)
			continue
		}
		if now.Sub(k.asked[c.ID]) < yieldEvery || leaves(services, k.givers[c.ID]) {
			continue
		}
		k.asked[c.ID] = now
		s := Choose(Claimant{Service: c.Name, Priority: c.Priority, Why: c.Full, Worth: worthOf(c)}, k.candidates(c, services), now)
		if chosen == nil {
			chosen = map[string]*Standoff{}
		}
		chosen[c.ID] = &s
		for j := range services {
			if s.Service != "" && services[j].ID == s.ServiceID {
				chosen[s.ServiceID], k.givers[c.ID] = &s, s.ServiceID
				return map[string]*Yield{services[j].ID: {For: c.Name, Routes: s.Routes, Reason: s.Reason}}, chosen
			}
		}
	}
	return nil, chosen
}

// candidates are all other services, as far as they may give way.
func (k *Keeper) candidates(c *Observed, services []Observed) []Candidate {
	var all []Candidate
	for i := range services {
		o := &services[i]
		if o.ID == c.ID || o.Replicas == 0 {
			continue
		}
		one := Candidate{
			ID: o.ID, Service: o.Name, Priority: o.Priority, Worth: worthOf(o), InFlight: o.InFlight - o.Held, Held: o.Held, RequestAt: o.Busy,
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
		one.Min, one.Fixed = k.fixed(o)
		if one.Fixed == "" && one.Starting == 0 && one.Leaving == 0 && o.Priority <= c.Priority {
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
func (k *Keeper) fixed(o *Observed) (least int, why string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.kept[o.ID]
	switch {
	case s == nil || !s.Policy.On():
		return 0, "it has no autoscaling"
	case s.pausedBy(o.ScaledBy, o.ScaledAt):
		return 0, "paused by " + o.ScaledBy
	}
	return s.Policy.Min, ""
}

func worthOf(o *Observed) Worth {
	return Worth{PerMinute: o.Rate * 60, Replicas: o.Replicas, LoadTime: o.LoadTime, GB: o.Memory}
}

// leaves reports whether a route of the service is on its way out: what it holds is not free yet.
func leaves(services []Observed, id string) bool {
	i := slices.IndexFunc(services, func(o Observed) bool { return o.ID == id })
	return i >= 0 && slices.ContainsFunc(services[i].Routes, func(r Route) bool { return r.State == RouteLeaving })
}
