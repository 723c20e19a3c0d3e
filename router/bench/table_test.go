package main

import (
	"slices"
	"strings"
	"testing"
)

func made(peer string, round int, cpu float64, disturbed bool, foreign float64) sample {
	return sample{Peer: peer, Round: round, Values: map[string]float64{"cpu": cpu}, Disturbed: disturbed, Noise: noise{Foreign: foreign}}
}

func TestUndisturbedRoundsCountAndTheLeastDisturbedFillUp(t *testing.T) {
	r := settle([]sample{
		made("a", 0, 1, false, 0), made("a", 1, 9, true, 1), made("a", 2, 3, false, 0),
		made("b", 0, 4, true, .9), made("b", 1, 5, true, .2), made("b", 2, 6, false, 0),
	}, 2)
	if got := r.values("a", "cpu"); !slices.Equal(got, []float64{1, 3}) || r.disturbed["a"] {
		t.Errorf("a has %v, disturbed %v: want its two undisturbed rounds", got, r.disturbed["a"])
	}
	if got := r.values("b", "cpu"); !slices.Equal(got, []float64{6, 5}) || !r.disturbed["b"] {
		t.Errorf("b has %v, disturbed %v: want the undisturbed round, the least disturbed one, and the mark", got, r.disturbed["b"])
	}
}

func TestRatiosAreMadeWithinARound(t *testing.T) {
	r := settle([]sample{
		made("a", 0, 1, false, 0), made("b", 0, 2, false, 0), // a slow moment of the machine
		made("a", 1, 10, false, 0), made("b", 1, 20, false, 0),
		made("a", 2, 7, false, 0),
	}, 2)
	if got := r.ratios("a", "b", "cpu"); !slices.Equal(got, []float64{.5, .5}) {
		t.Errorf("ratios %v, want one for each round in common", got)
	}
	r = settle([]sample{made("a", 0, 3, false, 0), made("b", 1, 2, false, 0)}, 1)
	if got := r.ratios("a", "b", "cpu"); !slices.Equal(got, []float64{1.5}) {
		t.Errorf("ratios %v, want that of the medians", got)
	}
	if got := r.ratios("a", "nobody", "cpu"); len(got) != 0 {
		t.Errorf("ratios %v to one who was not measured", got)
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		of   []float64
		want float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{3, 1}, 2}, {[]float64{9, 1, 2}, 2}} {
		if got := median(c.of); got != c.want {
			t.Errorf("median of %v is %v, want %v", c.of, got, c.want)
		}
	}
}

func TestChecks(t *testing.T) {
	all := []sample{}
	for name, v := range map[string][2]float64{palisade: {2, .5}, nginx: {2, .6}, haproxy: {4, .3}, direct: {0, .2}} {
		all = append(all, sample{Peer: name, Values: map[string]float64{"cpu": v[0], "delay": v[1], "broken": 0}})
	}
	r := settle(all, 1)
	for _, c := range []struct {
		check    check
		met      bool
		measured bool
		says     string
	}{
		{ratio("", "cpu", nginx, 1), true, true, "1.00 times"},
		{ratio("", "cpu", haproxy, .4), false, true, "0.50 times"},
		{ratio("", "cpu", caddy, 1), false, false, ""},
		{atMost("", "broken", 0), true, true, "0"},
		{atMost("", "delay", .4), false, true, "0.5"},
		{better("", "delay", direct), false, true, "haproxy 0.100 ms"},
	} {
		v := c.check.judge(r)
		if v.met != c.met || v.measured != c.measured || !strings.Contains(v.got, c.says) {
			t.Errorf("%+v: %+v, want met %v, measured %v, %q", c.check, v, c.met, c.measured, c.says)
		}
	}
}

func TestWhatMustNotBeMayNotBeOnce(t *testing.T) {
	all := []sample{}
	for i, broken := range []float64{0, 0, 1} {
		all = append(all, sample{Peer: palisade, Round: i, Values: map[string]float64{"broken": broken}})
	}
	if v := atMost("", "broken", 0).judge(settle(all, 3)); v.met {
		t.Errorf("met, with one broken stream in one of three rounds: %+v", v)
	}
}

func TestTablesAreOfOneWidth(t *testing.T) {
	for _, m := range modes() {
		var all []sample
		for _, p := range []string{palisade, nginx, direct} {
			s := sample{Mode: m.name, Peer: p, Values: map[string]float64{}, Notes: map[string]int{"502": 3}}
			for i, c := range m.columns {
				s.Values[c.key] = float64(i)
			}
			all = append(all, s)
		}
		var out strings.Builder
		(&bench{missing: map[string]string{traefik: "it is not there"}}).print(&out, m, all)
		width := 0
		for line := range strings.Lines(out.String()) {
			pipes := strings.Count(line, "|")
			if pipes == 0 {
				width = 0
				continue
			}
			if width != 0 && pipes != width {
				t.Errorf("%s: a row of %d cells in a table of %d: %s", m.name, pipes-1, width-1, line)
			}
			width = pipes
		}
		for _, want := range []string{"502 3 times", "Not measured: traefik: it is not there"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s does not say %q:\n%s", m.name, want, out.String())
			}
		}
	}
}
