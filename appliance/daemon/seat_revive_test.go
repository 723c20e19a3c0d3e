package daemon

import (
	"os"
	"testing"
	"time"
)

func TestRevivals(t *testing.T) {
	now := time.Now()
	var r revivals
	for i, want := range []time.Duration{reviveFirst, 2 * reviveFirst, 4 * reviveFirst, 8 * reviveFirst} {
		if wait := r.wait(now); wait != want {
			t.Errorf("before number %d: %s, want %s", i, wait, want)
		}
		r = r.after(now)
		now = now.Add(time.Minute)
	}
	for range 100 {
		r = r.after(now)
	}
	if wait := r.wait(now); wait != reviveMost {
		t.Errorf("after many: %s", wait)
	}
	now = now.Add(2 * reviveCalm)
	if wait := r.wait(now); wait != reviveFirst {
		t.Errorf("after a calm time: %s", wait)
	}
	if r = r.after(now); r.Times != 1 || !r.Last.Equal(now) {
		t.Errorf("after a calm time: %+v", r)
	}
}

func TestSameProgram(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		command []string
		same    bool
	}{
		"itself": {[]string{self, "serve"}, true}, "another": {[]string{"/bin/sh"}, false}, "gone": {[]string{self + "-not-there"}, false}, "not known": {nil, true},
	} {
		if sameProgram(tt.command) != tt.same {
			t.Errorf("%s: %v", name, !tt.same)
		}
	}
}
