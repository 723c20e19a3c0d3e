package admintest

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/appliance/admin"
	"github.com/palisade-run/palisade/sessions"
)

// Pool is what there is to run on, and who waits for it: as a test has set it. It is empty at first.
type Pool struct {
	mu      sync.Mutex
	ledger  *accel.Ledger
	waiting []sessions.Waiting
}

// Ledger is where the nodes and claims are kept.
func (p *Pool) Ledger() *accel.Ledger { return p.ledger }

// Wait replaces the queue.
func (p *Pool) Wait(queue ...sessions.Waiting) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting = queue
}

// Simulate adds one simulated box, and a queue of two: session ses-000000000003 is its head. Of the 8 devices the first
// and half of the second are held by session ses-000000000002, the sixth is lost and the seventh busy.
func (p *Pool) Simulate() {
	const session = "ses-000000000002"
	node := accel.Node{
		Name: "dgx", Labels: map[string]string{"zone": "a"}, CPU: 64000, Memory: 512 << 30,
		NUMA: []accel.NUMA{{ID: 0, CPUs: []int{0, 1, 2, 3, 8, 9}, Memory: 256 << 30}, {ID: 1, CPUs: []int{4, 5, 6, 7}, Memory: 256 << 30}},
	}
	var samples []accel.Sample
	for i := range 8 {
		d := accel.Device{
			ID: fmt.Sprintf("GPU-%d%d%d%d-4000", i, i, i, i), Index: i, Family: "cuda", Slot: "cuda.device", Name: "NVIDIA H100 80GB HBM3",
			Memory: 80 << 30, NUMA: i / 4, PCI: fmt.Sprintf("0000:%02x:00.0", 16*i+1), Links: map[string]string{}, Simulated: true,
		}
		for j := range 8 {
			if j != i {
				d.Links[fmt.Sprintf("GPU-%d%d%d%d-4000", j, j, j, j)] = "NV18"
			}
		}
		node.Devices = append(node.Devices, d)
		s := accel.Sample{
			Device: d.ID, At: time.Now(), Utilization: float64(i) / 8, MemoryUsed: 1 << 20, Temperature: 30 + float64(4*i), Power: 80 + float64(60*i),
		}
		switch i { // by whom their memory is held
		case 0:
			s.MemoryUsed, s.Processes = 70<<30, []accel.ProcessUse{{PID: 1, Memory: 70 << 30}}
		case 1:
			s.MemoryUsed, s.Processes = 10<<30, []accel.ProcessUse{{PID: 1, Memory: 9 << 30}}
		case 6:
			s.MemoryUsed, s.Processes = 60<<30, []accel.ProcessUse{{PID: 4242, Memory: 60 << 30, Name: "python3"}}
		}
		samples = append(samples, s)
	}
	p.ledger.SetNode(node)
	half := accel.Share{Device: node.Devices[1].ID, Slot: "cuda.shares", Amount: 50, Memory: 40 << 30}
	claim := accel.Claim{
		Session: session, Node: node.Name, NUMA: 0, Slots: accel.Slots{"cpu": 8000, "mem": 64 << 30, "cuda.shares": 150},
		Shares: []accel.Share{{Device: node.Devices[0].ID, Slot: "cuda.shares", Amount: 100, Memory: 80 << 30}, half},
	}
	p.ledger.Restore(claim)
	p.ledger.Observe(node.Name, samples, func(pid int) (string, bool) { return session, pid == 1 }, time.Now())
	p.ledger.Lose(node.Name, []string{node.Devices[5].ID}, "XID 79: it fell off the bus")
	since := time.Now().Add(-90 * time.Second)
	p.Wait(
		sessions.Waiting{
			ID: "ses-000000000003", Name: "demo-3", Project: "default", Owner: "me", ServiceName: "demo", Type: sessions.TypeInference, Priority: 50, Since: since,
			Slots: accel.Slots{"cpu": 4000, "mem": 32 << 30, "cuda.device": 800},
		},
		sessions.Waiting{ID: "ses-night", Name: "night", Project: "red", Owner: "you", Type: sessions.TypeBatch, Priority: 10, Since: since},
	)
}

// Boxes implements admin.Pool.
func (p *Pool) Boxes() []admin.Box {
	var boxes []admin.Box
	for _, s := range p.ledger.Status() {
		boxes = append(boxes, admin.Box{Status: s, Runtime: "containerd", BusyCores: 12.5, UsedMemory: 96 << 30})
	}
	return boxes
}

// History implements admin.Pool: a wave that repeats every 20 minutes, and nothing in the oldest quarter.
func (p *Pool) History(_ context.Context, _ admin.Device, period admin.Period) ([]admin.Point, time.Duration, error) {
	step := max(period.Step, 15*time.Second)
	var points []admin.Point
	for at := period.From.Add(period.To.Sub(period.From) / 4); at.Before(period.To); at = at.Add(step) {
		wave := (1 + math.Sin(2*math.Pi*period.To.Sub(at).Minutes()/20)) / 2
		points = append(points, admin.Point{At: at, Utilization: wave, MemoryUsed: int64(wave * (60 << 30)), Power: 100 + 500*wave, Temperature: 30 + 40*wave})
	}
	return points, step, nil
}

// Fence implements admin.Pool.
func (p *Pool) Fence(_ context.Context, d admin.Device, reason, by string) error {
	return p.ledger.Fence(d.Node, d.ID, "taken out by "+by+": "+reason)
}

// Unfence implements admin.Pool.
func (p *Pool) Unfence(_ context.Context, d admin.Device, _ string) error {
	return p.ledger.Unfence(d.Node, d.ID)
}

// Queue implements admin.Queue.
func (p *Pool) Queue() []sessions.Waiting {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.waiting)
}
