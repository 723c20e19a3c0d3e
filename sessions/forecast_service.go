package sessions

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/palisade-run/palisade/catalog"
)

// ServiceForecast is what would come of a service if it were asked for now.
type ServiceForecast struct {
	Demand   Demand // of each route
	Fits     string // whether the model does, in one sentence; "": that cannot be told
	Placed   int    // routes that have a place now
	Nodes    []string
	Ahead    int    // sessions that wait already
	Waits    []Wait // what the first route without a place would wait for
	Warnings catalog.Problems
}

// mostForeseen bounds for how many routes a place is looked for.
const mostForeseen = 64

// ForeseeService says what would come of a request now; nothing is recorded. What CreateService would refuse is the same error
// here. Places are looked for on a copy of the pool.
func (m *Manager) ForeseeService(ctx context.Context, req ServiceRequest) (ServiceForecast, error) {
	sv, res, err := m.draftService(ctx, req)
	if err != nil {
		return ServiceForecast{}, err
	}
	if _, err := m.Service(sv.Project, sv.Name); err == nil {
		return ServiceForecast{}, fmt.Errorf("service %q %w", sv.Name, ErrExists)
	}
	f := ServiceForecast{Fits: res.fits, Warnings: res.warnings}
	if f.Demand, err = demandOf(sv, res.recipe); err != nil {
		return ServiceForecast{}, err
	}
	q, _ := m.queue()
	f.Ahead = len(q.Waiting)
	var mine []string
	service := newID("svc") // its routes are places of one service
	m.mu.Lock()
	for range min(sv.Replicas, mostForeseen) {
		s := Session{ID: newID("ses"), Name: sv.Name, Project: sv.Project, Type: TypeInference, CreatedBy: sv.CreatedBy, CreatedAt: sv.CreatedAt, Status: StatusPending, Demand: f.Demand}
		mine = append(mine, s.ID)
		w := m.waitingOf(s)
		w.ServiceID, w.ServiceName = service, sv.Name
		w.Spread = res.recipe.ClusterMode == ClusterMultiNode
		w.Engine, w.Apart = true, res.launch.FixedPort()
		for i := 1; i < res.recipe.ClusterSize; i++ {
			w.Others = append(w.Others, memberName(s.ID, i))
		}
		q.Waiting = append(q.Waiting, w)
	}
	m.mu.Unlock()
	d := Place(q, time.Now())
	for _, p := range d.Placed {
		if slices.Contains(mine, p.Session) {
			f.Placed++
			f.Nodes = append(f.Nodes, p.Claim.Node)
			for _, other := range p.Others {
				f.Nodes = append(f.Nodes, other.Node)
			}
		}
	}
	slices.Sort(f.Nodes)
	f.Nodes = slices.Compact(f.Nodes)
	for _, id := range mine {
		if waits := d.Waits[id]; len(waits) > 0 && f.Waits == nil {
			f.Waits = waits
		}
	}
	return f, nil
}
