package figures

import (
	"math"
	"slices"
	"strings"
	"time"
)

const (
	// longestName of a series, in bytes; figures with longer names are left out.
	longestName = 200
	// mostSeries are kept at a time, the first that are wanted.
	mostSeries = 256
	// mostOthers are the names left out that are told apart.
	mostOthers = 10_000
	// MaxPoints is the most points of a series that may be asked for.
	MaxPoints = 1000
)

// Want is what is asked for of a session's figures.
type Want struct {
	Names  []string // with * for anything; none: all
	Points int      // of each series at most, up to MaxPoints; 0: none
}

// Point stands for samples of a series that follow each other.
type Point struct {
	X              float64   // of the last: its step, or its line
	At             time.Time // of the last; zero: it did not say
	Count          int
	Min, Max, Last float64
}

// Series is what one figure was in time. What is no number has no point.
type Series struct {
	Name           string
	Count          int // samples, those that are no numbers too
	NotNumbers     int
	Min, Max       float64 // NaN: there was no number
	Last           float64 // may be no number
	X              float64 // of the last
	points         []Point
	span, capacity int
}

func newSeries(name string, points int) *Series {
	return &Series{Name: name, Min: math.NaN(), Max: math.NaN(), span: 1, capacity: points}
}

func (s *Series) add(x float64, at time.Time, v float64) {
	s.Count++
	s.Last, s.X = v, x
	if math.IsNaN(v) || math.IsInf(v, 0) {
		s.NotNumbers++
		return
	}
	if !(s.Min <= v) {
		s.Min = v
	}
	if !(s.Max >= v) {
		s.Max = v
	}
	if s.capacity == 0 {
		return
	}
	p := Point{X: x, At: at, Count: 1, Min: v, Max: v, Last: v}
	if n := len(s.points); n > 0 && s.points[n-1].Count < s.span {
		s.points[n-1] = merged(s.points[n-1], p)
		return
	}
	if len(s.points) == 2*s.capacity {
		s.points = halved(s.points)
		s.span *= 2
	}
	s.points = append(s.points, p)
}

// Points are at most as many as were asked for. The least and the largest value are in them, and the last.
func (s *Series) Points() []Point {
	points := slices.Clone(s.points)
	for len(points) > s.capacity {
		points = halved(points)
	}
	return points
}

// merged is one point for two that follow each other.
func merged(a, b Point) Point {
	b.Count += a.Count
	b.Min, b.Max = min(a.Min, b.Min), max(a.Max, b.Max)
	return b
}

// halved merges each two points, in place.
func halved(points []Point) []Point {
	if len(points) < 2 {
		return points[:0]
	}
	out := points[:0]
	for pair := range slices.Chunk(points, 2) {
		p := pair[0]
		if len(pair) == 2 {
			p = merged(p, pair[1])
		}
		out = append(out, p)
	}
	return out
}

// Fold takes lines and keeps series of them, no more of either than it is to.
type Fold struct {
	Lines int    // that were read
	Bad   int    // of those: that are no JSON objects, or are too long
	Axis  string // what X of the series is: step, epoch; "": the number of the line

	want   Want
	series map[string]*Series
	order  []*Series
	others map[string]bool
	values []Value
}

// NewFold makes one that has seen nothing.
func NewFold(w Want) *Fold {
	w.Points = min(max(w.Points, 0), MaxPoints)
	return &Fold{want: w, series: map[string]*Series{}, others: map[string]bool{}}
}

// Series are those that are wanted, in the order in which they were seen first.
func (f *Fold) Series() []*Series { return f.order }

// LeftOut is how many names are wanted and not among the series.
func (f *Fold) LeftOut() int { return len(f.others) }

// axes are the names by which lines are numbered, the best first. The one that a line has is no series; another is.
func axes() []string {
	return []string{"step", "global_step", "_step", "iteration", "iter", "epoch"}
}

// Line takes a line, which is of the file's line number n.
func (f *Fold) Line(line []byte, n int) error {
	f.Lines++
	values, err := Parse(line, f.values[:0])
	if err != nil {
		f.Bad++
		return err
	}
	f.values = values[:0:min(cap(values), 4096)] // one long line is no reason to keep room for another
	x, at, axis := float64(n), time.Time{}, ""
	best := len(axes())
	for _, v := range values {
		if i := slices.Index(axes(), v.Name); i >= 0 && i < best && !math.IsNaN(v.V) && !math.IsInf(v.V, 0) {
			best, axis, x = i, v.Name, v.V
		}
		if moment, ok := moment(v); ok {
			at = moment
		}
	}
	if axis != "" {
		f.Axis = axis
	}
	for _, v := range values {
		if _, isTime := moment(v); v.Name != axis && !isTime {
			f.value(v, x, at)
		}
	}
	return nil
}

// moment reads when a line was written: seconds since 1970, or thousandths of them.
func moment(v Value) (time.Time, bool) {
	if !slices.Contains([]string{"time", "timestamp", "_timestamp", "wall_time"}, v.Name) || !(v.V >= 1e8 && v.V < 1e14) {
		return time.Time{}, false
	}
	if v.V >= 1e11 {
		v.V /= 1000
	}
	return time.UnixMilli(int64(v.V * 1000)).UTC(), true
}

func (f *Fold) value(v Value, x float64, at time.Time) {
	s := f.series[v.Name]
	if s == nil {
		switch {
		case !f.wanted(v.Name):
			return
		case len(v.Name) > longestName:
			v.Name = v.Name[:longestName]
			fallthrough
		case len(f.order) == mostSeries:
			if len(f.others) < mostOthers {
				f.others[v.Name] = true
			}
			return
		}
		s = newSeries(v.Name, f.want.Points)
		f.series[v.Name] = s
		f.order = append(f.order, s)
	}
	s.add(x, at, v.V)
}

func (f *Fold) wanted(name string) bool {
	return len(f.want.Names) == 0 || slices.ContainsFunc(f.want.Names, func(p string) bool { return Match(p, name) })
}

// Match reports whether a name is what a pattern says, in which * stands for anything.
func Match(pattern, name string) bool {
	head, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == name
	}
	name, ok := strings.CutPrefix(name, head)
	for ok {
		var part string
		if part, rest, star = strings.Cut(rest, "*"); !star {
			return strings.HasSuffix(name, part)
		}
		_, name, ok = strings.Cut(name, part)
	}
	return false
}
