package waiting

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestPace(t *testing.T) {
	now := time.Unix(1000, 0)
	var p pace
	let := func(at time.Time) (n int) {
		for n < 1000 && p.may(at) {
			p.took()
			n++
		}
		return n
	}
	if n := let(now); n != 1000 {
		t.Fatalf("a pace that is off lets %d go", n)
	}
	p.routes(now, 0, 2)
	for i, step := range []struct {
		what string
		do   func()
		at   time.Duration
		want int
	}{
		{"two routes came", func() {}, 0, 8},
		{"an answer begins", func() { p.back(perAnswer) }, 10 * time.Millisecond, 2},
		{"one ends without an answer", func() { p.back(1) }, 20 * time.Millisecond, 1},
		{"nothing", func() {}, 999 * time.Millisecond, 0},
		{"a second has passed", func() {}, time.Second, 8},
		{"many have", func() {}, 10*time.Second + time.Millisecond, 8},
		{"the next comes at whole ones", func() {}, 11 * time.Second, 8},
		{"a third route", func() { p.routes(now, 2, 3) }, 11*time.Second + time.Millisecond, 4},
		{"one goes", func() { p.routes(now, 3, 2) }, 11*time.Second + 2*time.Millisecond, 0},
		{"and comes again", func() { p.routes(now, 2, 3) }, 11*time.Second + 3*time.Millisecond, 4},
		{"all went and one came", func() { p.routes(now, 0, 1) }, 11*time.Second + 4*time.Millisecond, 4},
		{"it went, too: what waits is held by nothing but that", func() { p.routes(now, 1, 0) }, 11*time.Second + 5*time.Millisecond, 1000},
	} {
		step.do()
		if n := let(now.Add(step.at)); n != step.want {
			t.Errorf("%d: %s: %d may go, want %d", i, step.what, n, step.want)
		}
	}
}

func TestManyThatWaitedAtZeroGoAFewAtFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, s := &Line{}, &seats{}
		l.Set(Settings{Most: 1000, Timeout: time.Minute, Paced: true})
		for i := range 100 {
			come(t.Context(), t, l, s, fmt.Sprint("t", i%3), fmt.Sprint(i))
		}
		s.give(1000)
		l.Changed(time.Now(), 1)
		gone := func() int { return len(s.who()) }
		if gone() != atFirst {
			t.Fatalf("%d went at first", gone())
		}
		l.Began(time.Now())
		if gone() != atFirst+perAnswer {
			t.Errorf("after one answer: %d", gone())
		}
		come(t.Context(), t, l, s, "new", "new")
		if gone() != atFirst+perAnswer {
			t.Error("a new one overtook those that wait")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if want := 2*atFirst + perAnswer; gone() != want {
			t.Errorf("by time alone: %d, want %d", gone(), want)
		}
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if gone() != 101 || l.Waiting() {
			t.Errorf("%d went in the end, %d wait", gone(), l.Depth())
		}
		// Who comes now is held by nothing.
		for range 20 {
			if err := l.Wait(t.Context(), &Ask{Now: time.Now(), Try: s.try("later")}); err != nil {
				t.Error(err)
			}
		}
		l.Close(errors.New("over"))
	})
}

func TestRate(t *testing.T) {
	now := time.Unix(1000, 0)
	var r rate
	if got := r.seconds(now, 5); got != unknown {
		t.Errorf("nobody went: %d", got)
	}
	for range 600 { // ten a second for a minute
		now = now.Add(100 * time.Millisecond)
		r.add(now)
	}
	for n, want := range map[int]int{1: 1, 10: 1, 100: 10, 10_000: mostRetry} {
		if got := r.seconds(now, n); got < want-1 || got > want+2 || got > mostRetry {
			t.Errorf("%d at ten a second: %d s, want about %d", n, got, want)
		}
	}
	if got := r.seconds(now.Add(time.Hour), 5); got != unknown {
		t.Errorf("an hour later: %d", got)
	}
	if got := r.seconds(now.Add(-time.Hour), 10); got < 1 {
		t.Errorf("with a clock that went back: %d", got)
	}
}
