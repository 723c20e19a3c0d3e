package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// check is one aim of palisade's in one mode.
type check struct {
	what    string
	key     string
	kind    checkKind
	other   string  // ratioTo: to whom
	limit   float64 // most that is allowed
	baseOff string  // bestOf: what is taken off first, the same without a proxy
}

type checkKind int

const (
	ratioTo  checkKind = iota // at most limit times as much as another takes
	absolute                  // at most limit
	bestOf                    // adds no more than the better of nginx and haproxy adds
)

func ratio(what, key, other string, limit float64) check {
	return check{what: what, key: key, kind: ratioTo, other: other, limit: limit}
}

func atMost(what, key string, limit float64) check {
	return check{what: what, key: key, kind: absolute, limit: limit}
}

func better(what, key, base string) check {
	return check{what: what, key: key, kind: bestOf, baseOff: base, limit: 1}
}

// verdict is how a check came out.
type verdict struct {
	aim, got string
	met      bool
	measured bool
}

// judge looks at the results of one mode.
func (c check) judge(r results) verdict {
	switch c.kind {
	case ratioTo:
		v := verdict{aim: fmt.Sprintf("at most %g times %s", c.limit, c.other)}
		ratios := r.ratios(palisade, c.other, c.key)
		if len(ratios) == 0 {
			return v
		}
		mid := median(ratios)
		v.measured, v.met = true, mid <= c.limit
		v.got = fmt.Sprintf("%.2f times", mid)
		if len(ratios) > 1 {
			v.got += fmt.Sprintf(" (%.2f to %.2f)", slices.Min(ratios), slices.Max(ratios))
		}
		return v
	case absolute:
		v := verdict{aim: fmt.Sprintf("at most %g", c.limit)}
		values := r.values(palisade, c.key)
		if len(values) == 0 {
			return v
		}
		mid := median(values)
		if c.limit == 0 {
			mid = slices.Max(values) // what must not be may not be once
		}
		v.measured, v.met, v.got = true, mid <= c.limit, fmt.Sprintf("%.4g", mid)
		return v
	}
	return c.judgeBest(r)
}

// judgeBest compares what each adds to what it is without a proxy, where that was measured.
func (c check) judgeBest(r results) verdict {
	v := verdict{aim: "no more than the better of nginx and haproxy"}
	base := median(r.values(c.baseOff, c.key))
	var best []string
	least := 0.
	for _, name := range []string{nginx, haproxy} {
		if values := r.values(name, c.key); len(values) > 0 {
			if added := median(values) - base; len(best) == 0 || added < least {
				best, least = []string{name}, added
			}
		}
	}
	ours := r.values(palisade, c.key)
	if len(ours) == 0 || len(best) == 0 {
		return v
	}
	added := median(ours) - base
	v.measured, v.met = true, added <= least
	v.got = fmt.Sprintf("%.3f ms, %s %.3f ms (%.3f ms without a proxy)", added, best[0], least, base)
	return v
}

func printChecks(w io.Writer, m mode, r results) {
	if len(m.checks) == 0 {
		return
	}
	fmt.Fprintf(w, "\n")
	row(w, []string{"aim", "", "palisade", ""})
	row(w, slices.Repeat([]string{"---"}, 4))
	for _, c := range m.checks {
		v := c.judge(r)
		word := "**not met**"
		switch {
		case !v.measured:
			word = "not measured"
		case v.met:
			word = "met"
		}
		if c.disturbed(r) && v.measured {
			word += " ~"
		}
		row(w, []string{c.what, v.aim, v.got, strings.TrimSpace(word)})
	}
}

func (c check) disturbed(r results) bool {
	return r.disturbed[palisade] || c.other != "" && r.disturbed[c.other] || c.kind == bestOf && (r.disturbed[nginx] || r.disturbed[haproxy])
}
