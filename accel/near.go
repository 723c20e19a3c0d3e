package accel

import (
	"cmp"
	"slices"
)

// roomNear says whether a need's cores and memory fit on one memory node.
func (s State) roomNear(numa int, n *Need) bool {
	at := s.numaAt(numa)
	return at >= 0 && (n.CPU <= 0 || n.CPU <= s.near[at].cpu) && (n.Memory <= 0 || n.Memory <= s.near[at].mem)
}

// nearTo is the memory node that all of a claim is near to, or -1.
func (s State) nearTo(got []piece, n *Need) int {
	if len(got) == 0 {
		return -1
	}
	numa := s.node.Devices[got[0].device].NUMA
	for _, p := range got {
		if s.node.Devices[p.device].NUMA != numa {
			return -1
		}
	}
	if !s.roomNear(numa, n) {
		return -1
	}
	return numa
}

// choose picks count of the candidates, which are in the order to take them in where nothing else decides.
func (s State) choose(candidates []int, count int, n *Need) []int {
	if len(candidates) == count || n.options.IgnoreNUMA {
		return candidates[:count]
	}
	group := s.tightest(candidates, n, func(devices []int) bool { return len(devices) >= count })
	if group != nil {
		candidates = group
	}
	return s.joined(nil, candidates, count)
}

// tightest returns the candidates of the one memory node that is enough with the fewest to spare, those with room for
// cores and memory before those without; nil if none is enough.
func (s State) tightest(candidates []int, n *Need, enough func([]int) bool) []int {
	if n.options.IgnoreNUMA {
		return nil
	}
	var best []int
	bestAway := 0
	for _, numa := range s.numas(candidates) {
		var group []int
		for _, i := range candidates {
			if s.node.Devices[i].NUMA == numa {
				group = append(group, i)
			}
		}
		away := 1
		if s.roomNear(numa, n) {
			away = 0
		}
		if !enough(slices.Clone(group)) {
			continue
		}
		if best == nil || cmp.Or(cmp.Compare(away, bestAway), cmp.Compare(len(group), len(best))) < 0 {
			best, bestAway = group, away
		}
	}
	return best
}

// numas lists the memory nodes of devices, sorted.
func (s State) numas(devices []int) []int {
	var numas []int
	for _, i := range devices {
		if numa := s.node.Devices[i].NUMA; numa >= 0 && !slices.Contains(numas, numa) {
			numas = append(numas, numa)
		}
	}
	slices.Sort(numas)
	return numas
}

// joined adds count of the candidates to the devices in sure, so that all of them are joined best among themselves
// and worst to the ones that are left, which may be wanted together next. It grows a group from each candidate and
// takes the best group; of equal ones the first.
func (s State) joined(sure, candidates []int, count int) []int {
	if count <= 0 || count >= len(candidates) {
		return candidates[:max(min(count, len(candidates)), 0)]
	}
	if s.links == nil && len(s.numas(candidates)) <= 1 {
		return candidates[:count]
	}
	var best []int
	var bestInside, bestOutside int
	for _, seed := range candidates {
		group := s.grow(append(slices.Clone(sure), seed), candidates, len(sure)+count)
		inside, outside := s.bonds(group, candidates)
		if best == nil || cmp.Or(cmp.Compare(bestInside, inside), cmp.Compare(outside, bestOutside)) < 0 {
			best, bestInside, bestOutside = group, inside, outside
		}
	}
	return best[len(sure):]
}

// grow adds the candidate that is joined best to the group until it has size members; of equal ones the first.
func (s State) grow(group, candidates []int, size int) []int {
	for len(group) < size {
		next, most := -1, -1
		for _, i := range candidates {
			if slices.Contains(group, i) {
				continue
			}
			sum := 0
			for _, j := range group {
				sum += s.bond(i, j)
			}
			if sum > most {
				next, most = i, sum
			}
		}
		group = append(group, next)
	}
	return group
}

// bonds sums how a group is joined inside, and to the candidates that it leaves.
func (s State) bonds(group, candidates []int) (inside, outside int) {
	for at, i := range group {
		for _, j := range group[:at] {
			inside += s.bond(i, j)
		}
		for _, j := range candidates {
			if !slices.Contains(group, j) {
				outside += s.bond(i, j)
			}
		}
	}
	return inside, outside
}

// bond says how near two devices are: the same memory node counts most, then what joins them.
func (s State) bond(a, b int) int {
	bond := 0
	if numa := s.node.Devices[a].NUMA; numa >= 0 && numa == s.node.Devices[b].NUMA {
		bond = 1000
	}
	if s.links != nil {
		bond += s.links[a][b]
	}
	return bond
}
