package daemon

import (
	"math"
	"testing"
	"time"

	"github.com/palisade-run/palisade/router"
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
