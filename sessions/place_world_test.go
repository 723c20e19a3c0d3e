package sessions_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/sessions"
)

// box is a node with cores, GiB of memory and CUDA devices.
func box(name string, cores, gib, devices int) accel.Node {
	n := accel.Node{Name: name, CPU: accel.Amount(cores) * 1000, Memory: accel.Amount(gib) << 30}
	for i := range devices {
		n.Devices = append(n.Devices, accel.Device{
			ID: fmt.Sprintf("GPU-%s-%d", name, i), Index: i, Family: "cuda", Slot: "cuda.device", Memory: 80 << 30, NUMA: -1,
		})
	}
	return n
}

// slots reads "cpu=4 mem=8g cuda.device=1".
func slots(tb testing.TB, text string) accel.Slots {
	tb.Helper()
	written := map[string]string{}
	for pair := range strings.FieldsSeq(text) {
		name, amount, _ := strings.Cut(pair, "=")
		written[name] = amount
	}
	s, err := accel.ParseSlots(written)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// lineup builds a queue in a few words.
type lineup struct {
	tb testing.TB
	sessions.Queue
}

func newLineup(tb testing.TB, nodes ...accel.Node) *lineup {
	tb.Helper()
	l := &lineup{tb: tb}
	for _, n := range nodes {
		l.Pool = append(l.Pool, accel.NewState(n))
	}
	return l
}

// held has a session run on a node since an hour: batch, of priority 10, of ada's in the project default.
func (l *lineup) held(id, node, ask string, change ...func(*sessions.Held)) *lineup {
	l.tb.Helper()
	h := sessions.Held{
		ID: id, Name: id, Project: "default", Owner: "ada", Type: sessions.TypeBatch, Priority: 10, StartedAt: t0.Add(-time.Hour),
	}
	for _, c := range change {
		c(&h)
	}
	for i, s := range l.Pool {
		if s.Name() != node {
			continue
		}
		claim, err := allocate(s, id, slots(l.tb, ask), l.Options)
		if err != nil {
			l.tb.Fatal(err)
		}
		h.Claim, l.Pool[i] = claim, s.With(claim)
	}
	l.Running = append(l.Running, h)
	return l
}

// waits has a session wait, a second less than the one before it: batch, of priority 10, of ada's.
func (l *lineup) waits(id, ask string, change ...func(*sessions.Waiting)) *lineup {
	l.tb.Helper()
	w := sessions.Waiting{
		ID: id, Name: id, Project: "default", Owner: "ada", Type: sessions.TypeBatch, Priority: 10,
		Since: t0.Add(-time.Hour + time.Duration(len(l.Waiting))*time.Second), Slots: slots(l.tb, ask),
	}
	for _, c := range change {
		c(&w)
	}
	l.Waiting = append(l.Waiting, w)
	return l
}

// place runs one pass.
func (l *lineup) place() sessions.Decision { return sessions.Place(l.Queue, t0) }

// where is each placed session with its node, in order.
func where(d sessions.Decision) []string {
	var out []string
	for _, p := range d.Placed {
		out = append(out, p.Session+" on "+p.Claim.Node)
	}
	return out
}

// gives is who gives way to whom, in order.
func gives(d sessions.Decision) []string {
	var out []string
	for _, p := range d.Preempt {
		out = append(out, p.Victim+" to "+p.For)
	}
	return out
}

// keeps is who has room kept where, and until who has gone.
func keeps(d sessions.Decision) []string {
	var out []string
	for _, r := range d.Kept {
		out = append(out, strings.TrimSpace(r.Session+" on "+r.Node+" "+strings.Join(r.Waits, " ")))
	}
	return out
}

// why is all that keeps a session waiting.
func why(d sessions.Decision, id string) string {
	var out []string
	for _, w := range d.Waits[id] {
		out = append(out, string(w.Predicate)+": "+w.String())
	}
	return strings.Join(out, "\n")
}

// allocate is what a session gets of a node that has what it asks for.
func allocate(s accel.State, session string, ask accel.Slots, o accel.Options) (accel.Claim, error) {
	need, err := accel.NewNeed(ask, o)
	if err != nil {
		return accel.Claim{}, err
	}
	return s.Allocate(session, &need)
}
