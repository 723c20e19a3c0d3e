package autoscaler

import (
	"fmt"
	"time"
	_ "time/tzdata" // a box, or an image of one, may have no zoneinfo of its own
)

// schedule is a rule's window, read.
type schedule struct {
	start, end *times
	zone       *time.Location
}

// readSchedule reads a window of a rule of KindSchedule.
func readSchedule(r *Rule) (*schedule, error) {
	zone, err := readZone(r.Zone)
	if err != nil {
		return nil, fmt.Errorf("timezone: %w", err)
	}
	start, err := parseTimes(r.Start, zone)
	if err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	end, err := parseTimes(r.End, zone)
	if err != nil {
		return nil, fmt.Errorf("end: %w", err)
	}
	return &schedule{start, end, zone}, nil
}

// readZone finds a zone by its IANA name; "" is UTC. "Local" is none: which one it is depends on the box.
func readZone(name string) (*time.Location, error) {
	if name == "Local" {
		return nil, fmt.Errorf("unknown time zone %s", name)
	}
	return time.LoadLocation(name)
}

// at tells how the window stands at a moment. It is open where the last start is later than the last end: so one that ends
// on more days than it starts is not opened by an end, nor closed by a second start.
func (s *schedule) at(now time.Time, of string) Window {
	started, ended := s.start.last(now), s.end.last(now)
	w := Window{Of: of, From: now, Open: !started.IsZero() && !started.Before(ended)}
	edge := s.start
	if w.Open {
		edge = s.end
	}
	w.Until = edge.next(now)
	return w
}

// window tells how a schedule's window stands, from what was worked out before where that still holds. fresh: it did not.
// A schedule that cannot be read is closed for ever: Check let none through.
func window(r *Rule, known Window, now time.Time) (w Window, fresh bool) {
	of := r.Start + "|" + r.End + "|" + r.Zone
	now = now.Round(0) // windows go by what clocks show, also when they are set back while the daemon runs
	if known.Of == of && !now.Before(known.From) && (known.Until.IsZero() || now.Before(known.Until)) {
		return known, false
	}
	s, err := readSchedule(r)
	if err != nil {
		return Window{Of: of, From: now}, true
	}
	return s.at(now, of), true
}
