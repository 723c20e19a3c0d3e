package pipeline

import (
	"fmt"
	"time"

	"github.com/palisade-run/palisade/autoscaler/cron"
)

// Due is the newest moment of a schedule after since that is not after now: however many were missed, it is one. Zero: none.
// next is the one that comes then, zero where there is none.
func (s *Schedule) Due(since, now time.Time) (due, next time.Time, err error) {
	zone, err := cron.Zone(s.Zone)
	if err != nil {
		return due, next, fmt.Errorf("zone %q: %w", s.Zone, err)
	}
	times, err := cron.Parse(s.Cron, zone)
	if err != nil {
		return due, next, fmt.Errorf("cron %q: %w", s.Cron, err)
	}
	if last := times.Last(now); s.Enabled && last.After(since) {
		due = last
	}
	if s.Enabled {
		next = times.Next(now)
	}
	return due, next, nil
}
