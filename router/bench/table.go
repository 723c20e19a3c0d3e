package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// results are the samples of one mode that count.
type results struct {
	samples   map[string][]sample // by peer
	disturbed map[string]bool     // peers that had too few rounds without disturbance
}

// settle takes the undisturbed samples of each peer. Where there are fewer than wanted, the least disturbed ones of the
// others fill them up, and the peer is marked.
func settle(all []sample, wanted int) results {
	r := results{samples: map[string][]sample{}, disturbed: map[string]bool{}}
	of := map[string][]sample{}
	for _, s := range all {
		of[s.Peer] = append(of[s.Peer], s)
	}
	for name, list := range of {
		slices.SortStableFunc(list, func(a, b sample) int {
			return cmp.Or(boolCompare(a.Disturbed, b.Disturbed), cmp.Compare(a.Noise.Foreign+a.Noise.Steal, b.Noise.Foreign+b.Noise.Steal))
		})
		clean := slices.IndexFunc(list, func(s sample) bool { return s.Disturbed })
		if clean < 0 {
			clean = len(list)
		}
		if clean < wanted {
			r.disturbed[name] = true
		}
		r.samples[name] = list[:min(len(list), max(clean, wanted))]
	}
	return r
}

func boolCompare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// values of a key, in no order.
func (r results) values(peer, key string) []float64 {
	var out []float64
	for _, s := range r.samples[peer] {
		if v, ok := s.Values[key]; ok {
			out = append(out, v)
		}
	}
	return out
}

// median of v; 0 of none.
func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// ratios of a key between two peers, one for each round that both have: the machine's speed changes from round to round,
// and changes both alike. Without a round in common there is one ratio, of their medians.
func (r results) ratios(peer, other, key string) []float64 {
	of := map[int]float64{}
	for _, s := range r.samples[other] {
		of[s.Round] = s.Values[key]
	}
	var out []float64
	for _, s := range r.samples[peer] {
		if v := of[s.Round]; v > 0 {
			out = append(out, s.Values[key]/v)
		}
	}
	if base := median(r.values(other, key)); len(out) == 0 && base > 0 && len(r.samples[peer]) > 0 {
		out = append(out, median(r.values(peer, key))/base)
	}
	return out
}

// print writes the mode's tables.
func (b *bench) print(w io.Writer, m mode, all []sample) {
	r := settle(all, cmp.Or(b.rounds, m.rounds))
	fmt.Fprintf(w, "\n## %s\n\n%s\n\n", m.name, m.title(b))
	names := slices.SortedFunc(maps.Keys(r.samples), func(x, y string) int {
		key := m.columns[0].key
		return cmp.Or(cmp.Compare(median(r.values(x, key)), median(r.values(y, key))), cmp.Compare(x, y))
	})
	against := slices.DeleteFunc([]string{nginx, haproxy, caddy, plainGo, traefik}, func(n string) bool { return len(r.samples[n]) == 0 })
	if m.harms {
		against = nil
	}
	head := []string{"", "rounds"}
	for _, c := range m.columns {
		head = append(head, c.title)
	}
	for _, n := range against {
		head = append(head, "/ "+n)
	}
	row(w, head)
	row(w, slices.Repeat([]string{"---"}, len(head)))
	for _, n := range names {
		row(w, append(cells(m, r, n), ratioCells(m, r, n, against)...))
	}
	if len(r.disturbed) > 0 {
		fmt.Fprintf(w, "\n~ too few rounds were undisturbed; the least disturbed ones stand for them.\n")
	}
	for _, n := range slices.Sorted(maps.Keys(b.missing)) {
		fmt.Fprintf(w, "\nNot measured: %s: %s\n", n, b.missing[n])
	}
	printNotes(w, r, names)
	printChecks(w, m, r)
}

func row(w io.Writer, cells []string) { fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | ")) }

// cells are the medians of one peer; of the first column also how far the rounds lie apart.
func cells(m mode, r results, name string) []string {
	mark := ""
	if r.disturbed[name] {
		mark = " ~"
	}
	out := []string{name + mark, fmt.Sprint(len(r.samples[name]))}
	for i, c := range m.columns {
		v := r.values(name, c.key)
		switch {
		case len(v) == 0 || name == direct && slices.Contains([]string{"cpu", "user", "memory"}, c.key):
			out = append(out, "")
		case i == 0 && len(v) > 1:
			out = append(out, fmt.Sprintf("**"+c.format+"** ("+c.format+" to "+c.format+")", median(v), slices.Min(v), slices.Max(v)))
		default:
			out = append(out, fmt.Sprintf(c.format, median(v)))
		}
	}
	return out
}

func ratioCells(m mode, r results, name string, against []string) []string {
	var out []string
	for _, n := range against {
		cell := ""
		if v := r.ratios(name, n, m.columns[0].key); len(v) > 0 && name != direct {
			cell = fmt.Sprintf("%.2f", median(v))
		}
		out = append(out, cell)
	}
	return out
}

func printNotes(w io.Writer, r results, names []string) {
	for _, n := range names {
		kinds := map[string]int{}
		for _, s := range r.samples[n] {
			for kind, times := range s.Notes {
				kinds[kind] += times
			}
		}
		var parts []string
		for _, kind := range slices.Sorted(maps.Keys(kinds)) {
			parts = append(parts, fmt.Sprintf("%s %d times", kind, kinds[kind]))
		}
		if len(parts) > 0 {
			fmt.Fprintf(w, "\nFailed by way of %s: %s\n", n, strings.Join(parts, ", "))
		}
	}
}

// header says where this was measured.
func (b *bench) header() string {
	return fmt.Sprintf("# Side by side, %s\n\n%d cores, %s, Go %s. Medians of rounds in turns; the proxy on one core, everything else on the others.",
		time.Now().UTC().Format("2006-01-02 15:04"), runtime.NumCPU(), kernel(), strings.TrimPrefix(runtime.Version(), "go"))
}

func kernel() string {
	text, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "Linux"
	}
	return "Linux " + strings.TrimSpace(string(text))
}
