package sessions

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// checkTime asks whether a session may start already.
func checkTime(w *Waiting, now time.Time) []Wait {
	if !w.StartsAt.After(now) {
		return nil
	}
	return []Wait{{
		Predicate: PredicateStartsAt,
		Sentence:  "starts at " + w.StartsAt.Format(time.RFC3339) + ", in " + spell(w.StartsAt.Sub(now)),
	}}
}

// spell writes a duration as people speak of it: to the second below an hour, else to the minute.
func spell(d time.Duration) string {
	if d < time.Second {
		return "less than a second"
	}
	unit := time.Second
	if d >= time.Hour {
		unit = time.Minute
	}
	text := d.Round(unit).String()
	for _, none := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, none) {
			text = text[:len(text)-2]
		}
	}
	return text
}

// checkDependencies asks whether all that a session depends on has ended well.
func checkDependencies(w *Waiting) []Wait {
	var waits []Wait
	for _, d := range w.DependsOn {
		if d.met() {
			continue
		}
		name := d.Name
		if name == "" {
			name = d.ID
		}
		wait := Wait{Predicate: PredicateDependencies}
		switch d.Status {
		case "":
			wait.Sentence = fmt.Sprintf("waits for %s, of which nothing is known any more", name)
			wait.Would = "cancel it, or create it anew without that"
		case StatusTerminated, StatusCancelled:
			wait.Sentence = fmt.Sprintf("waits for %s, which has failed", name)
			if d.Status == StatusCancelled {
				wait.Sentence = fmt.Sprintf("waits for %s, which was cancelled", name)
			}
			wait.Would = fmt.Sprintf("cancel it, or create it anew to depend on another run of %s", name)
		default:
			wait.Sentence = fmt.Sprintf("waits for %s, which is %s", name, d.Status)
		}
		waits = append(waits, wait)
	}
	return waits
}

// checkArray asks whether as many of an array have a place as may at once.
func (p *pass) checkArray(w *Waiting) []Wait {
	if w.Array == "" || w.ArrayLimit == 0 || p.arrays[w.Array] < w.ArrayLimit {
		return nil
	}
	return []Wait{{
		Predicate: PredicateArrayLimit, Sentence: fmt.Sprintf("waits for others of its array: %d of at most %d run", p.arrays[w.Array], w.ArrayLimit),
	}}
}

// checkSelector asks whether any node has the labels, and tells which nodes have what of them.
func (n *nodes) checkSelector(s *shape) []Wait {
	if s.anywhere() {
		return nil
	}
	w := Wait{Predicate: PredicateSelector}
	var have []string // of labels that some nodes have, one by one
	for _, name := range slices.Sorted(maps.Keys(s.selector)) {
		label := name + "=" + s.selector[name]
		values := map[string][]string{}
		for _, state := range n.now {
			if value, has := state.Node().Labels[name]; has {
				values[value] = append(values[value], state.Name())
			}
		}
		if with := values[s.selector[name]]; with != nil {
			have = append(have, label+" is on "+shorten(with))
			continue
		}
		var others []string
		for _, value := range slices.Sorted(maps.Keys(values)) {
			others = append(others, name+"="+value+" on "+shorten(values[value]))
		}
		w.Sentence = "no node has label " + label
		if others != nil {
			w.Sentence += ": there is " + shorten(others)
		}
		return []Wait{w}
	}
	w.Sentence = fmt.Sprintf("no node has all of %s: %s", selectorKey(s.selector), strings.Join(have, ", "))
	return []Wait{w}
}

// shorten joins words, and counts those behind the third.
func shorten(words []string) string {
	const most = 3
	if len(words) <= most+1 {
		return enumerate(words)
	}
	return strings.Join(words[:most], ", ") + fmt.Sprintf(" and %d more", len(words)-most)
}

// checkCapacity asks whether any of the nodes that may be used is large enough when nobody else is on it.
func (n *nodes) checkCapacity(s *shape) []Wait {
	if s.invalid != nil {
		return []Wait{{Predicate: PredicateCapacity, Sentence: s.invalid.Error(), Would: "create it anew with other resources"}}
	}
	if s.spread {
		return n.checkCapacityOver(s)
	}
	cpu, mem, device := n.totals[cpuColumn], n.totals[memColumn], n.totals[s.device]
	for i := range cpu {
		if cpu[i] >= s.cpu && mem[i] >= s.mem && device[i] >= s.devices && s.on(i) && (!s.several || n.large(s, i)) {
			return nil
		}
	}
	most := slices.Repeat([]int{-1}, len(s.asks)) // by ask: the first node that has most of it
	for k := range s.asks {
		total := n.totals[s.asks[k].column]
		for i := range total {
			if s.on(i) && (most[k] < 0 || total[i] > total[most[k]]) {
				most[k] = i
			}
		}
	}
	return []Wait{n.tooLarge(s, most)}
}

// large reports whether a shape fits a node that nobody else is on.
func (n *nodes) large(s *shape, node int) bool {
	for k := range s.asks {
		if n.totals[s.asks[k].column][node] < s.asks[k].amount {
			return false
		}
	}
	return true
}

func (n *nodes) tooLarge(s *shape, most []int) Wait {
	w := Wait{Predicate: PredicateCapacity}
	if len(n.now) == 0 {
		w.Predicate, w.Sentence = PredicateResources, "there is no node to run on" // yet: one may come
		return w
	}
	var asked, has, would []string
	for k, a := range s.asks {
		at := n.totals[a.column][most[k]]
		if at >= a.amount {
			continue
		}
		asked = append(asked, amountOf(a.slot, a.amount))
		name := n.now[most[k]].Name() + " has "
		switch {
		case len(n.now) == 1 && len(has) > 0:
			name = ""
		case len(n.now) > 1 && at == 0:
			name = "no node that it may use has "
		case len(n.now) > 1:
			name += "most of it, "
		}
		switch {
		case at > 0:
			has, would = append(has, name+amountOf(a.slot, at)), append(would, amountOf(a.slot, at))
		case len(n.now) > 1:
			has = append(has, name+string(a.slot))
		default:
			has = append(has, name+"no "+string(a.slot))
		}
	}
	if asked == nil { // each has enough of something, none of everything
		for _, a := range s.asks {
			asked = append(asked, amountOf(a.slot, a.amount))
		}
		w.Sentence = "no node that it may use has " + enumerate(asked) + " together" + s.together()
		return w
	}
	w.Sentence = "asks for " + enumerate(asked) + s.together() + ": " + enumerate(has)
	if len(would) == len(asked) {
		w.Would = "would fit an empty node with " + enumerate(would) + s.together()
	}
	return w
}
