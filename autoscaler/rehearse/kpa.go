package rehearse

import (
	"fmt"
	"math"
	"time"

	"github.com/palisade-run/palisade/autoscaler"
)

// kpa is the formula of Knative's pod autoscaler, after the pages "Autoscaler types", "Metrics", "Targets", "Scale to zero"
// and "Additional autoscaling configuration for the Knative Pod Autoscaler" of Knative's documentation, with its defaults:
//   - what a route is to carry is the target times the utilisation, 0.7;
//   - demand is the mean of what is in flight and held, over 60 s (stable) and over 6 s (panic);
//   - a wish is demand over what a ready route is to carry, rounded up; not more than 1000 times the ready routes, not less
//     than half of them;
//   - where the wish of the panic window is at least twice the ready routes, it panics: the highest wish of the panic window
//     counts, until 60 s after that was last so;
//   - to zero when nothing was there for the stable window, and 30 s of grace.
type kpa struct {
	policy *autoscaler.Policy
	each   float64 // what a ready route is to carry
	demand [60]float64
	n      int // seconds that were seen

	panicAt time.Duration // when it last had to; 0: it does not panic
	most    int           // wished in panic
	idle    int           // seconds without anything
}

const (
	kpaUtilisation = 0.7
	kpaStable      = 60 // seconds
	kpaPanic       = 6
	kpaPanicAt     = 2.0
	kpaUpRate      = 1000.0
	kpaDownRate    = 2.0
	kpaGrace       = 30 // seconds
	kpaTick        = 2 * time.Second
)

func newKPA(p *autoscaler.Policy, target float64) *kpa {
	return &kpa{policy: p, each: target * kpaUtilisation}
}

func (*kpa) name() string         { return "kpa" }
func (*kpa) every() time.Duration { return kpaTick }
func (*kpa) wantsTimes() bool     { return false }
func (*kpa) notes() []string      { return nil }

func (k *kpa) sample(s *second) {
	k.demand[k.n%kpaStable] = s.concurrency
	k.n++
	if k.idle++; s.concurrency > 0 {
		k.idle = 0
	}
}

// mean is that of the last seconds, of as many as there were.
func (k *kpa) mean(seconds int) float64 {
	seconds = min(seconds, k.n)
	sum := 0.0
	for i := range seconds {
		sum += k.demand[(k.n-1-i)%kpaStable]
	}
	return sum / float64(max(seconds, 1))
}

func (k *kpa) decide(x *player) (want int, why string) {
	ready := 0
	for _, r := range x.routes {
		if r.state == autoscaler.RouteReady {
			ready++
		}
	}
	if x.replicas == 0 && x.line.n > 0 {
		return min(1, k.policy.Max), "a request waits"
	}
	stable, short := k.mean(kpaStable), k.mean(kpaPanic)
	n := float64(max(ready, 1))
	up, down := math.Ceil(kpaUpRate*n), math.Floor(n/kpaDownRate)
	wish := func(demand float64) int { return int(min(max(math.Ceil(demand/k.each), down), up)) }
	want = wish(stable)
	over := math.Ceil(short/k.each)/n >= kpaPanicAt
	switch {
	case over:
		k.panicAt = x.now
	case k.panicAt > 0 && x.now > k.panicAt+kpaStable*time.Second:
		k.panicAt, k.most = 0, 0
	}
	if k.panicAt > 0 {
		k.most = max(k.most, wish(short))
		want = k.most
	}
	if want == 0 && (k.idle < kpaStable+kpaGrace || k.policy.IdleAfter == 0) {
		want = min(1, x.replicas)
	}
	return min(max(want, k.policy.Min), k.policy.Max), fmt.Sprintf("%.1f in flight of late, %.1f now, %.1f for each", stable, short, k.each)
}
