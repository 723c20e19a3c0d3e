package calibrate_test

import (
	"math"
	"testing"

	"github.com/palisade-run/palisade/autoscaler/calibrate"
)

// points are those of an engine whose speed is given for 1, 2, 4, ... requests at once.
func points(speeds ...float64) (all []calibrate.Point) {
	for i, v := range speeds {
		all = append(all, calibrate.Point{Concurrency: 1 << i, Tokens: v})
	}
	return all
}

func TestFindKnee(t *testing.T) {
	for _, c := range []struct {
		name   string
		points []calibrate.Point
		want   int
		beyond bool
	}{
		{"nothing", nil, 0, false},
		{"nothing was answered", points(0, 0), 0, false},
		{"one number only", points(10), 1, true},
		{"four places", points(10, 20, 40, 40, 40), 4, false},
		{"a large device", points(100, 195, 380, 720, 1300, 2100, 2900, 3300), 32, false},
		{"one place", points(10, 10, 10), 1, false},
		{"it gets worse", points(10, 9, 7), 1, false},
		{"still growing", points(10, 20, 40, 80), 8, true},
		{"of nearly the same the fewer", points(10, 20, 28.5), 2, false},
		{"places between", append(points(10, 20, 40, 45), calibrate.Point{Concurrency: 6, Tokens: 60}), 6, false},
		{"in no order, with what says nothing", append([]calibrate.Point{{Concurrency: 8, Tokens: 40}, {Concurrency: 0, Tokens: 99}, {Concurrency: 16, Tokens: math.Inf(1)}}, points(10, 20, 40)...), 4, false},
		{"of two of one the better", append(points(10, 20, 10), calibrate.Point{Concurrency: 4, Tokens: 40}, calibrate.Point{Concurrency: 8, Tokens: 40}), 4, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := calibrate.FindKnee(c.points)
			if got.At != c.want || got.Beyond != c.beyond || got.Why == "" {
				t.Errorf("got %+v, want %d, beyond %v", got, c.want, c.beyond)
			}
		})
	}
}

// walk measures an engine of a known curve as the ladder does.
func walk(speed func(n int) float64, most int) (tried []int, all []calibrate.Point) {
	for n := calibrate.Next(nil, most); n > 0; n = calibrate.Next(all, most) {
		tried = append(tried, n)
		all = append(all, calibrate.Point{Concurrency: n, Tokens: speed(n)})
	}
	return tried, all
}

// An engine with so many places, each as fast as one alone, has its knee there, or at the nearest that is tried.
func TestLadderFindsPlaces(t *testing.T) {
	for _, c := range []struct{ places, want, tries int }{{1, 1, 3}, {2, 2, 5}, {3, 3, 6}, {4, 4, 6}, {6, 6, 6}, {12, 12, 7}, {16, 16, 8}, {100, 96, 10}} {
		tried, all := walk(func(n int) float64 { return 10 * float64(min(n, c.places)) }, 256)
		if got := calibrate.FindKnee(all); got.At != c.want || got.Beyond || len(tried) > c.tries {
			t.Errorf("%d places: knee %+v after %v, want %d in at most %d", c.places, got, tried, c.want, c.tries)
		}
	}
	tried, all := walk(func(n int) float64 { return float64(n) }, 100)
	if got := calibrate.FindKnee(all); got.At != 100 || !got.Beyond || tried[len(tried)-1] != 100 {
		t.Errorf("an engine without end: %+v after %v", got, tried)
	}
	if tried, _ = walk(func(int) float64 { return 0 }, 256); len(tried) != 1 {
		t.Errorf("one that says nothing is asked again and again: %v", tried)
	}
}

// Whatever comes out of measuring, the ladder ends, never goes back to a number, and the knee is one that was tried.
func FuzzLadder(f *testing.F) {
	f.Add([]byte{1, 2, 4, 8, 8, 8}, 256)
	f.Add([]byte{9, 0, 255, 1}, 7)
	f.Fuzz(func(t *testing.T, speeds []byte, most int) {
		most = 1 + int(uint(most)%calibrate.MostAtOnce)
		at := 0
		seen := map[int]bool{}
		tried, all := walk(func(n int) float64 {
			if seen[n] || n < 1 || n > most {
				t.Fatalf("%d is tried, of at most %d, after %v", n, most, seen)
			}
			seen[n] = true
			if at++; at > len(speeds) {
				return 1
			}
			return float64(speeds[at-1])
		}, most)
		if len(tried) > 14 {
			t.Fatalf("%d are tried: %v", len(tried), tried)
		}
		if k := calibrate.FindKnee(all); k.At != 0 && !seen[k.At] || k.Why == "" {
			t.Fatalf("knee %+v of %v", k, tried)
		}
	})
}
