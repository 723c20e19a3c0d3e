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
	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/sessions"
)

// Pool is what there is to run on, and who waits for it: as a test has set it. It is empty at first.
type Pool struct {
	mu      sync.Mutex
	boxes   []admin.Box
	waiting []sessions.Waiting
}

// Set replaces the boxes.
func (p *Pool) Set(boxes ...admin.Box) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.boxes = boxes
}

// Wait replaces the queue.
func (p *Pool) Wait(queue ...sessions.Waiting) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting = queue
}

// Simulate sets one simulated box, and a queue of two: session ses-000000000003 is its head. Of the 8 devices the first
// and half of the second are held by session ses-000000000002, the sixth is lost and the seventh busy.
func (p *Pool) Simulate() {
	const session = "ses-000000000002"
	box := admin.Box{
		Node: accel.Node{
			Name: "dgx", Labels: map[string]string{"zone": "a"}, CPU: 64000, Memory: 512 << 30,
			NUMA: []accel.NUMA{{ID: 0, CPUs: []int{0, 1, 2, 3, 8, 9}, Memory: 256 << 30}, {ID: 1, CPUs: []int{4, 5, 6, 7}, Memory: 256 << 30}},
		},
		Runtime: "containerd", BusyCores: 12.5, UsedMemory: 96 << 30,
		Samples: map[string]accel.Sample{}, Health: map[string]admin.Health{},
	}
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
		box.Node.Devices = append(box.Node.Devices, d)
		box.Samples[d.ID] = accel.Sample{
			Device: d.ID, At: time.Now(), Utilization: float64(i) / 8, MemoryUsed: int64(i) * 10 << 30, Temperature: 30 + float64(4*i), Power: 80 + float64(60*i),
		}
	}
	device := box.Node.Devices
	box.Health[device[5].ID] = admin.Health{State: api.DeviceLost, Sentence: "XID 79: it fell off the bus"}
	delete(box.Samples, device[5].ID)
	device[6].Busy = "process 4242 (python3) holds 60 GiB of its memory"
	box.Claims = []accel.Entry{{
		Claim: accel.Claim{Session: session, Node: "dgx", NUMA: 0, Slots: accel.Slots{"cpu": 8000, "mem": 64 << 30, "cuda.shares": 150}, Shares: []accel.Share{
			{Device: device[0].ID, Slot: "cuda.shares", Amount: 100, Memory: 80 << 30}, {Device: device[1].ID, Slot: "cuda.shares", Amount: 50, Memory: 40 << 30},
		}},
		State: accel.ClaimHeld, Used: map[string]int64{device[0].ID: 70 << 30, device[1].ID: 9 << 30},
	}}
	p.Set(box)
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
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.boxes)
}

// History implements admin.Pool: a wave that repeats every 20 minutes, and nothing in the oldest quarter.
func (p *Pool) History(_ context.Context, _ string, period admin.Period) ([]admin.Point, time.Duration, error) {
	step := max(period.Step, 15*time.Second)
	var points []admin.Point
	for at := period.From.Add(period.To.Sub(period.From) / 4); at.Before(period.To); at = at.Add(step) {
		wave := (1 + math.Sin(2*math.Pi*period.To.Sub(at).Minutes()/20)) / 2
		points = append(points, admin.Point{At: at, Utilization: wave, MemoryUsed: int64(wave * (60 << 30)), Power: 100 + 500*wave, Temperature: 30 + 40*wave})
	}
	return points, step, nil
}

// Fence implements admin.Pool.
func (p *Pool) Fence(_ context.Context, device, reason, by string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range p.boxes {
		if _, ok := b.Samples[device]; ok {
			b.Health[device] = admin.Health{State: api.DeviceFenced, Sentence: "taken out by " + by + ": " + reason}
		}
	}
	return nil
}

// Unfence implements admin.Pool.
func (p *Pool) Unfence(_ context.Context, device, _ string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range p.boxes {
		delete(b.Health, device)
	}
	return nil
}

// Queue implements admin.Queue.
func (p *Pool) Queue() []sessions.Waiting {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.waiting)
}
