// Package spelling owns how messages speak of a word that somebody wrote: how much of it is quoted, and which of the names that
// there are it was most likely meant to be, so that a field of a document, a setting, a flag and a service are guessed alike. It
// knows nothing of what the names are of.
package spelling

import "strings"

// longest is how many bytes a word may have that is compared: the time it takes grows with the square of it.
const longest = 256

// DidYouMean is the hint for a word that is not among known: "did you mean NAME?", or "" where none is near.
func DidYouMean(word string, known []string) string {
	if near := Nearest(word, known); near != "" {
		return "did you mean " + near + "?"
	}
	return ""
}

// Nearest returns the one of known that word was most likely meant to be, the first of those that are as near, or "". Near is
// what differs in a third of word's letters at most; what word is the beginning of, or the other way round, is as near as if one
// letter differed, and of several such the one that fewer letters differ in.
func Nearest(word string, known []string) string {
	if len(word) > longest {
		return ""
	}
	type far struct{ counted, letters int }
	best, nearest := "", far{counted: max(1, len(word)/3) + 1}
	lower := []rune(strings.ToLower(word))
	for _, k := range known {
		if len(k) > longest {
			continue
		}
		other := []rune(strings.ToLower(k))
		apart := max(len(lower)-len(other), len(other)-len(lower))
		var d far
		switch {
		case len(word) >= 3 && (strings.HasPrefix(k, word) || strings.HasPrefix(word, k) && len(k) >= 3):
			d = far{min(apart, 1), apart}
		case apart > nearest.counted:
			continue // nor can it be nearer than that: names may be many
		default:
			letters := distance(lower, other)
			d = far{letters, letters}
		}
		if d.counted < nearest.counted || best != "" && d.counted == nearest.counted && d.letters < nearest.letters {
			best, nearest = k, d
		}
	}
	return best
}

// distance is the number of letters to add, drop, change or swap with the next one.
func distance(x, y []rune) int {
	before, last, row := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(x); i++ {
		row[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(y)]
}
