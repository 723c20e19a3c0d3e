package sessions

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/variants"
)

// still is a Traffic that nobody uses.
type still struct{ Traffic }

func (still) Apply([]*ServiceRoutes) {}
func (still) InFlight(string) int    { return 0 }

// calm is a manager of so many nodes, with as many services that have ten routes each, all of them healthy for an hour.
func calm(b *testing.B, nodes int) (m *Manager, now time.Time) {
	b.Helper()
	now = time.Now()
	m = NewManager(Deps{Ledger: accel.NewLedger(), Traffic: still{}, Log: slog.New(slog.DiscardHandler), Away: func(string) Vacancy { return Vacancy{} }, Closed: func(string) string { return "" }})
	for i := range nodes {
		m.Ledger.SetNode(accel.Node{Name: fmt.Sprintf("node-%04d", i), CPU: 256_000, Memory: 2 << 40})
	}
	for i := range nodes {
		s := &service{
			Service: Service{
				ID: fmt.Sprintf("svc-%04d", i), Name: fmt.Sprintf("model-%04d", i), Lifecycle: LifecycleActive, Replicas: 10, Revision: 1, GoodRevision: 1, Policy: DefaultPolicy(),
			},
			revisions: []Revision{{Number: 1, Launch: variants.LaunchSpec{Processes: []variants.Process{{}}}}},
		}
		m.services[s.ID] = s
		for k := range 10 {
			id := fmt.Sprintf("ses-%04d-%d", i, k)
			claim := accel.Claim{Session: id, Node: fmt.Sprintf("node-%04d", (i+k)%nodes), NUMA: -1, Slots: accel.Slots{accel.SlotCPU: 4000, accel.SlotMem: 32 << 30}}
			if err := m.Ledger.Take(claim); err != nil {
				b.Fatal(err)
			}
			r := newRunner(m.runnerDeps(), Session{
				ID: id, Name: id, Type: TypeInference, ServiceID: s.ID, Revision: 1, Status: StatusRunning, Address: "10.0.0.1:8000", TrafficRatio: 1,
				Claim: &claim, HealthyAt: now.Add(-time.Hour),
			})
			r.health = Health{State: HealthPassing, Since: now.Add(-time.Hour), FirstAt: now.Add(-time.Hour)}
			m.enter(r)
			s.routes = append(s.routes, r)
		}
	}
	m.pass(b.Context(), now)
	return m, now
}

// BenchmarkPass tells what a pass over 1,000 nodes and 10,000 sessions takes where nothing has changed, where one has, and where all is
// looked at, which is every ten seconds.
func BenchmarkPass(b *testing.B) {
	m, now := calm(b, 1000)
	for _, c := range []struct {
		name   string
		change func()
	}{
		{"unchanged", func() {}},
		{"one-changed", func() { m.mark("svc-0500", "ses-0500-5") }},
		{"a-box-changed", m.Look},
		{"everything", m.markAll},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				m.showNext = time.Time{}
				c.change()
				m.pass(b.Context(), now)
			}
		})
	}
}
