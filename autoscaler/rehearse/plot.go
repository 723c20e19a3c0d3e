package rehearse

import "time"

// Point is the mean, or where it says so the most, of a stretch of a rehearsal that begins At.
type Point struct {
	At       Seconds `json:"at"`
	Demand   float64 `json:"demand"`  // in flight and held
	Waiting  int     `json:"waiting"` // the most
	Ready    float64 `json:"ready"`
	Starting float64 `json:"starting"`
	Leaving  float64 `json:"leaving"`
}

// mostPoints is how finely a rehearsal is drawn.
const mostPoints = 960

// plot gathers seconds to points.
type plot struct {
	stretch int // seconds to a point
	n       int // of the current one
	sum     Point
	all     []Point
}

func newPlot(length time.Duration) plot {
	return plot{stretch: max(1, int(length/time.Second)/mostPoints), all: make([]Point, 0, mostPoints+1)}
}

func (p *plot) add(s *second) {
	if len(p.all) >= 2*mostPoints {
		return // what goes on for hours after its trace
	}
	if p.n == 0 {
		p.sum = Point{At: secondsOf(s.now - time.Second)}
	}
	p.n++
	p.sum.Demand += s.concurrency
	p.sum.Waiting = max(p.sum.Waiting, s.held)
	p.sum.Ready += float64(s.ready)
	p.sum.Starting += float64(s.starting)
	p.sum.Leaving += float64(s.leaving)
	if p.n == p.stretch {
		p.flush()
	}
}

func (p *plot) flush() {
	if p.n == 0 {
		return
	}
	n := float64(p.n)
	q := p.sum
	q.Demand, q.Ready, q.Starting, q.Leaving = q.Demand/n, q.Ready/n, q.Starting/n, q.Leaving/n
	p.all = append(p.all, q)
	p.n = 0
}

func (p *plot) points() []Point {
	p.flush()
	return p.all
}
