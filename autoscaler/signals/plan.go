package signals

import (
	"bytes"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/palisade-run/palisade/autoscaler"
)

// plan is what is to be read off a target's page, made once for all targets that want the same.
type plan struct {
	slots   []slot
	index   map[string][]int // slots by the names of lines, with "_" for ":"
	figures []figure
	ranks   []string
	wholes  []string
}

// kind is what sort of line a slot takes.
type kind int

const (
	values  kind = iota
	buckets      // "_bucket"
	sums         // "_sum"
	counts       // "_count"
)

// slot takes the lines of one name, and of one label where it has one.
type slot struct {
	kind      kind
	name      string // canonical
	label, is string
	average   bool // what several series tell is their mean, else their sum
}

// figure is one metric, and where it may be told: the first place that says something counts.
type figure struct {
	name  string // as it is asked for
	of    []place
	asked string // the raw name that is asked for; "" where it is a word
	stat  stat
}

// place is where a figure may come from.
type place struct {
	op       operation
	slot     int // of asIs and rate
	hist     histogramSlots
	also     histogramSlots // added, where hasAlso
	hasAlso  bool
	quantile float64
	scale    float64
}

type histogramSlots struct{ bucket, sum, count int }

// stat is what a name asks for beyond the figure itself: "x:p95", "x:mean", "x:rate".
type stat struct {
	op       operation
	quantile float64
}

// parse takes such a name apart.
func parse(name string) (base string, s stat) {
	i := strings.LastIndexByte(name, ':')
	if i <= 0 {
		return name, stat{op: asIs}
	}
	switch tail := name[i+1:]; {
	case tail == "rate":
		return name[:i], stat{op: rate}
	case tail == "mean":
		return name[:i], stat{op: mean}
	case len(tail) >= 2 && tail[0] == 'p' && isDigit(tail[1]):
		if q, err := strconv.ParseFloat(tail[1:], 64); err == nil && q > 0 && q < 100 && averages(name) {
			return name[:i], stat{op: quantile, quantile: q / 100}
		}
	}
	return name, stat{op: asIs}
}

// averages tells that what several series of one page say of a metric is averaged: a share, or a quantile. Else it is summed.
func averages(name string) bool {
	info, ok := autoscaler.Known(autoscaler.Metric{Source: autoscaler.SourceEngine, Name: name})
	return ok && !info.Totals
}

// canonical is a name as it is compared: engines and people write the same one with ":" or with "_".
func canonical(name string) string { return strings.ReplaceAll(name, ":", "_") }

// compile makes the plan for the metrics wanted and the vocabulary. names are what the owner says that the engine calls
// the words; they come before the table's.
func compile(wanted []string, names map[string][]string) *plan {
	p := &plan{index: map[string][]int{}, ranks: ranks(), wholes: wholes()}
	all := append(vocabulary(), wanted...)
	for i, name := range all {
		if slices.Contains(all[:i], name) {
			continue
		}
		base, s := parse(name)
		f := figure{name: name, stat: s}
		if of := sources(base, names); of != nil {
			for _, from := range of {
				p.word(&f, from, s)
			}
		} else {
			f.asked = base
			p.raw(&f, base, s)
		}
		p.figures = append(p.figures, f)
	}
	return p
}

// owned is where the names come from that an owner gives.
const owned = "owner"

// named is a source with whose it is.
type named struct {
	source
	engine string
}

// sources gives where a word may be told; nil where it is none.
func sources(wordOf string, names map[string][]string) []named {
	var out []named
	for _, raw := range names[wordOf] {
		if i := slices.IndexFunc(out, func(n named) bool { return n.raw == raw }); i >= 0 {
			continue
		}
		out = append(out, named{source{raw: raw, op: usual(wordOf, raw)}, owned})
	}
	for _, e := range engines() {
		for _, s := range e.words[wordOf] {
			if i := slices.IndexFunc(out, func(n named) bool { return n.raw == s.raw }); i >= 0 && out[i].engine == owned {
				out = slices.Delete(out, i, i+1) // the table knows more of it: labels, units
			}
			out = append(out, named{s, e.name})
		}
	}
	return out
}

// usual is what is made of a name that only an owner knows.
func usual(wordOf, raw string) operation {
	switch {
	case wordOf == TTFT || wordOf == "latency":
		return mean
	case strings.HasSuffix(raw, "_total") || strings.HasSuffix(raw, "_sum"):
		return rate
	}
	return asIs
}

// word adds the places of one source.
func (p *plan) word(f *figure, from named, s stat) {
	at := place{op: from.op, scale: from.scale}
	if at.scale == 0 {
		at.scale = 1
	}
	histogram := from.op == mean
	switch {
	case s.op == asIs:
	case s.op == rate && !histogram:
		at.op = rate
	case s.op == mean && histogram:
		at.op = mean
	case s.op == quantile && histogram && from.also == "": // quantiles do not add up
		at.op, at.quantile = quantile, s.quantile
	default:
		return // it does not tell that
	}
	if !histogram {
		at.slot = p.slot(slot{kind: values, name: canonical(from.raw), label: from.label, is: from.is, average: averages(f.name)})
		f.of = append(f.of, at)
		return
	}
	at.hist = p.histogram(from.raw, from.label, from.is)
	if from.also != "" {
		at.also, at.hasAlso = p.histogram(from.also, from.alsoLabel, from.alsoIs), true
	}
	f.of = append(f.of, at)
}

// raw adds the places of a name as engines write it.
func (p *plan) raw(f *figure, base string, s stat) {
	name := canonical(base)
	average := averages(base)
	switch s.op {
	case asIs:
		f.of = append(f.of, place{op: asIs, scale: 1, slot: p.slot(slot{kind: values, name: name, average: average})})
	case rate:
		for _, n := range []string{name, name + "_total"} {
			f.of = append(f.of, place{op: rate, scale: 1, slot: p.slot(slot{kind: values, name: n})})
		}
	case mean, quantile:
		f.of = append(f.of, place{op: s.op, scale: 1, quantile: s.quantile, hist: p.histogram(base, "", "")})
		if s.op == quantile { // a summary tells some itself
			is := strconv.FormatFloat(s.quantile, 'g', -1, 64)
			f.of = append(f.of, place{op: asIs, scale: 1, slot: p.slot(slot{kind: values, name: name, label: "quantile", is: is, average: true})})
		}
	}
}

func (p *plan) histogram(raw, label, is string) histogramSlots {
	name := canonical(raw)
	return histogramSlots{
		bucket: p.slot(slot{kind: buckets, name: name + "_bucket", label: label, is: is}),
		sum:    p.slot(slot{kind: sums, name: name + "_sum", label: label, is: is}),
		count:  p.slot(slot{kind: counts, name: name + "_count", label: label, is: is}),
	}
}

// slot gives the number of a slot, which it makes where there is none like it.
func (p *plan) slot(s slot) int {
	if i := slices.Index(p.slots, s); i >= 0 {
		return i
	}
	p.slots = append(p.slots, s)
	i := len(p.slots) - 1
	p.index[s.name] = append(p.index[s.name], i)
	return i
}

// of gives the slots of a line's name; nil where there are none. room is a place of longestName bytes.
func (p *plan) of(name, room []byte) []int {
	if len(name) > longestName {
		return nil
	}
	plain := room[:copy(room, name)]
	for from := 0; ; {
		i := bytes.IndexByte(plain[from:], ':')
		if i < 0 {
			return p.index[string(plain)]
		}
		from += i
		plain[from] = '_'
	}
}

// marks reads off labels what they mean to every slot.
func (p *plan) marks(labels []label) marks {
	var m marks
	for _, l := range labels {
		switch name := string(l.name); {
		case name == "le":
			le, ok := number(l.value)
			m.le, m.hasLe = le, ok && !math.IsNaN(le)
		case name == "quantile":
			m.summary = true
		case slices.Contains(p.ranks, name):
			m.ranked = true
		case len(l.value) > 0 && slices.Contains(p.wholes, name):
			m.part = true
		}
	}
	if m.ranked {
		m.rankGroup = p.group(labels)
	}
	return m
}

// group is one number for all labels but the ranks.
func (p *plan) group(labels []label) uint64 {
	h := uint64(14695981039346656037)
	for _, l := range labels {
		if !slices.Contains(p.ranks, string(l.name)) {
			h = hash(hash(h, l.name), l.value)
		}
	}
	return h
}

// hash is FNV-1a.
func hash(h uint64, b []byte) uint64 {
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return (h ^ 0xff) * 1099511628211
}

// wants tells whether a line with these labels is the slot's.
func (s *slot) wants(labels []label, m marks) bool {
	if s.label == "" {
		return !(m.summary && s.kind == values)
	}
	for _, l := range labels {
		if string(l.name) == s.label {
			return string(l.value) == s.is || bytes.IndexByte(l.value, '\\') >= 0 && string(unescape(l.value)) == s.is
		}
	}
	return false
}
