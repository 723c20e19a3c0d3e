package figures

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func fold(w Want, lines ...string) *Fold {
	f := NewFold(w)
	for i, line := range lines {
		_ = f.Line([]byte(line), i+1)
	}
	return f
}

func TestFold(t *testing.T) {
	f := fold(Want{Points: 10},
		`{"step":10,"epoch":1,"loss":3,"time":1700000000.5}`, `no`, `{"step":20,"epoch":2,"loss":NaN,"acc":0.5}`, `{"step":30,"epoch":2,"loss":1}`)
	if f.Lines != 4 || f.Bad != 1 || f.Axis != "step" || len(f.Series()) != 3 {
		t.Fatalf("%+v", f)
	}
	loss := f.Series()[1]
	if loss.Name != "loss" || loss.Count != 3 || loss.NotNumbers != 1 || loss.Min != 1 || loss.Max != 3 || loss.Last != 1 || loss.X != 30 {
		t.Errorf("%+v", loss)
	}
	want := []Point{{10, time.UnixMilli(1700000000500).UTC(), 1, 3, 3, 3}, {30, time.Time{}, 1, 1, 1, 1}}
	if got := loss.Points(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v", got)
	}
	if f := fold(Want{}, `{"epoch":1,"loss":3}`, `{"loss":2}`); f.Axis != "epoch" || len(f.Series()) != 1 || f.Series()[0].X != 2 || len(f.Series()[0].Points()) != 0 {
		t.Errorf("%+v", f.Series()[0])
	}
	if f := fold(Want{}, `{"step":NaN,"loss":Infinity}`); len(f.Series()) != 2 || !math.IsNaN(f.Series()[0].Last) || !math.IsNaN(f.Series()[1].Min) {
		t.Errorf("%+v", f.Series())
	}
}

// TestPoints: however many samples there are, the points are as many as were asked for, cover all, and lose no extreme.
func TestPoints(t *testing.T) {
	for _, most := range []int{1, 2, 3, 7, 100} {
		for _, n := range []int{1, 2, 3, 5, 99, 1000, 4097} {
			s := newSeries("x", most)
			for i := range n {
				s.add(float64(i), time.Time{}, rand.NormFloat64())
			}
			points, count, low, high := s.Points(), 0, math.Inf(1), math.Inf(-1)
			for _, p := range points {
				count += p.Count
				low, high = min(low, p.Min), max(high, p.Max)
			}
			last := points[len(points)-1]
			if len(points) > most || count != n || low != s.Min || high != s.Max || last.Last != s.Last || last.X != float64(n-1) || 4*len(points) < min(n, most) {
				t.Errorf("%d of %d: %d points of %d", most, n, len(points), count)
			}
		}
	}
}

// TestBounds: names without number, and of any length, cost no more than some.
func TestBounds(t *testing.T) {
	f := NewFold(Want{Points: 5})
	for i := range 20_000 {
		_ = f.Line(fmt.Appendf(nil, `{"name%d":1,"%0300d":2}`, i, i), i)
	}
	if len(f.Series()) != mostSeries || f.LeftOut() != mostOthers {
		t.Errorf("%d series, %d left out", len(f.Series()), f.LeftOut())
	}
	f = fold(Want{Names: []string{"train*", "lr"}}, `{"train.loss":1,"val.loss":2,"lr":3}`)
	if len(f.Series()) != 2 || f.LeftOut() != 0 {
		t.Errorf("%+v", f.Series())
	}
}

func TestMatch(t *testing.T) {
	for _, test := range []struct {
		pattern, name string
		want          bool
	}{
		{"loss", "loss", true}, {"loss", "loss2", false}, {"*", "", true}, {"*", "x", true}, {"*loss", "train.loss", true}, {"train*", "train", true},
		{"ab*ba", "aba", false}, {"a*b*c", "a1b2c", true}, {"a*b*c", "acb", false}, {"**x", "x", true}, {"", "x", false},
	} {
		if got := Match(test.pattern, test.name); got != test.want {
			t.Errorf("Match(%q, %q) = %v", test.pattern, test.name, got)
		}
	}
}
