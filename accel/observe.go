package accel

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/palisade-run/palisade/catalog/bytesize"
)

// Overuse is a session that has more of a device's memory than its share stands for.
type Overuse struct {
	Session string    `json:"session"`
	Node    string    `json:"node"`
	Device  string    `json:"device"`
	Used    int64     `json:"used"`    // bytes
	Allowed int64     `json:"allowed"` // bytes; 0 for a device that it has no share of
	Since   time.Time `json:"since"`   // when it was first seen, without a sample in between that was in order
}

// String is a sentence.
func (o Overuse) String() string {
	if o.Allowed == 0 {
		return fmt.Sprintf("session %s uses %s of device %s without a share of it", o.Session, bytesize.Format(o.Used), o.Device)
	}
	return fmt.Sprintf("session %s uses %s of device %s, its share is %s", o.Session, bytesize.Format(o.Used), o.Device, bytesize.Format(o.Allowed))
}

// Observation is what samples have brought to light. All of it is sorted.
type Observation struct {
	Overuse []Overuse
	Freed   []string          // sessions whose claims have ended
	Out     map[string]string // by device: why it is no longer handed out
	Back    []string          // devices that are handed out again
}

// Observe takes in how a node's devices are. owner says whose a process is, if it is a session's. In this order:
//
//  1. A fault fences the device until a person unfences it; a sample without one ends a loss.
//  2. Leaving claims end on devices that have been sampled since and show no memory that could be the session's.
//  3. Memory that was never given back fences its device, and the claim ends. It is back when the memory is free.
//  4. A device that someone else uses is kept back for as long as he does.
//  5. Sessions that use more than their share are listed.
//
// Samples older than the newest of their device are left out. Without samples it still ends what has waited too long.
func (l *Ledger) Observe(node string, samples []Sample, owner func(pid int) (session string, ok bool), now time.Time) Observation {
	whose := map[int]string{} // asked before the lock is taken: it may take its time
	for _, sample := range samples {
		for _, process := range sample.Processes {
			if _, asked := whose[process.PID]; !asked {
				whose[process.PID] = ""
				if session, ok := owner(process.PID); ok {
					whose[process.PID] = session
				}
			}
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	p, known := l.nodes[node]
	if !known {
		return Observation{}
	}
	o := &observer{Ledger: l, page: p, now: now}
	o.out.Out = map[string]string{}
	for _, sample := range samples {
		if at, known := p.state.byID[sample.Device]; known && !sample.At.Before(p.samples[sample.Device].At) {
			o.sample(at, sample, whose)
		}
	}
	o.giveUp()
	if o.changed {
		before := p.state
		l.rebuild(p)
		l.tell()
		o.compare(before, p.state)
	}
	slices.Sort(o.out.Freed)
	slices.SortFunc(o.out.Overuse, func(a, b Overuse) int {
		return cmp.Or(cmp.Compare(a.Session, b.Session), cmp.Compare(a.Device, b.Device))
	})
	return o.out
}

// observer is one call of Observe.
type observer struct {
	*Ledger
	page    *page
	now     time.Time
	changed bool // the node's state is to be made anew
	out     Observation
}

// usage is one sample with whose processes are whose.
type usage struct {
	Sample
	sessions map[string]int64 // bytes by session, -1 unknown; nil where the device does not list processes
	others   map[int]stranger
}

func (o *observer) sample(at int, sample Sample, whose map[int]string) {
	p, device := o.page, sample.Device
	p.samples[device] = sample
	f, fenced := p.fences[device]
	switch {
	case sample.Fault != "":
		if !fenced || f.kind != fenceFault { // 1
			p.fences[device], o.changed = fence{fenceFault, sample.Fault, o.now}, true
		}
	case fenced && f.kind == fenceLost:
		delete(p.fences, device)
		o.changed = true
	}
	if p.state.cut[at] {
		return // what is in its slices is theirs
	}
	u := o.attribute(sample, whose)
	o.release(at, u) // 2
	if f := p.fences[device]; fenced && f.kind == fenceMemory && sample.Fault == "" {
		if left := o.unexplained(u, "", time.Time{}); left >= 0 && left <= o.tolerated(at) {
			delete(p.fences, device)
			o.changed = true
		}
	}
	o.intrusion(at, u) // 4
	o.overuse(at, u)   // 5
}

// attribute sums a sample up by session, and remembers since when the others have been there.
func (o *observer) attribute(sample Sample, whose map[int]string) usage {
	u := usage{Sample: sample}
	if sample.Processes != nil {
		u.sessions, u.others = map[string]int64{}, map[int]stranger{}
	}
	for _, process := range sample.Processes {
		session := whose[process.PID]
		if session == "" {
			since := o.now
			if before, seen := o.page.others[sample.Device][process.PID]; seen {
				since = before.since
			}
			u.others[process.PID] = stranger{process, since}
			continue
		}
		if sum := u.sessions[session]; sum < 0 || process.Memory < 0 {
			u.sessions[session] = -1
		} else {
			u.sessions[session] = sum + process.Memory
		}
	}
	o.page.others[sample.Device] = u.others
	known := map[string]int64{}
	for session, bytes := range u.sessions {
		if bytes >= 0 {
			known[session] = bytes
		}
	}
	for _, share := range o.page.state.sharesOf(sample.Device) {
		if _, listed := u.sessions[share.session]; u.sessions != nil && !listed {
			known[share.session] = 0
		}
	}
	o.page.used[sample.Device] = known
	return u
}

// holder is one claim's share of one device.
type holder struct {
	session string
	Share
}

func (s *snapshot) sharesOf(device string) []holder {
	var found []holder
	for _, c := range s.claims {
		for _, share := range c.Shares {
			if share.Device == device {
				found = append(found, holder{c.Session, share})
			}
		}
	}
	return found
}

// tolerated is how much of a device's memory may be in use without a session that explains it.
func (o *observer) tolerated(at int) int64 {
	if memory := o.page.state.node.Devices[at].Memory; memory > 0 {
		return min(o.tolerance, max(memory/10, 1))
	}
	return o.tolerance
}

// unexplained is how much of a device's memory is in use that neither other sessions have, nor processes that were
// there, as no session's, before since. -1: the device does not tell.
func (o *observer) unexplained(u usage, session string, since time.Time) int64 {
	var explained, fresh int64
	for _, other := range u.others {
		switch {
		case other.use.Memory < 0:
		case !other.since.After(since):
			explained += other.use.Memory
		default:
			fresh += other.use.Memory
		}
	}
	holders := map[string]bool{session: true}
	for _, share := range o.page.state.sharesOf(u.Device) {
		holders[share.session] = true
		used, listed := u.sessions[share.session]
		switch {
		case share.session == session:
		case u.sessions == nil || listed && used < 0:
			explained += share.Memory
		default:
			explained += used
		}
	}
	for other, used := range u.sessions { // sessions without a share of it
		if !holders[other] {
			explained += max(used, 0)
		}
	}
	switch {
	case u.MemoryUsed >= 0:
		return max(fresh, u.MemoryUsed-explained)
	case u.Processes != nil:
		return fresh
	}
	return -1
}

// release ends the leaving claims on a device whose memory is free again.
func (o *observer) release(at int, u usage) {
	for _, share := range o.page.state.sharesOf(u.Device) {
		h := o.held[share.session]
		if h == nil || !h.leaving || !u.At.After(h.since) {
			continue
		}
		left := o.unexplained(u, share.session, h.since)
		_, alive := u.sessions[share.session]
		switch {
		case u.Fault != "" || alive && u.sessions[share.session] != 0:
		case left <= o.tolerated(at): // also -1: a device that does not tell is never waited for
			o.end(h, u.Device)
		}
	}
}

// end takes a device out of a leaving claim; with the last one the claim is gone.
func (o *observer) end(h *holding, device string) {
	o.changed = true
	h.rest.Shares = slices.DeleteFunc(slices.Clone(h.rest.Shares), func(s Share) bool { return s.Device == device })
	if len(h.rest.Shares) == 0 {
		delete(o.held, h.claim.Session)
		o.out.Freed = append(o.out.Freed, h.claim.Session)
	}
	o.page.state = o.page.state.Without(h.claim.Session) // what follows in this sample sees it gone
	if len(h.rest.Shares) > 0 {
		o.page.state = o.page.state.With(h.rest)
	}
}

// giveUp ends leaving claims that have waited for too long, and those on devices that are gone.
func (o *observer) giveUp() {
	p := o.page
	for _, c := range slices.Clone(p.state.claims) {
		h := o.held[c.Session]
		if h == nil || !h.leaving {
			continue
		}
		for _, share := range slices.Clone(h.rest.Shares) {
			if p.missing[share.Device] {
				o.end(h, share.Device)
				continue
			}
			if o.now.Sub(h.since) < o.patience {
				continue
			}
			if _, fenced := p.fences[share.Device]; !fenced { // 3
				p.fences[share.Device] = fence{fenceMemory, fmt.Sprintf("memory was not given back by session %s, which ended at %s",
					c.Session, h.since.UTC().Format(time.RFC3339)), o.now}
			}
			o.end(h, share.Device)
		}
	}
}

// compare says which devices have gone out of use, and which have come back.
func (o *observer) compare(before, after State) {
	out := func(s State, id string) string {
		at, known := s.byID[id]
		if !known {
			return ""
		}
		return cmp.Or(s.node.Devices[at].Fault, s.node.Devices[at].Busy)
	}
	for _, d := range after.node.Devices {
		was, is := out(before, d.ID), out(after, d.ID)
		switch {
		case is != "" && is != was:
			o.out.Out[d.ID] = is
		case is == "" && was != "":
			o.out.Back = append(o.out.Back, d.ID)
		}
	}
}
