package sessions_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/sessions"
)

// fleet is a pool of boxes with 8 GPUs each and sessions that hold parts of it: whole devices, parts of
// them, routes, batch and interactive ones, some on their way out.
func fleet(b *testing.B, count, running int) sessions.Queue {
	b.Helper()
	var q sessions.Queue
	states := make([]accel.State, count)
	for i := range states {
		states[i] = accel.NewState(box(fmt.Sprintf("node-%04d", i), 256, 2048, 8))
	}
	for i := range running {
		node := i % count
		h := sessions.Held{
			ID: fmt.Sprintf("run-%05d", i), Name: fmt.Sprintf("run-%d", i), Project: "default", Owner: fmt.Sprintf("user-%d", i%40),
			Type: sessions.TypeBatch, Priority: i % 20, Preemptible: i%3 == 0, StartedAt: t0.Add(-time.Duration(i) * time.Second),
			Leaving: i%101 == 0,
		}
		asks := []string{"cpu=1 mem=2g"}
		switch i / count {
		case 0:
			asks = []string{"cpu=8 mem=64g cuda.device=2", asks[0]}
		case 1:
			h.ServiceID, h.ServiceName, h.Type = fmt.Sprintf("svc-%d", i%100), fmt.Sprintf("chat-%d", i%100), sessions.TypeInference
			asks = []string{"cpu=8 mem=64g cuda.device=2", asks[0]}
		case 2, 3:
			asks = []string{"cpu=4 mem=16g cuda.shares=0.5", asks[0]}
		case 4, 5, 6:
			asks = []string{"cpu=4 mem=16g cuda.device=1", asks[0]}
		}
		for _, ask := range asks {
			c, err := allocate(states[node], h.ID, slots(b, ask), accel.Options{})
			if err == nil {
				h.Claim, states[node] = c, states[node].With(c)
				break
			}
		}
		if h.Claim.Node == "" {
			b.Fatalf("session %d has no room on %s", i, states[node].Name())
		}
		q.Running = append(q.Running, h)
	}
	q.Pool = states
	return q
}

// crowd is so many waiting sessions. With few, they ask for ten different things; without, every one asks for
// something else, so that nothing that was found out for one holds for the next.
func crowd(b *testing.B, count int, ask string, few bool) []sessions.Waiting {
	b.Helper()
	var ws []sessions.Waiting
	for i := range count {
		w := sessions.Waiting{
			ID: fmt.Sprintf("wait-%05d", i), Name: fmt.Sprintf("wait-%d", i), Project: "default", Owner: fmt.Sprintf("user-%d", i%40),
			Type: sessions.TypeBatch, Priority: i % 50, Since: t0.Add(-time.Duration(i) * time.Second), Slots: slots(b, ask),
		}
		if few {
			w.Slots[accel.SlotMem] += accel.Amount(i%10) << 30
		} else {
			w.Slots[accel.SlotMem] += accel.Amount(i) << 20
		}
		if i%5 == 0 {
			w.Type = sessions.TypeInference
		}
		ws = append(ws, w)
	}
	return ws
}

// BenchmarkPlace tells what one pass takes over 1,000 nodes of 8 GPUs with 10,000 running and 1,000 waiting
// sessions, and how much more that is than over 100 nodes with 1,000 running ("growth") and with the same 10,000
// ("growth-alone"). The quickest pass of each counts: whatever else the box does only ever makes one slower.
func BenchmarkPlace(b *testing.B) {
	for _, bb := range []struct {
		name  string
		ask   string
		order sessions.Order
		few   bool // they ask for a few things only
	}{
		{"all fit", "cpu=1 mem=1g", sessions.OrderFIFO, false},
		{"all fit, few kinds", "cpu=1 mem=1g", sessions.OrderFIFO, true},
		{"some leave, some preempt", "cpu=1 mem=1g cuda.shares=0.5", sessions.OrderFIFO, false},
		{"some leave, some preempt, by share", "cpu=1 mem=1g cuda.shares=0.5", sessions.OrderDRF, false},
		{"none fit now", "cpu=1 mem=1g cuda.device=8", sessions.OrderFIFO, false},
		{"none ever fit", "cpu=1 mem=1g cuda.device=16", sessions.OrderFIFO, false},
	} {
		b.Run(bb.name, func(b *testing.B) {
			var took [3]time.Duration
			var decided sessions.Decision
			for i, size := range [][2]int{{1000, 10_000}, {100, 1000}, {100, 10_000}} {
				q := fleet(b, size[0], size[1])
				q.Order, q.Waiting = bb.order, crowd(b, 1000, bb.ask, bb.few)
				for range max(b.N, 10) {
					start := time.Now()
					d := sessions.Place(q, t0)
					if pass := time.Since(start); took[i] == 0 || pass < took[i] {
						took[i] = pass
					}
					if i == 0 {
						decided = d
					}
				}
			}
			b.ReportMetric(0, "ns/op") // of three sizes, with what makes them: says nothing
			b.ReportMetric(float64(took[0].Microseconds())/1000, "ms/pass")
			b.ReportMetric(float64(took[0])/float64(took[1]), "growth")
			b.ReportMetric(float64(took[0])/float64(took[2]), "growth-alone")
			b.ReportMetric(float64(len(decided.Placed)), "placed")
			b.ReportMetric(float64(len(decided.Kept)), "kept")
			b.ReportMetric(float64(len(decided.Preempt)), "preempted")
		})
	}
}
