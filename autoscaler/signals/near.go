package signals

import (
	"cmp"
	"slices"
	"strings"
)

// near says which of the names that a page has are the nearest to one that it has not.
func near(name string, has []string) string {
	base, s := parse(name)
	if len(has) == 0 {
		return ""
	}
	type candidate struct {
		name string
		far  int
	}
	var all []candidate
	want := canonical(base)
	for _, h := range has {
		whole, isHistogram := strings.CutSuffix(h, "_bucket")
		if !isHistogram && slices.ContainsFunc([]string{"_sum", "_count", "_created"}, func(end string) bool {
			stem, cut := strings.CutSuffix(h, end)
			return cut && slices.Contains(has, stem+"_bucket")
		}) {
			continue
		}
		if isHistogram {
			if canonical(whole) == want && s.op == asIs {
				return ": it is a histogram, write " + whole + ":p95 or " + whole + ":mean"
			}
			whole += ":p95"
		}
		if !slices.ContainsFunc(all, func(c candidate) bool { return c.name == whole }) {
			all = append(all, candidate{whole, apart(want, canonical(strings.TrimSuffix(whole, ":p95")))})
		}
	}
	slices.SortStableFunc(all, func(a, b candidate) int { return cmp.Compare(a.far, b.far) })
	var names []string
	for _, c := range all[:min(len(all), 3)] {
		names = append(names, c.name)
	}
	if len(names) == 0 {
		return ""
	}
	return "; it has " + strings.Join(names, ", ")
}

// apart is how many words two names do not share, and less so how many letters: engines build names of words.
func apart(a, b string) int {
	of, other := strings.Split(a, "_"), strings.Split(b, "_")
	far := 0
	for _, w := range of {
		if !slices.Contains(other, w) {
			far += 10
		}
	}
	for _, w := range other {
		if !slices.Contains(of, w) {
			far += 3
		}
	}
	return far + max(len(a)-len(b), len(b)-len(a))/4
}
