package training

import (
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/palisade-run/palisade/sessions"
)

const (
	maxArray = 1000 // sessions of one array, or their containers together: each has a row, a runner and a log of its own
	maxIndex = 1_000_000_000
)

// parseArray reads the indexes of an array: ranges and numbers with commas between, and after a % how many may run at a
// time (0: all). "" is no array: nil.
func parseArray(text string) (indexes []int, limit int, err error) {
	if text == "" {
		return nil, 0, nil
	}
	list, most, limited := strings.Cut(text, "%")
	if limited {
		if limit, err = number(most, "how many at a time"); err == nil && limit == 0 {
			err = errors.New("0 at a time would never be done")
		}
		if err != nil {
			return nil, 0, err
		}
	}
	for part := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(part, "-")
		from, err := number(first, "an index")
		if err != nil {
			return nil, 0, err
		}
		to := from
		if isRange {
			if to, err = number(last, "an index"); err != nil {
				return nil, 0, err
			}
		}
		switch {
		case to < from:
			return nil, 0, fmt.Errorf("%s has no index: %d is more than %d", part, from, to)
		case to-from >= maxArray || len(indexes)+to-from >= maxArray:
			return nil, 0, fmt.Errorf("more than %d sessions; let each do several of the steps", maxArray)
		}
		for i := from; i <= to; i++ {
			if slices.Contains(indexes, i) {
				return nil, 0, fmt.Errorf("index %d is given twice", i)
			}
			indexes = append(indexes, i)
		}
	}
	return indexes, limit, nil
}

func number(text, what string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > maxIndex || strings.HasPrefix(text, "+") {
		return 0, fmt.Errorf("%q is not %s: a number from 0 to %d", text, what, maxIndex)
	}
	return n, nil
}

// arrayOf is one request for each index.
func arrayOf(req sessions.SessionRequest, indexes []int, limit int) []sessions.SessionRequest {
	id := "arr-" + strings.ToLower(rand.Text()[:12])
	name := req.Name
	if name == "" {
		name = id[:10]
	}
	out := make([]sessions.SessionRequest, len(indexes))
	for i, index := range indexes {
		one := req
		one.Name = name + "-" + strconv.Itoa(index)
		one.Task.Array = &sessions.Array{ID: id, Index: index, Limit: limit}
		out[i] = one
	}
	return out
}
