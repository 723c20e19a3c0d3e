package calibrate

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Knee is how many requests at once a route takes well.
type Knee struct {
	At     int    `json:"at"`               // 0: not known
	Beyond bool   `json:"beyond,omitempty"` // it is at least that: nothing showed that more would only wait
	Why    string `json:"why"`              // one sentence
}

// nearly is the part of the best that counts as good: what a measurement differs from the next one by chance.
const nearly = 0.95

// power is what is gained for what it costs: all requests' speed over the time that each takes (Kleinrock's power). With so
// many always in flight, each takes concurrency / speed (Little's law), so that it is speed² / concurrency. It grows with
// every request as long as they do not stand in each other's way, and falls as soon as more of them only wait.
func (p *Point) power() float64 { return p.Tokens * p.Tokens / float64(p.Concurrency) }

// FindKnee finds where speed stops growing while waiting grows: the least concurrency whose power is nearly the best. Points
// that say nothing (no tokens, no concurrency) are left out; order does not matter.
func FindKnee(points []Point) Knee {
	all := measured(points)
	if len(all) == 0 {
		return Knee{Why: "no request was answered in time"}
	}
	best := bestPower(all)
	at := slices.IndexFunc(all, func(p Point) bool { return p.power() >= nearly*best })
	p, last := all[at], all[len(all)-1]
	k := Knee{At: p.Concurrency}
	if p.Concurrency == last.Concurrency {
		k.Beyond = true
		k.Why = fmt.Sprintf("no more than %d at once were tried, and speed still grew", p.Concurrency)
		return k
	}
	next := all[at+1]
	k.Why = fmt.Sprintf("with %d at once instead of %d speed is %s, and each request takes %s as long",
		next.Concurrency, p.Concurrency, change(next.Tokens/p.Tokens), times(float64(next.Concurrency)/next.Tokens/(float64(p.Concurrency)/p.Tokens)))
	return k
}

// measured are the points that say something, by concurrency; of several of one, the best.
func measured(points []Point) []Point {
	var all []Point
	for _, p := range points {
		if p.Concurrency > 0 && p.Tokens > 0 && !math.IsInf(p.Tokens, 0) {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b Point) int {
		return cmp.Or(cmp.Compare(a.Concurrency, b.Concurrency), cmp.Compare(b.Tokens, a.Tokens))
	})
	return slices.CompactFunc(all, func(a, b Point) bool { return a.Concurrency == b.Concurrency })
}

func bestPower(points []Point) (best float64) {
	for i := range points {
		best = max(best, points[i].power())
	}
	return best
}

// change is "the same", "a third more": 12 % more, 8 % less.
func change(ratio float64) string {
	switch percent := math.Round((ratio - 1) * 100); {
	case percent > 0:
		return fmt.Sprintf("%.0f %% more", percent)
	case percent < 0:
		return fmt.Sprintf("%.0f %% less", -percent)
	}
	return "the same"
}

func times(ratio float64) string { return fmt.Sprintf("%.1f times", ratio) }

// passed is the part of the best power below which a point tells that the knee is behind it, whatever chance does.
const passed = 0.75

// Next says with how many requests at once to go on, after those that were measured; 0: there is no more to learn.
//  1. Twice as many as ever, until power has fallen well below its best, or most were tried.
//  2. Then between the best and its neighbours, the better one first: engines with 6 or 12 places have their knee there.
func Next(points []Point, most int) int {
	if len(points) == 0 {
		return 1
	}
	highest := 0
	for _, p := range points {
		highest = max(highest, p.Concurrency)
	}
	all := measured(points)
	over := len(all) == 0 || all[len(all)-1].Concurrency < highest || all[len(all)-1].power() < passed*bestPower(all)
	if !over && highest < most {
		return min(2*highest, most)
	}
	knee := FindKnee(points).At
	if knee < 2 || knee&(knee-1) != 0 { // it lies between already
		return 0
	}
	between := []int{knee + knee/2, knee - knee/4}
	if powerAt(all, knee/2) > powerAt(all, knee*2) {
		slices.Reverse(between)
	}
	for _, next := range between {
		if next <= most && !slices.ContainsFunc(points, func(p Point) bool { return p.Concurrency == next }) {
			return next
		}
	}
	return 0
}

// powerAt is that of a number of requests; 0 where it was not measured.
func powerAt(points []Point, n int) float64 {
	for i := range points {
		if points[i].Concurrency == n {
			return points[i].power()
		}
	}
	return 0
}
