package catalog

import (
	"fmt"
	"strings"
)

// DidYouMean is the hint for a word that is not among known: "did you mean NAME?" with the nearest one, or "".
func DidYouMean(word string, known []string) string { return didYouMean(word, known) }

// didYouMean is the hint for a word that is not among known: the nearest one, or "".
func didYouMean(word string, known []string) string {
	best, nearest := "", 1+max(1, len(word)/3)
	for _, k := range known {
		if n := distance(strings.ToLower(word), k); n < nearest {
			best, nearest = k, n
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("did you mean %s?", best)
}

// distance is the number of insertions, deletions and substitutions between a and b. Long words are
// far from everything: the table is quadratic.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		previous := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			previous, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, previous+cost)
		}
	}
	return row[len(b)]
}
