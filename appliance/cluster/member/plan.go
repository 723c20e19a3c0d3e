package member

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Most is how many members there are at most: more make every write slower and nothing safer.
const Most = 5

// GoneAfter is how long a member is silent until it is taken for gone, and another box takes its seat.
const GoneAfter = 10 * time.Minute

// A learner has no vote to lose: it is not waited for as long as a member is.
const (
	learnerAway   = 5 * time.Second // that its box is silent
	learnerStarts = 2 * time.Minute // that it does not answer, though its box does
)

// Seat is a member as it looks now.
type Seat struct {
	ID      uint64
	Name    string // "" of one that has not started yet, where nobody knows whose it is
	Learner bool   // it follows and has no vote
	Answers bool
	Silent  time.Duration // since it answered last
	InStep  bool          // of a learner: it has what the leader has
	Leader  bool
}

// Box is a node of the cluster, with a seat or without.
type Box struct {
	Name   string
	Alive  bool
	Silent time.Duration // since it was alive
	Tried  bool          // it was invited not long ago, and did not come: others are asked first
}

// Verb is what a step does.
type Verb string

// What steps do.
const (
	// Invite: the box is to join as a learner. It does that itself: see Join.
	Invite Verb = "invite"
	// Promote: the learner gets a vote.
	Promote Verb = "promote"
	// Remove: the member is taken out.
	Remove Verb = "remove"
)

// Step is one change of who is a member.
type Step struct {
	Do   Verb
	Name string
	ID   uint64 // of a member; 0 of a box that is invited
	Why  string
}

// String says the step as a sentence.
func (s Step) String() string { return fmt.Sprintf("%s %s: %s", s.Do, s.Name, s.Why) }

// table is what Plan decides on.
type table struct {
	seats, voters, learners []Seat
	boxes                   []Box
}

func (s Seat) gone() bool { return !s.Answers && s.Silent >= GoneAfter }

// homeless is a member whose box is no node any more.
func (t table) homeless(s Seat) bool {
	return s.Name != "" && !slices.ContainsFunc(t.boxes, func(b Box) bool { return b.Name == s.Name })
}

func (t table) answering() int { return count(t.voters, func(s Seat) bool { return s.Answers }) }

func count[T any](all []T, is func(T) bool) (n int) {
	for _, one := range all {
		if is(one) {
			n++
		}
	}
	return n
}

func seated(seats []Seat, b Box) bool {
	return slices.ContainsFunc(seats, func(s Seat) bool { return s.Name == b.Name })
}

// majority of n votes.
func majority(n int) int { return n/2 + 1 }

// stands says whether the members that answer are a majority after s is gone.
func (t table) stands(without Seat) bool {
	left, answering := len(t.voters)-1, t.answering()
	if without.Answers {
		answering--
	}
	return left >= 1 && answering >= majority(left)
}

// odd is the number of votes that n boxes make: an even one would bear no more failures than one less.
func odd(n int) int { return max(1, min(n, Most)-(min(n, Most)+1)%2) }

// aim is how many votes there should be: so many as the boxes that are there can fill.
func (t table) aim() int {
	n := count(t.voters, func(s Seat) bool { return !t.homeless(s) && !s.gone() })
	return odd(n + count(t.boxes, func(b Box) bool { return b.Alive && !seated(t.voters, b) }))
}

// bound is how many votes there may be. A box that is away for a while keeps its claim, so that a restart of it does not
// change anything.
func (t table) bound() int {
	n := count(t.voters, func(s Seat) bool { return !t.homeless(s) })
	return odd(n + count(t.boxes, func(b Box) bool { return !seated(t.voters, b) && (b.Alive || b.Silent < GoneAfter) }))
}

// unsure says whether a voter is silent and may be back any moment: nothing is changed meanwhile.
func (t table) unsure() bool {
	return slices.ContainsFunc(t.voters, func(s Seat) bool { return !s.Answers && !s.gone() && !t.homeless(s) })
}

// away is a member whose box is silent.
func (t table) away(s Seat, within time.Duration) bool {
	return slices.ContainsFunc(t.boxes, func(b Box) bool { return b.Name == s.Name && !b.Alive && b.Silent >= within })
}

// candidate is the box that is invited next: by name, so that everybody would choose the same.
func (t table) candidate() (Box, bool) {
	var found []Box
	for _, b := range t.boxes {
		if b.Alive && !seated(t.seats, b) {
			found = append(found, b)
		}
	}
	if len(found) == 0 {
		return Box{}, false
	}
	return slices.MinFunc(found, func(a, b Box) int { return cmp.Or(truth(a.Tried, b.Tried), cmp.Compare(a.Name, b.Name)) }), true
}

// leaver is the voter that goes first when one goes: whose box is no node any more, who is silent, who does not lead.
func (t table) leaver() Seat {
	return slices.MaxFunc(t.voters, func(a, b Seat) int {
		return cmp.Or(truth(t.homeless(a), t.homeless(b)), truth(!a.Answers, !b.Answers), truth(!a.Leader, !b.Leader), cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
}

func truth(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// Plan says what is to be done next about who is a member: one step, or none. It is asked again with a new picture after
// each. Whatever it says, the members that answer are a majority before and after.
//  1. Without a majority nothing can be changed. Without any box the boxes are not known.
//  2. A learner is dealt with before anything else: there is one at a time.
//  3. A member whose box was removed, and that is silent, goes.
//  4. While a member is silent and may be back, nothing is changed.
//  5. More votes than boxes to bear them are fewer: so two boxes have one vote between them.
//  6. A member whose box was removed goes; its heir comes first where there is one.
//  7. A member that is gone gets an heir, which comes first as well. Without one it keeps its seat: it may be back.
//  8. Fewer votes than there could be: the next box is invited.
func Plan(seats []Seat, boxes []Box) []Step {
	t := table{seats: seats, boxes: boxes}
	for _, s := range seats {
		if s.Learner {
			t.learners = append(t.learners, s)
		} else {
			t.voters = append(t.voters, s)
		}
	}
	if len(t.voters) == 0 || len(boxes) == 0 || t.answering() < majority(len(t.voters)) { // 1
		return nil
	}
	if len(t.learners) > 0 { // 2
		return t.learner(t.learners[0])
	}
	for _, s := range t.voters { // 3
		if t.homeless(s) && !s.Answers && t.stands(s) {
			return remove(s, "its box is no node any more, and it does not answer")
		}
	}
	if t.unsure() { // 4
		return nil
	}
	if n := t.bound(); len(t.voters) > n { // 5
		if s := t.leaver(); t.stands(s) {
			return remove(s, fmt.Sprintf("%d votes are enough for the boxes there are: %d would bear no more failures", n, len(t.voters)))
		}
	}
	heir, found := t.candidate()
	for _, s := range t.voters {
		switch {
		case t.homeless(s) && found: // 6
			return invite(heir, "it takes the seat of "+s.Name+", whose box is no node any more")
		case t.homeless(s) && t.stands(s):
			return remove(s, "its box is no node any more")
		case s.gone() && found: // 7
			return invite(heir, fmt.Sprintf("it takes the seat of %s, silent for %v", s.Name, s.Silent.Round(time.Second)))
		}
	}
	if n := t.aim(); found && len(t.voters) < n { // 8
		return invite(heir, fmt.Sprintf("%d of %d votes are there", len(t.voters), n))
	}
	return nil
}

// learner says what becomes of one.
//  1. One that does not come to run, whose box is silent, or no node any more, goes: it has no vote to lose, and keeps others from
//     a seat.
//  2. One that does not follow yet is waited for, and so is a voter that may be back.
//  3. Where a vote is missing it gets it.
//  4. Where it is somebody's heir, the one it takes the seat of goes first: so there are never more votes than boxes to
//     bear them.
//  5. Else there is no seat for it.
func (t table) learner(s Seat) []Step {
	switch {
	case t.homeless(s):
		return remove(s, "its box is no node any more") // 1
	case !s.Answers && t.away(s, learnerAway):
		return remove(s, "it was to become a member, and its box is silent")
	case !s.Answers && s.Silent >= learnerStarts:
		return remove(s, fmt.Sprintf("it was to become a member, and does not answer for %v", s.Silent.Round(time.Second)))
	case !s.Answers || !s.InStep || t.unsure(): // 2
		return nil
	case t.wanting(): // 3
		return t.promote(s, fmt.Sprintf("it is in step, and a vote is missing beside %d", len(t.voters)))
	}
	for _, v := range t.voters { // 4
		switch {
		case !v.gone() && !t.homeless(v):
		case t.stands(v):
			return remove(v, s.Name+" takes its seat")
		default:
			return t.promote(s, "it is to take the seat of "+v.Name+", which cannot go before")
		}
	}
	return remove(s, "there are votes enough") // 5
}

// wanting says whether a vote is missing. Beside a member that is gone there may be more votes than boxes that are
// there: it may be back.
func (t table) wanting() bool {
	return len(t.voters) < t.aim() || slices.ContainsFunc(t.voters, Seat.gone) && len(t.voters) < t.bound()
}

func (t table) promote(s Seat, why string) []Step {
	if t.answering()+1 < majority(len(t.voters)+1) {
		return nil
	}
	return []Step{{Do: Promote, Name: s.Name, ID: s.ID, Why: why}}
}

func remove(s Seat, why string) []Step {
	return []Step{{Do: Remove, Name: nameOf(s), ID: s.ID, Why: why}}
}

func invite(b Box, why string) []Step { return []Step{{Do: Invite, Name: b.Name, Why: why}} }

func nameOf(s Seat) string {
	if s.Name == "" {
		return fmt.Sprintf("a member that never started (%x)", s.ID)
	}
	return s.Name
}

// Outlook says how far the members are from standing still.
type Outlook struct {
	Votes   int // members with a vote
	Answer  int // of them
	Needed  int
	MayFail int    // of those that answer; -1 where too few answer already
	Words   string // for people
}

// Quorum says what would break the majority.
func Quorum(seats []Seat) Outlook {
	var o Outlook
	var answer, silent []string
	for _, s := range seats {
		switch {
		case s.Learner:
		case s.Answers:
			answer = append(answer, nameOf(s))
		default:
			silent = append(silent, nameOf(s))
		}
	}
	slices.Sort(answer)
	slices.Sort(silent)
	o.Votes, o.Answer = len(answer)+len(silent), len(answer)
	o.Needed = majority(o.Votes)
	o.MayFail = o.Answer - o.Needed
	switch {
	case o.Votes == 0:
		o.MayFail = -1
		o.Words = "There is no member: nothing can be decided."
	case o.MayFail < 0:
		o.MayFail = -1
		o.Words = fmt.Sprintf("%d of %d members answer, %d are needed: nothing can be decided until %s. What runs goes on.",
			o.Answer, o.Votes, o.Needed, backs(o.Needed-o.Answer, silent))
	case o.Votes == 1:
		o.Words = fmt.Sprintf("%s is the only member: if it fails, nothing can be decided until it is back. Three boxes bear the failure of one.", answer[0])
	case o.MayFail == 0:
		o.Words = fmt.Sprintf("%d of %d members answer, and all of them are needed: if %s fails, nothing can be decided.", o.Answer, o.Votes, among(answer, "or"))
	default:
		o.Words = fmt.Sprintf("%d of %d members answer: %s may fail. If %d of %s fail, nothing can be decided.",
			o.Answer, o.Votes, number(o.MayFail), o.MayFail+1, among(answer, "and"))
	}
	if len(silent) > 0 && o.MayFail >= 0 {
		o.Words += " Silent: " + among(silent, "and") + "."
	}
	return o
}

func backs(n int, silent []string) string {
	if n == len(silent) {
		if n == 1 {
			return silent[0] + " is back"
		}
		return among(silent, "and") + " are back"
	}
	return fmt.Sprintf("%d of %s are back", n, among(silent, "and"))
}

func number(n int) string {
	if n == 1 {
		return "one"
	}
	return "two"
}

// among is "a, b and c".
func among(names []string, word string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " " + word + " " + names[len(names)-1]
}
