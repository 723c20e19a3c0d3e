package sessions

import (
	"context"
	"strconv"
	"time"

	"github.com/palisade-run/palisade/catalog"
)

// Forecast is what would come of a session if it were asked for now.
type Forecast struct {
	Demand Demand // of each of its containers
	Node   string // where it would start; "": it would wait
	Ahead  int    // sessions that wait already
	Waits  []Wait // why it would wait
}

// Foresee says what would come of a request now, with all that is wrong with it; nothing is recorded. It decides on a copy of
// what the queue is, as Place would: what changes until the session is really asked for may change that.
func (m *Manager) Foresee(ctx context.Context, req SessionRequest) (Forecast, catalog.Problems) {
	s, problems := m.draft(ctx, req)
	if problems.Err() != nil {
		return Forecast{}, problems
	}
	q, _ := m.queue()
	m.mu.Lock()
	w := m.waitingOf(s)
	m.mu.Unlock()
	if req.Cluster != nil {
		w.Spread = req.Cluster.Mode == ClusterMultiNode
		for i := 1; i < req.Cluster.Size; i++ {
			w.Others = append(w.Others, w.ID+"-"+strconv.Itoa(i))
		}
	}
	f := Forecast{Demand: s.Demand, Ahead: len(q.Waiting)}
	q.Waiting = append(q.Waiting, w)
	d := Place(q, time.Now())
	for _, p := range d.Placed {
		if p.Session == s.ID {
			f.Node = p.Claim.Node
		}
	}
	f.Waits = d.Waits[s.ID]
	return f, problems
}
