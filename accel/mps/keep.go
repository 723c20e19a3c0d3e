package mps

import "time"

// Bounds of looking after the service.
const (
	lookEvery  = 15 * time.Second // while all is well
	firstRetry = time.Second      // after a start that failed
	lastRetry  = 2 * time.Minute
)

// sight is what was seen in one look.
type sight struct {
	own   bool // the service in our own directory answers
	other bool // one that somebody else started answers, where programs look for it by default
}

// state is what is remembered from look to look.
type state struct {
	failed int       // starts in a row after which nothing answered
	next   time.Time // of the next look
}

// action is what a look leads to.
type action int

const (
	rest  action = iota // nothing is to be done until the next look
	start               // start our own
)

// step decides what to do about what was seen.
//  1. Our own answers, started in this life or an earlier one: leave it be.
//  2. Somebody else's answers: two on one box take the devices from each other, so theirs is used.
//  3. Else start one; after starts that failed, ever more seldom.
func step(s state, seen sight, now time.Time) (state, action) {
	if seen.own || seen.other { // 1, 2
		return state{next: now.Add(lookEvery)}, rest
	}
	wait := lastRetry // 3
	if s.failed < 8 {
		wait = min(firstRetry<<s.failed, lastRetry)
	}
	return state{failed: s.failed + 1, next: now.Add(wait)}, start
}
