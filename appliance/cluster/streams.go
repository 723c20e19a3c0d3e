package cluster

import (
	"maps"
	"time"
)

// heardOn notes that something came on a stream, and returns when something had before: where one watch hears, its member is there for all
// that are on the stream.
func (a *Agreement) heardOn(stream int64, now time.Time) (before time.Time) {
	a.asking.Lock()
	defer a.asking.Unlock()
	before = a.heard
	if stream >= a.hears { // else it was given up
		a.hears, a.heard = stream, now
	}
	return before
}

// silentOn is for how long nothing came on a stream on which a watch was opened. One that was given up is silent for longer than anybody
// waits.
func (a *Agreement) silentOn(stream int64, opened, now time.Time) time.Duration {
	a.asking.Lock()
	defer a.asking.Unlock()
	switch {
	case stream < a.hears:
		return mostPatience + 1
	case stream == a.hears && a.heard.After(opened):
		return now.Sub(a.heard)
	}
	return now.Sub(opened)
}

// streamKey tells watches apart that are to have connections of their own: who joined the stream of those that are silent would be
// silent as well.
const streamKey = "palisade-stream"

// mayAsk tells whether it is to be asked now whether watches are there. All on one stream hear the answer: one asks for all.
func (a *Agreement) mayAsk(stream int64, now time.Time) bool {
	a.asking.Lock()
	defer a.asking.Unlock()
	if at, is := a.asked[stream]; is && now.Sub(at) < askAgain/2 {
		return false
	}
	if a.asked == nil {
		a.asked = map[int64]time.Time{}
	}
	maps.DeleteFunc(a.asked, func(_ int64, at time.Time) bool { return now.Sub(at) > mostPatience }) // streams that are over
	a.asked[stream] = now
	return true
}
