package accel

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/palisade-run/palisade/catalog/bytesize"
)

// intruder is who has most of a device's memory without a share of it.
type intruder struct {
	pid     int    // 0: not a process that the device lists
	session string // of a session that has no share of it; "" otherwise
	bytes   int64  // of all intruders
	reason  string
}

// intrusion keeps a device back that someone uses without a share of it. What came after a session's end counts as
// that session's for as long as its claim is leaving.
func (o *observer) intrusion(at int, u usage) {
	holders := o.page.state.sharesOf(u.Device)
	worst, most, sum := intruder{}, int64(-2), int64(0)
	add := func(who intruder, bytes int64) {
		sum += max(bytes, 0)
		if bytes > most {
			worst, most = who, bytes
		}
	}
	leaving := o.firstLeaving(holders)
	for _, pid := range slices.Sorted(maps.Keys(u.others)) {
		if other := u.others[pid]; leaving.IsZero() || !other.since.After(leaving) {
			add(intruder{pid: pid}, other.use.Memory)
		}
	}
	for _, session := range slices.Sorted(maps.Keys(u.sessions)) {
		if !slices.ContainsFunc(holders, func(h holder) bool { return h.session == session }) {
			add(intruder{session: session}, u.sessions[session])
		}
	}
	if len(holders) == 0 { // nobody of ours is on it: whatever is in use is an intruder's
		sum = max(sum, u.MemoryUsed)
	}
	before, busy := o.page.foreign[u.Device]
	switch {
	case u.Fault != "" && u.MemoryUsed < 0: // nothing is known: as it was
	case sum <= o.tolerated(at):
		delete(o.page.foreign, u.Device)
		o.changed = o.changed || busy
	case busy && before.pid == worst.pid && before.session == worst.session && sum >= before.bytes/4*3 && sum <= before.bytes/4*5: // no news
	default:
		worst.bytes = sum
		worst.reason = worst.sentence(u.others[worst.pid].use.Name, most)
		o.page.foreign[u.Device], o.changed = worst, true
	}
}

// firstLeaving is when the first of the holders that are leaving has ended; zero if none is.
func (o *observer) firstLeaving(holders []holder) time.Time {
	var first time.Time
	for _, share := range holders {
		if h := o.held[share.session]; h != nil && h.leaving && (first.IsZero() || h.since.Before(first)) {
			first = h.since
		}
	}
	return first
}

// sentence says who it is, for people. own is how much of the memory he has himself.
func (i intruder) sentence(program string, own int64) string {
	if program != "" {
		program = " (" + program + ")"
	}
	used := bytesize.Format(own)
	switch {
	case i.pid == 0 && i.session == "":
		return bytesize.Format(i.bytes) + " of its memory are in use, by no session of Palisade"
	case own <= 0:
		used = "an unknown part of the " + bytesize.Format(i.bytes) + " in use"
	case i.bytes/4*3 > own:
		used += " of the " + bytesize.Format(i.bytes) + " in use"
	}
	if i.session != "" {
		return fmt.Sprintf("session %s holds %s, without a share of it", i.session, used)
	}
	return fmt.Sprintf("pid %d%s holds %s, not a session of Palisade", i.pid, program, used)
}

// overuse lists who has more of a device than his share. A session without a share of it may have what is tolerated:
// programs open devices that they then do not use.
func (o *observer) overuse(at int, u usage) {
	allowed := map[string]int64{}
	for _, share := range o.page.state.sharesOf(u.Device) {
		allowed[share.session] = share.Memory
	}
	since := map[string]time.Time{}
	for session, used := range u.sessions {
		most, shared := allowed[session]
		h := o.held[session]
		over := used > most
		switch {
		case h == nil || h.leaving || shared && most == 0: // ending, or of a device that does not say how much it has
			over = false
		case !shared:
			over = used > o.tolerated(at)
		}
		if !over {
			continue
		}
		since[session] = o.now
		if first, before := o.page.over[u.Device][session]; before {
			since[session] = first
		}
		o.out.Overuse = append(o.out.Overuse, Overuse{session, o.page.found.Name, u.Device, used, most, since[session]})
	}
	o.page.over[u.Device] = since
}
