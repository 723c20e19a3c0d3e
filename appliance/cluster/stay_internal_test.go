package cluster

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// Who loses leases one after the other has ones that last longer, and who has lost one alone has not.
func TestStay(t *testing.T) {
	for name, tc := range map[string]struct {
		after []time.Duration // that one was lost after the one before
		want  time.Duration
	}{
		"none was lost":               {nil, LeaseTime},
		"one was":                     {[]time.Duration{0}, LeaseTime},
		"another, long after":         {[]time.Duration{0, lostAgain}, LeaseTime},
		"another soon after":          {[]time.Duration{0, lostAgain - 1}, 2 * LeaseTime},
		"and another":                 {[]time.Duration{0, time.Second, time.Second}, 4 * LeaseTime},
		"long after that it is as is": {[]time.Duration{0, time.Second, time.Hour}, 2 * LeaseTime},
		"again and again":             {[]time.Duration{0, 9, 9, 9, 9, 9, 9, 9, 9}, longestStay},
	} {
		var s stay
		now := time.Now()
		for _, d := range tc.after {
			now = now.Add(d)
			s.over(now, s.is())
		}
		if got := s.is(); got != tc.want {
			t.Errorf("%s: %s; want %s", name, got, tc.want)
		}
	}
}

// A lease that lasts longer is to be replaced by one of half its time when it has been kept for long enough, and etcd is quick.
func TestStayIsShortened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stay{ttl: 4 * LeaseTime}
		l := &Lease{stay: s, ttl: time.Hour, wish: s.is(), now: time.Now, pace: &pace{}, shorter: make(chan struct{}), longUntil: time.Now().Add(longFor)}
		is := func() bool {
			l.wornOff()
			select {
			case <-l.Shorter():
				return true
			default:
				return false
			}
		}
		if is() {
			t.Error("it is to be replaced at once")
		}
		time.Sleep(longFor)
		l.pace.took(time.Second)
		if is() {
			t.Error("it is to be replaced while etcd is slow")
		}
		for range 10 {
			l.pace.took(0)
		}
		once := is()
		if again := is(); !once || !again || s.is() != 2*LeaseTime { // and is not closed twice
			t.Errorf("after %s another one is of %s", longFor, s.is())
		}
	})
}

// A lease that is lost, and noticed to be in two ways, counts once; one that was given back does not.
func TestALeaseIsLostOnce(t *testing.T) {
	var s stay
	s.over(time.Now(), LeaseTime)
	lost := func() *Lease {
		l := &Lease{stay: &s, wish: LeaseTime, now: time.Now}
		l.lost, l.lose = context.WithCancelCause(t.Context())
		return l
	}
	given := lost()
	given.lose(context.Canceled)
	given.Unheard()
	if got := s.is(); got != LeaseTime {
		t.Errorf("after one that was given back the next one is of %s", got)
	}
	one := lost()
	one.Unheard()
	one.Unheard()
	if got, err := s.is(), context.Cause(one.lost); got != 2*LeaseTime || !errors.Is(err, ErrLeaseLost) {
		t.Errorf("the next one is of %s, and this one lost for %v", got, err)
	}
}
