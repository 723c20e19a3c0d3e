package cluster

import (
	"testing"
	"time"
)

// One watch asks for all that are on its stream, and for no other stream's.
func TestMayAsk(t *testing.T) {
	a, now := New(nil, ""), time.Unix(1000, 0)
	for i, c := range []struct {
		stream int64
		at     time.Duration
		want   bool
	}{
		{0, 0, true}, {0, time.Millisecond, false}, {1, time.Millisecond, true}, {0, askAgain/2 - 1, false}, {0, askAgain / 2, true}, {1, askAgain / 2, false},
		{2, time.Hour, true},
	} {
		if got := a.mayAsk(c.stream, now.Add(c.at)); got != c.want {
			t.Errorf("%d: stream %d may ask after %s: %v", i, c.stream, c.at, got)
		}
	}
	if len(a.asked) != 1 {
		t.Errorf("streams that are over are remembered: %v", a.asked)
	}
}

// A stream is silent since anything came on it for any of the watches that it has, or since the watch that asks was opened; one that another
// has taken the place of is given up by all.
func TestSilentOn(t *testing.T) {
	began := time.Unix(1000, 0)
	at := func(s int) time.Time { return began.Add(time.Duration(s) * time.Second) }
	a := New(nil, "")
	for i, c := range []struct {
		heard       int64 // the stream on which something comes at that time; -1: nothing does
		now, opened int
		stream      int64
		want        time.Duration
	}{
		{-1, 3, 1, 0, 2 * time.Second},
		{0, 4, 1, 0, 0},
		{-1, 9, 1, 0, 5 * time.Second},
		{-1, 9, 7, 0, 2 * time.Second}, // opened since
		{-1, 9, 8, 1, time.Second},     // nothing came yet on the next one: the first is not given up
		{-1, 9, 1, 0, 5 * time.Second},
		{1, 10, 8, 1, 0},
		{-1, 10, 1, 0, mostPatience + 1},
		{0, 11, 1, 0, mostPatience + 1}, // what comes on it yet
		{-1, 12, 8, 1, 2 * time.Second},
	} {
		if c.heard >= 0 {
			a.heardOn(c.heard, at(c.now))
		}
		if got := a.silentOn(c.stream, at(c.opened), at(c.now)); got != c.want {
			t.Errorf("%d: silent for %s, want %s", i, got, c.want)
		}
	}
}
