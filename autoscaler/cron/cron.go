// Package cron owns when a cron expression comes, in a zone whose clocks go forward and back. It knows nothing of what then
// happens.
package cron

import (
	"errors"
	"fmt"
	"math/bits"
	"strings"
	"time"
	_ "time/tzdata" // a box, or an image of one, may have no zoneinfo of its own

	"github.com/robfig/cron/v3"
)

// Times are the moments of a cron expression of five fields in a zone.
//
// Where clocks go forward, a moment in the hour that is left out comes when clocks go forward; where they go back, one in
// the hour that comes twice comes the first time only. So a window opens and closes on every day that it names.
type Times struct {
	minute, hour, dom, month, dow uint64
	zone                          *time.Location
}

// anyBit marks a field that is a star: robfig/cron's own mark.
const anyBit = 1 << 63

// farthest is how many days are looked at for a moment: eight years, so that the 29th of February is found around 2100.
const farthest = 366 * 8

// Zone finds a zone by its IANA name; "" is UTC. "Local" is none: which one it is depends on the box.
func Zone(name string) (*time.Location, error) {
	if name == "Local" {
		return nil, fmt.Errorf("unknown time zone %s", name)
	}
	return time.LoadLocation(name)
}

// Parse reads an expression.
func Parse(expression string, zone *time.Location) (*Times, error) {
	switch fields := strings.Fields(expression); {
	case strings.ContainsAny(expression, "=@"):
		return nil, errors.New("only the five fields count: minute, hour, day of month, month, day of week")
	case len(fields) != 5:
		return nil, fmt.Errorf("has %d fields instead of five: minute, hour, day of month, month, day of week", len(fields))
	case len(expression) > 512:
		return nil, errors.New("is longer than 512 letters")
	}
	parsed, err := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow).Parse(expression)
	if err != nil {
		return nil, err
	}
	s, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return nil, errors.New("is no cron expression")
	}
	return &Times{s.Minute, s.Hour, s.Dom, s.Month, s.Dow, zone}, nil
}

// Next is the first moment after t; zero: it never comes.
func (c *Times) Next(t time.Time) time.Time {
	day := newDay(t.In(c.zone))
	for range farthest {
		if c.on(day) {
			if at := c.firstAfter(day, t); !at.IsZero() {
				return at
			}
		}
		day = day.add(1)
	}
	return time.Time{}
}

// Last is the last moment not after t; zero: there was none.
func (c *Times) Last(t time.Time) time.Time {
	day := newDay(t.In(c.zone))
	for range farthest {
		if c.on(day) {
			if at := c.lastUntil(day, t); !at.IsZero() {
				return at
			}
		}
		day = day.add(-1)
	}
	return time.Time{}
}

// on reports whether there are moments on a day. As cron has it: of day of month and day of week, one is enough where both
// are set.
func (c *Times) on(d day) bool {
	if c.month&(1<<uint(d.month)) == 0 {
		return false
	}
	dom, dow := c.dom&(1<<uint(d.day)) != 0, c.dow&(1<<uint(d.week)) != 0
	if (c.dom|c.dow)&anyBit != 0 {
		return dom && dow
	}
	return dom || dow
}

func (c *Times) firstAfter(d day, t time.Time) time.Time {
	for hours := c.hour &^ anyBit; hours != 0; hours &= hours - 1 {
		hour := bits.TrailingZeros64(hours)
		if !d.instant(hour, 59, c.zone).After(t) && !d.instant(hour, 0, c.zone).After(t) {
			continue // the whole of it is past: most hours of a day are
		}
		for minutes := c.minute &^ anyBit; minutes != 0; minutes &= minutes - 1 {
			if at := d.instant(hour, bits.TrailingZeros64(minutes), c.zone); at.After(t) {
				return at
			}
		}
	}
	return time.Time{}
}

func (c *Times) lastUntil(d day, t time.Time) time.Time {
	for hours := c.hour &^ anyBit; hours != 0; {
		hour := 63 - bits.LeadingZeros64(hours)
		hours &^= 1 << uint(hour)
		if d.instant(hour, 0, c.zone).After(t) && d.instant(hour, 59, c.zone).After(t) {
			continue
		}
		for minutes := c.minute &^ anyBit; minutes != 0; {
			minute := 63 - bits.LeadingZeros64(minutes)
			minutes &^= 1 << uint(minute)
			if at := d.instant(hour, minute, c.zone); !at.After(t) {
				return at
			}
		}
	}
	return time.Time{}
}

// day is a day of a calendar, without a zone.
type day struct {
	year  int
	month time.Month
	day   int
	week  time.Weekday
}

func newDay(t time.Time) day {
	y, m, d := t.Date()
	return day{y, m, d, t.Weekday()}
}

func (d day) add(n int) day {
	return newDay(time.Date(d.year, d.month, d.day+n, 12, 0, 0, 0, time.UTC))
}

// instant is when a zone's clocks show a time of the day: the first time where they show it twice, and the moment at which
// they go forward where they never do.
func (d day) instant(hour, minute int, zone *time.Location) time.Time {
	t := time.Date(d.year, d.month, d.day, hour, minute, 0, 0, zone)
	if t.Hour() == hour && t.Minute() == minute {
		if start, _ := t.ZoneBounds(); !start.IsZero() { // they may have shown it before they went back
			if earlier := sameClock(t, start.Add(-time.Nanosecond)); earlier.Before(start) && shows(earlier, hour, minute) && earlier.Day() == t.Day() {
				return earlier
			}
		}
		return t
	}
	// The time is left out: time.Date may have chosen either side of the gap.
	start, end := t.ZoneBounds()
	shown := time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), 0, 0, time.UTC)
	if shown.Before(time.Date(d.year, d.month, d.day, hour, minute, 0, 0, time.UTC)) {
		return end
	}
	return start
}

// sameClock is the moment that shows t's time of day with the offset that clocks had at other.
func sameClock(t, other time.Time) time.Time {
	_, a := t.Zone()
	_, b := other.Zone()
	return t.Add(time.Duration(a-b) * time.Second)
}

func shows(t time.Time, hour, minute int) bool { return t.Hour() == hour && t.Minute() == minute }
