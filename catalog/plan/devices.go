package plan

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/palisade-run/palisade/catalog/bytesize"
)

// onDevices looks for devices: as many as the recipe or the wish says, then more of them, then those of others who may move.
func (m *maker) onDevices(o *option, able, silent []Device, share float64) {
	base := o.need.devices
	counts := []int{base}
	for n := base * 2; m.wish.Devices == 0 && share == 1 && spreads(o.variant.Runtime) && n <= len(able) && n <= 16; n *= 2 {
		counts = append(counts, n)
	}
	for i, n := range counts {
		need := m.needOf(o.variant, o.kind, n)
		if replicas, _, ok := m.place(o, able, need, share, false); ok {
			m.settle(o, need, share, replicas)
			o.verdict, o.spread = Fits, i > 0
			return
		}
	}
	if replicas, moves, ok := m.place(o, able, o.need, share, true); ok {
		m.settle(o, o.need, share, replicas)
		o.verdict, o.moves = FitsMoving, moves
		o.reason = o.need.sentence() + "; others would have to make room"
		return
	}
	o.reason = fmt.Sprintf("%s%s; %s", o.need.sentence(), m.times(), m.largest(o, able, o.need))
	if len(silent) >= base*m.count() {
		o.verdict = CannotTell
		o.reason = o.need.sentence() + "; " + silent[0].Name + " does not say how much memory it has"
		for range m.count() {
			var p Place
			for _, d := range silent[:base] {
				p.Devices = append(p.Devices, Use{ID: d.ID, Name: d.Name, Bytes: o.need.each(), Share: share})
			}
			silent, o.replicas = silent[base:], append(o.replicas, p)
		}
	}
}

// settle writes down where it fits.
func (m *maker) settle(o *option, n need, share float64, replicas []Place) {
	o.need, o.replicas = n, replicas
	if share < 1 {
		for _, p := range replicas {
			for _, u := range p.Devices {
				share = max(share, u.Share)
			}
		}
		o.resources[o.kind+".shares"] = strconv.FormatFloat(share, 'f', -1, 64)
		return
	}
	o.resources[o.kind+".device"] = strconv.Itoa(n.devices)
}

// able are the devices that it may run on at all, and of those the ones that say nothing of their memory; or why there are none.
func (m *maker) able(o *option) (able, silent []Device, reason string) {
	var old, trouble []string
	seen, wished := 0, 0
	for _, d := range m.box.Devices {
		if d.Kind != o.kind {
			continue
		}
		seen++
		if len(m.wish.On) > 0 && !slices.Contains(m.wish.On, d.ID) && !slices.Contains(m.wish.On, d.Kind) {
			continue
		}
		wished++
		fits, known := architectureFits(o.variant.Minimum, d.Architecture)
		switch {
		case !fits:
			old = append(old, fmt.Sprintf("%s has %s", d.Name, d.Architecture))
			continue
		case d.Trouble != "":
			trouble = append(trouble, d.Name+": "+d.Trouble)
			continue
		case !known:
			o.warn("%s does not say its architecture, and %s wants %s", d.Name, o.variant.Name, o.variant.Minimum)
		}
		if d.Total <= 0 {
			silent = append(silent, d)
			continue
		}
		able = append(able, d)
	}
	switch {
	case len(able)+len(silent) > 0:
		return able, silent, ""
	case seen == 0:
		return nil, nil, fmt.Sprintf("runs on %s, of which this box has none", o.kind)
	case wished == 0:
		return nil, nil, fmt.Sprintf("runs on %s, and none of those is among the devices that are asked for", o.kind)
	case len(old) > 0:
		return nil, nil, fmt.Sprintf("wants %s or later, and %s", o.variant.Minimum, old[0])
	}
	return nil, nil, "no device can be used now: " + trouble[0]
}

func (o *option) warn(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(o.warnings, text) {
		o.warnings = append(o.warnings, text)
	}
}

// room is what a newcomer can have of a device, when those who may make room do.
func (d Device) room(moving bool) int64 {
	free := d.Free
	for _, h := range d.Holders {
		if moving && h.MayMove {
			free += h.Bytes
		}
	}
	return min(free, d.Total)
}

// held says whether somebody has a part of the device who stays.
func (d Device) held(moving bool) bool {
	return slices.ContainsFunc(d.Holders, func(h Holder) bool { return !moving || !h.MayMove })
}

// part is what a replica would take of a device: the share of it, and whether that can be had. A whole device is had alone; of
// one that is shared, as much as it needs.
func (o *option) part(d Device, n need, share float64, moving bool) (float64, bool) {
	room, fraction := d.room(moving), claims(o.variant)
	if share < 1 {
		share = max(share, math.Ceil(float64(n.each())/float64(d.Total)*20)/20)
		return share, share <= 1 && int64(share*float64(d.Total)) <= room
	}
	if d.held(moving) {
		return 1, false
	}
	usable := room
	if fraction > 0 {
		claimed := int64(fraction * float64(d.Total))
		if room < claimed {
			return 1, false // it looks before it loads
		}
		usable = claimed
	}
	return 1, n.each() <= usable
}

// place puts all replicas on devices: those with the least room that is enough, of one name for each replica.
func (m *maker) place(o *option, able []Device, n need, share float64, moving bool) (replicas []Place, moves []Move, ok bool) {
	left := slices.Clone(able)
	for range m.count() {
		chosen := o.pick(left, n, share, moving)
		if chosen == nil {
			return nil, nil, false
		}
		var p Place
		for _, d := range chosen {
			part, _ := o.part(d, n, share, moving)
			p.Devices = append(p.Devices, Use{ID: d.ID, Name: d.Name, Bytes: n.each(), Free: d.room(moving), Total: d.Total, Share: part})
			for _, h := range d.Holders {
				if moving && h.MayMove {
					moves = append(moves, Move{Who: h.Name, Device: d.ID, Bytes: h.Bytes})
				}
			}
			at := slices.IndexFunc(left, func(other Device) bool { return other.ID == d.ID })
			taken := &left[at]
			taken.Free = d.room(moving) - int64(part*float64(d.Total))
			taken.Holders = []Holder{{Name: "this"}} // who moved is not moved again
		}
		replicas = append(replicas, p)
	}
	return replicas, moves, true
}

// pick finds the devices of one replica; nil: there are not enough.
func (o *option) pick(devices []Device, n need, share float64, moving bool) []Device {
	fit := slices.DeleteFunc(slices.Clone(devices), func(d Device) bool {
		_, ok := o.part(d, n, share, moving)
		return !ok
	})
	// Who need not move is not moved; then the least room.
	slices.SortStableFunc(fit, func(a, b Device) int {
		return cmp.Or(cmp.Compare(len(a.Holders), len(b.Holders)), cmp.Compare(a.room(moving), b.room(moving)))
	})
	if share < 1 { // a part goes where others are already
		slices.SortStableFunc(fit, func(a, b Device) int { return cmp.Compare(a.room(moving), b.room(moving)) })
	}
	for _, alike := range []bool{true, false} {
		for _, first := range fit {
			near := slices.DeleteFunc(slices.Clone(fit), func(d Device) bool { return d.Node != first.Node || alike && d.Name != first.Name })
			if len(near) < n.devices {
				continue
			}
			if !alike {
				o.warn("it is spread over devices of different kinds: the slowest of them sets the pace")
			}
			return near[:n.devices]
		}
	}
	return nil
}

// largest says what there is instead.
func (m *maker) largest(o *option, able []Device, n need) string {
	if len(able) < n.devices*m.count() {
		return fmt.Sprintf("it takes %s, and there %s", plural(n.devices*m.count(), "device"), isOrAre(len(able)))
	}
	free := slices.DeleteFunc(slices.Clone(able), func(d Device) bool { return d.held(false) })
	if len(free) < n.devices*m.count() {
		var who []string
		for _, d := range able {
			for _, h := range d.Holders {
				if !slices.Contains(who, h.Name) {
					who = append(who, h.Name)
				}
			}
		}
		if len(free) == 0 {
			return fmt.Sprintf("all %s of this kind are used by %s", plural(len(able), "device"), some(who))
		}
		return fmt.Sprintf("only %d of %s of this kind are not used: the others are by %s", len(free), plural(len(able), "device"), some(who))
	}
	best := slices.MaxFunc(free, func(a, b Device) int { return cmp.Compare(a.Free, b.Free) })
	text := fmt.Sprintf("the largest free device has %s", bytesize.Format(best.Free))
	if part := claims(o.variant); part > 0 {
		if claimed := int64(part * float64(best.Total)); best.Free < claimed {
			return text + fmt.Sprintf(", and %s starts only where %s of it are free", o.variant.Runtime, bytesize.Format(claimed))
		}
		text += fmt.Sprintf(", of which %s uses %s", o.variant.Runtime, bytesize.Format(int64(part*float64(best.Total))))
	}
	return text
}

func isOrAre(n int) string {
	if n == 1 {
		return "is 1"
	}
	return fmt.Sprintf("are %d", n)
}

// some names a few.
func some(who []string) string {
	if len(who) > 3 {
		return strings.Join(who[:3], ", ") + fmt.Sprintf(" and %d more", len(who)-3)
	}
	return listed(who)
}
