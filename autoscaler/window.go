package autoscaler

import (
	"fmt"
	"time"

	"github.com/palisade-run/palisade/autoscaler/cron"
)

// schedule is a rule's window, read.
type schedule struct {
	start, end *cron.Times
	zone       *time.Location
}

// readSchedule reads a window of a rule of KindSchedule.
func readSchedule(r *Rule) (*schedule, error) {
	zone, err := cron.Zone(r.Zone)
	if err != nil {
		return nil, fmt.Errorf("timezone: %w", err)
	}
	start, err := cron.Parse(r.Start, zone)
	if err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	end, err := cron.Parse(r.End, zone)
	if err != nil {
		return nil, fmt.Errorf("end: %w", err)
	}
	return &schedule{start, end, zone}, nil
}

// at tells how the window stands at a moment. It is open where the last start is later than the last end: so one that ends
// on more days than it starts is not opened by an end, nor closed by a second start.
func (s *schedule) at(now time.Time, of string) Window {
	started, ended := s.start.Last(now), s.end.Last(now)
	w := Window{Of: of, From: now, Open: !started.IsZero() && !started.Before(ended)}
	edge := s.start
	if w.Open {
		edge = s.end
	}
	w.Until = edge.Next(now)
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
