package daemon

import (
	"math"
	"testing"
	"time"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/router"
	"github.com/palisade-run/palisade/sessions"
)

// What comes is counted over some time, however often it is looked, and never less than nothing.
func TestDemand(t *testing.T) {
	now := time.Date(2026, time.March, 2, 12, 0, 0, 0, time.UTC)
	d := &demand{busy: now}
	var sum float64
	samples := 0
	at := func(after time.Duration, total uint64) {
		rate, known, due := d.look(router.ServiceLoad{Total: total}, 0, now.Add(after))
		if known {
			sum += rate
			samples++
		}
		if known && !due {
			t.Errorf("after %s it is known and not due", after)
		}
	}
	at(0, 0)
	for i := range uint64(50) { // fifty within 50 ms, each with a look just behind it
		at(time.Duration(i+1)*time.Millisecond, i+1)
	}
	for i := range 10 {
		at(time.Duration(i+1)*time.Second, 50)
	}
	if mean := sum / float64(samples); samples > 20 || math.Abs(mean-5) > 1 {
		t.Errorf("50 requests in 10 s are %g a second by %d samples", mean, samples)
	}
	before := d.rate
	rate, known, due := d.look(router.ServiceLoad{Total: 3}, 0, now.Add(11*time.Second))
	if known || !due || rate != 0 || d.rate != before {
		t.Errorf("counted anew: %g a second, %v, %v; mean %g", rate, known, due, d.rate)
	}
	if rate, known, _ = d.look(router.ServiceLoad{Total: 7}, 0, now.Add(12*time.Second)); !known || rate != 4 {
		t.Errorf("after that: %g, %v", rate, known)
	}
}

// TestMemoryOfARoute is that of all its containers.
func TestMemoryOfARoute(t *testing.T) {
	memory := map[string]float64{"one": 80, "head": 40, "sub": 30}
	if got := heldBy(sessions.RouteView{ID: "one"}, memory); got != 80 {
		t.Errorf("one: %g", got)
	}
	whole := sessions.RouteView{ID: "head", Containers: []sessions.Session{{ID: "head"}, {ID: "sub"}}}
	if got := heldBy(whole, memory); got != 70 {
		t.Errorf("two: %g", got)
	}
	s := &scaling{ledger: accel.NewLedger()}
	s.ledger.SetNode(accel.Node{Name: "a", CPU: 8000, Memory: 64 << 30, Devices: []accel.Device{{ID: "d", Family: "cuda", Slot: "cuda.device", Memory: 24 << 30}}})
	for _, c := range []struct {
		ask  map[string]string
		size int
		want float64
	}{
		{map[string]string{"cuda.device": "1"}, 0, 24},
		{map[string]string{"cuda.device": "1"}, 3, 72},
		{map[string]string{"mem": "2g"}, 2, 4},
	} {
		if got := s.wouldHold(sessions.Recipe{Resources: c.ask, ClusterSize: c.size}); got != c.want {
			t.Errorf("%v of %d: %g, want %g", c.ask, c.size, got, c.want)
		}
	}
}
