package router

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// inputError is what a person gave that cannot be; its text is a whole sentence for that person.
type inputError struct{ text, hint string }

func (e *inputError) Error() string        { return e.text }
func (e *inputError) Hint() string         { return e.hint }
func (e *inputError) Is(target error) bool { return target == ErrInvalid }

const durationHint = "a duration is a number of seconds, or a number with one of s, m, h, d, w, mo, yr: 3600, 90s, 15m, 12h, 3d, 2w, 1mo, 1yr"

// Expiry is when a token ends that is issued at now: at validUntil, or after duration where that is
// empty. Months and years are the calendar's: a month after 31 January is the last day of February.
// validUntil is RFC 3339, or a date and time without a zone, which is UTC, or a date, which includes
// that day. Errors are ErrInvalid.
func Expiry(now time.Time, duration, validUntil string) (time.Time, error) {
	duration, validUntil = strings.TrimSpace(duration), strings.TrimSpace(validUntil)
	var end time.Time
	var err error
	switch {
	case validUntil != "":
		end, err = parseUntil(validUntil)
	case duration != "":
		end, err = addDuration(now, duration)
	default:
		err = &inputError{"Either valid_until or duration must be specified.", durationHint}
	}
	if err != nil {
		return time.Time{}, err
	}
	if !end.After(now) {
		return time.Time{}, &inputError{"The expiration time cannot be in the past.", "it is " + now.UTC().Format(time.RFC3339) + " now"}
	}
	return end, nil
}

func parseUntil(s string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t.AddDate(0, 0, 1), nil
	}
	return time.Time{}, &inputError{fmt.Sprintf("valid_until %q is not a time.", s), "for example 2030-01-31T12:00:00Z or 2030-01-31"}
}

// addDuration counts s from now.
func addDuration(now time.Time, s string) (time.Time, error) {
	digits := strings.TrimLeft(strings.TrimPrefix(s, "-"), "0123456789")
	number, unit := s[:len(s)-len(digits)], digits
	n, err := strconv.Atoi(number)
	bad := &inputError{fmt.Sprintf("duration %q is not a duration.", s), durationHint}
	if err != nil || n > maxUnits || n < -maxUnits {
		return time.Time{}, bad
	}
	now = now.UTC()
	var end time.Time
	switch unit {
	case "", "s":
		end = addSeconds(now, n, 1)
	case "m":
		end = addSeconds(now, n, 60)
	case "h":
		end = addSeconds(now, n, 3600)
	case "d":
		end = now.AddDate(0, 0, n)
	case "w":
		end = now.AddDate(0, 0, 7*n)
	case "mo":
		end = addMonths(now, n)
	case "yr":
		end = addMonths(now, 12*n)
	default:
		return time.Time{}, bad
	}
	if end.Year() > maxYear {
		return time.Time{}, &inputError{fmt.Sprintf("duration %q ends after the year %d.", s, maxYear), durationHint}
	}
	return end, nil
}

const (
	maxUnits = 4_000_000_000 // seconds: over a century; more of anything is a slip
	maxYear  = 9999          // the last that RFC 3339 can write
)

// addSeconds adds n times unit seconds; n of them as one Duration could overflow.
func addSeconds(now time.Time, n, unit int) time.Time {
	seconds := now.Unix() + int64(n)*int64(unit)
	return time.Unix(seconds, int64(now.Nanosecond())).UTC()
}

// addMonths keeps the day of the month, or takes the month's last where it has fewer days.
func addMonths(t time.Time, n int) time.Time {
	first := time.Date(t.Year(), t.Month(), 1, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), t.Location()).AddDate(0, n, 0)
	last := first.AddDate(0, 1, -1).Day()
	return first.AddDate(0, 0, min(t.Day(), last)-1)
}
