package balance

import (
	"cmp"
	"math"
	"slices"
)

// mostTurns is how long a schedule gets: weights that need more are rounded to it.
const mostTurns = 4096

// shares turns weights into small whole numbers with the same ratios, none of them 0: exactly where
// their sum stays under mostTurns, else rounded to that sum. Weights are above 0 and finite.
func shares(weights []float64) []int {
	least, out := slices.Min(weights), make([]int, len(weights))
	for scale := 1.0; scale <= 64; scale++ {
		sum, exact := 0.0, true
		for i, w := range weights {
			share := w / least * scale
			whole := math.Round(share)
			if exact = math.Abs(share-whole) < 1e-6 && sum+whole <= mostTurns; !exact {
				break
			}
			out[i] = int(whole)
			sum += whole
		}
		if exact {
			return out
		}
	}
	return rounded(weights)
}

// rounded gives each weight its part of mostTurns, at least 1; what rounding down leaves goes to those
// that lost most by it.
func rounded(weights []float64) []int {
	out, sum, highest := make([]int, len(weights)), 0.0, slices.Max(weights)
	for _, w := range weights {
		sum += w / highest // so that no sum gets infinite
	}
	order, lost, left := make([]int, len(weights)), make([]float64, len(weights)), mostTurns
	for i, w := range weights {
		part := w / highest / sum * mostTurns
		out[i] = max(1, int(part))
		order[i], lost[i] = i, part-float64(out[i])
		left -= out[i]
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(lost[b], lost[a]) })
	for _, i := range order[:min(max(left, 0), len(order))] {
		out[i]++
	}
	return out
}

// newSchedule lays out whose turn is when: smooth weighted round robin, which nginx made known. In
// every turn each gets its share as credit; the one with most takes it (the first among equals) and
// pays the sum. Over the whole each has exactly its share, and its turns are as far apart as can be.
func newSchedule(shares []int) []int32 {
	sum := 0
	for _, s := range shares {
		sum += s
	}
	out, credit := make([]int32, 0, sum), make([]int, len(shares))
	if sum == len(shares) { // equals: in a row
		for i := range shares {
			out = append(out, int32(i))
		}
		return out
	}
	for range sum {
		best := 0
		for i, s := range shares {
			if credit[i] += s; credit[i] > credit[best] {
				best = i
			}
		}
		credit[best] -= sum
		out = append(out, int32(best))
	}
	return out
}

// owed is how many turns each has to get, or got too early (below 0), after the first n of a schedule.
func owed(schedule []int32, shares []int, n int) []float64 {
	out := make([]float64, len(shares))
	for i, s := range shares {
		out[i] = float64(n) * float64(s) / float64(len(schedule))
	}
	for _, i := range schedule[:n] {
		out[i]--
	}
	return out
}

// resume is where a schedule is to go on, so that what is owed to each is as near as can be to want.
func resume(schedule []int32, shares []int, want []float64) int {
	// Only what is owed beyond the others counts: what left with those that went is nobody's.
	mean := 0.0
	for _, w := range want {
		mean += w / float64(len(want))
	}
	gap := make([]float64, len(want)) // what is owed at n, less what should be
	for i, w := range want {
		gap[i] = mean - w
	}
	best, least := 0, math.Inf(1)
	for n, next := range schedule {
		distance := 0.0
		for _, g := range gap {
			distance += g * g
		}
		if distance < least-1e-9 {
			best, least = n, distance
		}
		for i, s := range shares {
			gap[i] += float64(s) / float64(len(schedule))
		}
		gap[next]--
	}
	return best
}
