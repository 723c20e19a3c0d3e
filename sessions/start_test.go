package sessions_test

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// What is to be begun at one time, as after a rack has died, is written at one time: each alone waits for each.
func TestStartsAreWrittenTogether(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		for i := range 50 {
			w.seed(fmt.Sprintf("chat-%d", i), 3)
		}
		w.boot()
		w.after(time.Minute)
		for i := range 50 {
			w.wantUp(fmt.Sprintf("chat-%d", i), 3)
		}
		if got := w.store.added; !slices.Equal(got, []int{100, 50}) {
			t.Errorf("sessions were added in transactions of %v", got)
		}
	})
}

// One that the store does not take keeps no other from beginning, and comes when it is taken.
func TestAStartThatIsNotTaken(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		for _, name := range []string{"a", "b", "c"} {
			w.seed(name, 2)
		}
		w.store.refuses = "svc-b"
		w.boot()
		w.after(time.Minute)
		w.wantUp("a", 2)
		w.wantUp("b", 0)
		w.wantUp("c", 2)
		w.store.mu.Lock()
		w.store.refuses = ""
		w.store.mu.Unlock()
		w.after(time.Minute)
		w.wantUp("b", 2)
		if n := len(w.told("started")); n != 6 {
			t.Errorf("%d starts are told of, want 6", n)
		}
	})
}

// Where the store takes none, as on a full disk, a few are tried alone, and not all in each pass.
func TestStartsOfWhichNoneIsTaken(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		for i := range 30 {
			w.seed(fmt.Sprintf("chat-%d", i), 1)
		}
		w.store.refuses = "svc-"
		w.boot()
		w.after(time.Second)
		w.store.mu.Lock()
		tried := len(w.store.tried)
		passes := 0
		for _, n := range w.store.tried {
			if n > 1 {
				passes++
			}
		}
		w.store.refuses = ""
		w.store.mu.Unlock()
		if passes == 0 || tried != 9*passes {
			t.Errorf("the store was asked %d times in %d passes", tried, passes)
		}
		w.after(time.Minute)
		for i := range 30 {
			w.wantUp(fmt.Sprintf("chat-%d", i), 1)
		}
	})
}
