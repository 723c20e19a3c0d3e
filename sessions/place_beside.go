package sessions

import "fmt"

// besides counts, for services of which a route waits, their routes on each node that are not being ended. It counts none where
// there is one node alone.
func besides(q *Queue, n *nodes) map[string][]int {
	if len(n.now) < 2 {
		return nil
	}
	out := map[string][]int{}
	for i := range q.Waiting {
		if id := q.Waiting[i].ServiceID; id != "" && out[id] == nil {
			out[id] = make([]int, len(n.now))
		}
	}
	for i := range q.Running {
		h := &q.Running[i]
		if count := out[h.ServiceID]; count != nil && !h.Leaving {
			if node, known := n.byName[h.Claim.Node]; known {
				count[node]++
			}
		}
	}
	return out
}

// why says, for people, why a session goes to a node of several: "" where it is alone.
func (p *pass) why(w *want, node int, beside []int) string {
	switch {
	case len(p.nodes.now) < 2:
		return ""
	case w.shape.spread:
		return "as few boxes as it can be"
	case beside != nil && beside[node] == 0:
		return fmt.Sprintf("no other route of %s is there", w.ServiceName)
	case beside != nil:
		is := "is"
		if beside[node] > 1 {
			is = "are"
		}
		return fmt.Sprintf("%s of %s %s there, and no box with fewer has room", plural(beside[node], "other route"), w.ServiceName, is)
	}
	switch w.shape.strategy {
	case StrategyConcentrated:
		return "of the boxes that have room the one with least left"
	case StrategyRoundRobin:
		return "the next box by name that has room"
	}
	return "of the boxes that have room the one with most left"
}
