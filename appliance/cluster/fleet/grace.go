package fleet

import (
	"sync"
	"time"
)

const (
	// crowd is from how many boxes on most of them do not die at one time, and many how many of a large fleet do not, where they are a part of
	// it that is more than a row of racks: one in manyOf.
	crowd  = 10
	many   = 100
	manyOf = 5
	// crowdPatience is how many times as long they are waited for when most fall silent.
	crowdPatience = 6
)

// CrowdGrace is for how long a box is waited for at most, where most fell silent with it.
func CrowdGrace(asked time.Duration) time.Duration { return crowdPatience * asked }

// IsCrowd tells whether so many of all did not fall silent for what they are themselves.
func IsCrowd(silent, all int) bool {
	return all >= crowd && 2*silent > all || silent >= many && manyOf*silent > all
}

// Crowd remembers when most boxes were silent last. The zero value is ready.
type Crowd struct {
	mu   sync.Mutex
	last time.Time // zero: they never were
}

// Over tells whether what a box runs that is silent since then is to be begun elsewhere, where silent of all boxes fell silent of late:
// after the time that is asked for, but where most of many are silent, or many, after six of it. They did not all die; a network did, or etcd is
// behind. What they run is running, and to begin all of it on those that are left would be more than those can bear. They come back
// one after the other: each is waited for as long as is asked for from when most of them are back.
func (c *Crowd) Over(now, since time.Time, asked time.Duration, silent, all int) bool {
	is := IsCrowd(silent, all)
	c.mu.Lock()
	if is {
		c.last = now
	}
	last := c.last
	c.mu.Unlock()
	if now.Sub(since) > CrowdGrace(asked) {
		return true
	}
	if last.After(since) {
		since = last
	}
	return !is && now.Sub(since) > asked
}
