package member_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster/member"
)

// world is a cluster of boxes that a plan is carried out in.
type world struct {
	boxes []member.Box
	seats []member.Seat
	next  uint64
}

func newWorld(boxes int) *world {
	w := &world{}
	for i := range boxes {
		w.boxes = append(w.boxes, member.Box{Name: fmt.Sprintf("box-%d", i+1), Alive: true})
	}
	if boxes > 0 {
		w.seat("box-1", false)
		w.seats[0].Leader = true
	}
	return w
}

func (w *world) seat(name string, learner bool) {
	w.next++
	w.seats = append(w.seats, member.Seat{ID: w.next, Name: name, Learner: learner, Answers: true, InStep: learner})
}

// silence has a box answer no more, for so long.
func (w *world) silence(name string, d time.Duration) {
	for i := range w.boxes {
		if w.boxes[i].Name == name {
			w.boxes[i].Alive, w.boxes[i].Silent = d == 0, d
		}
	}
	for i := range w.seats {
		if w.seats[i].Name == name {
			w.seats[i].Answers, w.seats[i].Silent = d == 0, d
		}
	}
}

func (w *world) unroster(name string) {
	w.boxes = slices.DeleteFunc(w.boxes, func(b member.Box) bool { return b.Name == name })
}

func (w *world) votes() (all, answer, learners int) {
	for _, s := range w.seats {
		switch {
		case s.Learner:
			learners++
		case s.Answers:
			all, answer = all+1, answer+1
		default:
			all++
		}
	}
	return all, answer, learners
}

func (w *world) stands() bool {
	all, answer, _ := w.votes()
	return all > 0 && answer > all/2
}

// step carries one out, and looks at whether it may be.
func (w *world) step(t *testing.T) (member.Step, bool) {
	t.Helper()
	stood := w.stands()
	steps := member.Plan(w.seats, w.boxes)
	if len(steps) == 0 {
		return member.Step{}, false
	}
	s := steps[0]
	if len(steps) > 1 || s.Why == "" || s.Name == "" {
		t.Fatalf("%v", steps)
	}
	if !stood {
		t.Fatalf("%s, though nothing can be decided: %+v", s, w.seats)
	}
	i := slices.IndexFunc(w.seats, func(x member.Seat) bool { return x.ID == s.ID })
	switch s.Do {
	case member.Invite:
		b := slices.IndexFunc(w.boxes, func(b member.Box) bool { return b.Name == s.Name })
		if b < 0 || !w.boxes[b].Alive || slices.ContainsFunc(w.seats, func(x member.Seat) bool { return x.Name == s.Name }) {
			t.Fatalf("%s, of %+v", s, w.boxes)
		}
		w.seat(s.Name, true)
	case member.Promote:
		if !w.seats[i].Learner || !w.seats[i].InStep || !w.seats[i].Answers {
			t.Fatalf("%s, of %+v", s, w.seats)
		}
		w.seats[i].Learner = false
	case member.Remove:
		w.seats = slices.Delete(w.seats, i, i+1)
	}
	all, _, learners := w.votes()
	if !w.stands() || learners > 1 || all > member.Most {
		t.Fatalf("after %s: %+v", s, w.seats)
	}
	return s, true
}

// rest goes on until there is nothing to do.
func (w *world) rest(t *testing.T) (steps []string) {
	t.Helper()
	for range 40 {
		s, ok := w.step(t)
		if !ok {
			return steps
		}
		steps = append(steps, string(s.Do)+" "+s.Name)
	}
	t.Fatalf("it does not come to rest: %v", steps)
	return nil
}

func TestGrow(t *testing.T) {
	for boxes, want := range []int{0, 1, 1, 3, 3, 5, 5, 5} {
		w := newWorld(boxes)
		steps := w.rest(t)
		if all, answer, learners := w.votes(); all != want || answer != want || learners != 0 {
			t.Errorf("%d boxes: %d votes, %d learners after %v", boxes, all, learners, steps)
		}
		if len(steps) != 2*max(want-1, 0) {
			t.Errorf("%d boxes: %v", boxes, steps)
		}
	}
}

func TestPlan(t *testing.T) {
	for name, tc := range map[string]struct {
		boxes int
		do    func(w *world)
		want  string
		votes int
	}{
		"a learner that lags is waited for": {3, func(w *world) {
			w.seats = w.seats[:1]
			w.seat("box-2", true)
			w.seats[1].InStep = false
		}, "", 1},
		"a learner that does not answer yet is waited for": {3, func(w *world) {
			w.seats = w.seats[:1]
			w.seat("box-2", true)
			w.silence("box-2", time.Minute)
			w.boxes[1].Alive = true
		}, "", 1},
		"a learner whose box has just fallen silent is waited for": {3, func(w *world) {
			w.seats = w.seats[:1]
			w.seat("box-2", true)
			w.silence("box-2", time.Second)
		}, "", 1},
		"a learner whose box is silent keeps nobody from a seat": {4, func(w *world) {
			w.seats = w.seats[:1]
			w.seat("box-2", true)
			w.silence("box-2", 6*time.Second)
		}, "remove box-2 invite box-3 promote box-3 invite box-4 promote box-4", 3},
		"one that was invited and never started, and fell silent": {4, func(w *world) {
			w.seats = append(w.seats[:1], member.Seat{ID: 9, Name: "box-2", Learner: true, Silent: 6 * time.Second})
			w.boxes[1].Alive, w.boxes[1].Silent = false, 6*time.Second
		}, "remove box-2 invite box-3 promote box-3 invite box-4 promote box-4", 3},
		"a learner that does not come to run, though its box lives": {4, func(w *world) {
			w.seats = append(w.seats[:1], member.Seat{ID: 9, Name: "box-2", Learner: true, Silent: 3 * time.Minute})
			w.boxes[1].Tried = true
		}, "remove box-2 invite box-3 promote box-3 invite box-4 promote box-4", 3},
		"one that was tried is asked last, and asked": {3, func(w *world) {
			w.seats = w.seats[:1]
			w.boxes[1].Tried = true
		}, "invite box-3 promote box-3 invite box-2 promote box-2", 3},
		"a learner that never came is given up": {3, func(w *world) {
			w.seats = w.seats[:1]
			w.seats = append(w.seats, member.Seat{ID: 9, Learner: true, Silent: time.Hour})
		}, "remove a member that never started (9) invite box-2 promote box-2 invite box-3 promote box-3", 3},
		"a member silent for a while":    {5, func(w *world) { w.silence("box-2", time.Minute) }, "", 5},
		"a member gone, and nobody left": {3, func(w *world) { w.silence("box-2", time.Hour) }, "", 3},
		"a member gone, and an heir":     {4, func(w *world) { w.silence("box-2", time.Hour) }, "invite box-4 remove box-2 promote box-4", 3},
		"the leader gone, and an heir":   {4, func(w *world) { w.silence("box-1", time.Hour) }, "invite box-4 remove box-1 promote box-4", 3},
		"an heir, and another silent for a while": {6, func(w *world) {
			w.silence("box-2", time.Hour)
			w.silence("box-3", time.Minute)
		}, "", 5},
		"two gone, two heirs": {7, func(w *world) {
			w.silence("box-2", time.Hour)
			w.silence("box-3", time.Hour)
		}, "invite box-6 remove box-2 promote box-6 invite box-7 remove box-3 promote box-7", 5},
		"two gone, one heir": {6, func(w *world) {
			w.silence("box-2", time.Hour)
			w.silence("box-3", time.Hour)
		}, "invite box-6 remove box-2 promote box-6", 5},
		"no majority": {7, func(w *world) {
			for _, n := range []string{"box-1", "box-2", "box-3"} {
				w.silence(n, time.Hour)
			}
		}, "", 5},
		"a box removed of three":             {3, func(w *world) { w.unroster("box-2") }, "remove box-2 remove box-3", 1},
		"a box removed of four":              {4, func(w *world) { w.unroster("box-2") }, "invite box-4 remove box-2 promote box-4", 3},
		"a box removed of five":              {5, func(w *world) { w.unroster("box-2") }, "remove box-2 remove box-5", 3},
		"a silent box removed of five":       {5, func(w *world) { w.silence("box-2", time.Second); w.unroster("box-2") }, "remove box-2 remove box-5", 3},
		"the leader's box removed":           {3, func(w *world) { w.unroster("box-1") }, "remove box-1 remove box-3", 1},
		"the only member's box removed":      {2, func(w *world) { w.unroster("box-1") }, "invite box-2 promote box-2 remove box-1", 1},
		"the only box removed":               {1, func(w *world) { w.unroster("box-1") }, "", 1},
		"a box removed, its heir is silent":  {4, func(w *world) { w.unroster("box-2"); w.silence("box-4", time.Minute) }, "remove box-2", 2},
		"two votes, and the third never was": {4, func(w *world) { w.unroster("box-2"); w.silence("box-4", time.Hour) }, "remove box-2 remove box-3", 1},
		"a learner too many": {4, func(w *world) {
			w.seat("box-4", true)
		}, "remove box-4", 3},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(tc.boxes)
			w.rest(t)
			tc.do(w)
			steps := []string{}
			for range 20 {
				s, ok := w.step(t)
				if !ok {
					break
				}
				steps = append(steps, string(s.Do)+" "+s.Name)
			}
			all, _, _ := w.votes()
			if got := strings.Join(steps, " "); got != tc.want || all != tc.votes {
				t.Errorf("%q, %d votes; want %q, %d", got, all, tc.want, tc.votes)
			}
		})
	}
}

// TestPlanNeverBreaksTheMajority throws faults at plans. That the majority stands is looked at in step.
func TestPlanNeverBreaksTheMajority(t *testing.T) {
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 1))
		w := newWorld(r.IntN(8))
		for range 60 {
			if len(w.boxes) > 0 && r.IntN(3) == 0 {
				b := w.boxes[r.IntN(len(w.boxes))].Name
				switch r.IntN(6) {
				case 0:
					if len(w.boxes) > 1 {
						w.unroster(b)
					}
				case 1:
					w.silence(b, time.Minute)
				case 2:
					w.silence(b, time.Hour)
				default:
					w.silence(b, 0)
				}
			}
			w.step(t)
		}
		// All that is there answers again: the cluster comes to rest, with an odd number of votes and no learner.
		for _, s := range slices.Clone(w.seats) {
			w.silence(s.Name, 0)
		}
		for _, b := range slices.Clone(w.boxes) {
			w.silence(b.Name, 0)
		}
		steps := w.rest(t)
		if all, _, learners := w.votes(); len(w.boxes) > 0 && (all != []int{0, 1, 1, 3, 3, 5, 5, 5}[len(w.boxes)] || learners != 0) {
			t.Fatalf("seed %d: %d boxes, %d votes, %d learners after %v: %+v", seed, len(w.boxes), all, learners, steps, w)
		}
	}
}

func TestQuorum(t *testing.T) {
	seats := func(answer, silent, learners int) (out []member.Seat) {
		for i := range answer + silent + learners {
			out = append(out, member.Seat{ID: uint64(i + 1), Name: fmt.Sprintf("box-%d", i+1), Answers: i < answer || i >= answer+silent, Learner: i >= answer+silent})
		}
		return out
	}
	for _, tc := range []struct {
		seats   []member.Seat
		mayFail int
		words   string
	}{
		{nil, -1, "There is no member: nothing can be decided."},
		{seats(1, 0, 0), 0, "box-1 is the only member: if it fails, nothing can be decided until it is back. Three boxes bear the failure of one."},
		{seats(1, 0, 1), 0, "box-1 is the only member: if it fails, nothing can be decided until it is back. Three boxes bear the failure of one."},
		{seats(0, 1, 0), -1, "0 of 1 members answer, 1 are needed: nothing can be decided until box-1 is back. What runs goes on."},
		{seats(2, 0, 0), 0, "2 of 2 members answer, and all of them are needed: if box-1 or box-2 fails, nothing can be decided."},
		{seats(1, 1, 0), -1, "1 of 2 members answer, 2 are needed: nothing can be decided until box-2 is back. What runs goes on."},
		{seats(3, 0, 1), 1, "3 of 3 members answer: one may fail. If 2 of box-1, box-2 and box-3 fail, nothing can be decided."},
		{seats(2, 1, 0), 0, "2 of 3 members answer, and all of them are needed: if box-1 or box-2 fails, nothing can be decided. Silent: box-3."},
		{seats(1, 2, 0), -1, "1 of 3 members answer, 2 are needed: nothing can be decided until 1 of box-2 and box-3 are back. What runs goes on."},
		{seats(4, 0, 0), 1, "4 of 4 members answer: one may fail. If 2 of box-1, box-2, box-3 and box-4 fail, nothing can be decided."},
		{seats(5, 0, 0), 2, "5 of 5 members answer: two may fail. If 3 of box-1, box-2, box-3, box-4 and box-5 fail, nothing can be decided."},
		{seats(4, 1, 0), 1, "4 of 5 members answer: one may fail. If 2 of box-1, box-2, box-3 and box-4 fail, nothing can be decided. Silent: box-5."},
		{seats(1, 4, 0), -1, "1 of 5 members answer, 3 are needed: nothing can be decided until 2 of box-2, box-3, box-4 and box-5 are back. What runs goes on."},
	} {
		o := member.Quorum(tc.seats)
		if o.MayFail != tc.mayFail || o.Words != tc.words {
			t.Errorf("%d: %s\nwant %d: %s", o.MayFail, o.Words, tc.mayFail, tc.words)
		}
	}
}
