package rehearse

import (
	"fmt"
	"math"
	"time"

	"github.com/palisade-run/palisade/autoscaler"
)

// hpa is the formula of Kubernetes' horizontal pod autoscaler on a metric of pods, after the page "Horizontal Pod
// Autoscaling" of Kubernetes' documentation (algorithm details, scaling policies, stabilization window, default behavior):
//   - every 15 s: routes times (what each ready one has over the target), rounded up;
//   - nothing where that ratio is within 0.1 of 1;
//   - routes that are not ready count as if they had nothing where it goes up, as if they had the target where it goes
//     down; where that turns the direction, nothing is done;
//   - down no further than the highest wish of the last 300 s; at once up;
//   - in 15 s up by 4 routes or by as many as there are, whichever is more; down to the wish at once;
//   - never to zero, and at zero it is off.
//
// What is held at the router counts for the ready routes: as it would stand in their own queues. That is to its advantage.
type hpa struct {
	policy *autoscaler.Policy
	target float64
	sum    float64 // of the seconds since the last decision
	n      int
	wishes [hpaStabilise]int
	seen   int
}

const (
	hpaPeriod    = 15 * time.Second
	hpaTolerance = 0.1
	hpaStabilise = 20 // periods: 300 s
	hpaUpBy      = 4
)

func newHPA(p *autoscaler.Policy, target float64) *hpa { return &hpa{policy: p, target: target} }

func (*hpa) name() string         { return "hpa" }
func (*hpa) every() time.Duration { return hpaPeriod }
func (*hpa) wantsTimes() bool     { return false }
func (*hpa) notes() []string      { return nil }

func (h *hpa) sample(s *second) {
	h.sum += s.concurrency
	h.n++
}

func (h *hpa) decide(x *player) (want int, why string) {
	demand := h.sum / float64(max(h.n, 1))
	h.sum, h.n = 0, 0
	if x.replicas == 0 { // scaled to zero by hand: it is off
		return max(0, h.policy.Min), "off"
	}
	ready, others := 0, 0
	for _, r := range x.routes {
		switch r.state {
		case autoscaler.RouteReady:
			ready++
		case autoscaler.RouteStarting:
			others++
		case autoscaler.RouteLeaving, autoscaler.RouteUnhealthy:
		}
	}
	why = fmt.Sprintf("%.1f in flight, %.1f for each", demand, h.target)
	want = h.wish(x.replicas, ready, others, demand)
	h.wishes[h.seen%hpaStabilise] = want
	h.seen++
	if want < x.replicas {
		for i := range min(h.seen, hpaStabilise) {
			want = max(want, h.wishes[i])
		}
		want = min(want, x.replicas)
	}
	want = min(want, max(x.replicas+hpaUpBy, 2*x.replicas))
	return min(max(want, h.policy.Min, 1), h.policy.Max), why
}

// wish is how many routes the ratio asks for. ready and others, which are starting, make up the current ones.
func (h *hpa) wish(current, ready, others int, demand float64) int {
	if ready == 0 {
		return current // no metrics
	}
	within := func(ratio float64) bool { return math.Abs(ratio-1) <= hpaTolerance }
	ratio := demand / float64(ready) / h.target
	if others == 0 {
		if within(ratio) {
			return current
		}
		return int(math.Ceil(ratio * float64(ready)))
	}
	all := float64(ready + others)
	again := demand / all / h.target
	if ratio < 1 {
		again = (demand + float64(others)*h.target) / all / h.target
	}
	if within(again) || (ratio > 1) != (again > 1) {
		return current
	}
	want := int(math.Ceil(again * all))
	if ratio > 1 && want < current || ratio < 1 && want > current {
		return current
	}
	return want
}
