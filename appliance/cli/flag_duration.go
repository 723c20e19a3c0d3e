package cli

import (
	"errors"
	"strconv"
	"time"
)

// duration is the value of a flag that says how long: 90 and 90s, 15m, 12h, 3d, 2w, and 1h30m or 250ms.
type duration time.Duration

// newDuration is the value of a flag that writes to p, which begins with what it is where the flag is not given.
func newDuration(p *time.Duration, otherwise time.Duration) *duration {
	*p = otherwise
	return (*duration)(p)
}

// Type is what help calls it.
func (d *duration) Type() string { return "duration" }

// String writes it as people do; "" where it is none, so that help shows no default.
func (d *duration) String() string {
	if *d == 0 {
		return ""
	}
	return secondsText(time.Duration(*d).Seconds())
}

func (d *duration) Set(text string) error {
	read, err := parseDuration(text)
	*d = duration(read)
	return err
}

func parseDuration(text string) (time.Duration, error) {
	bad := errors.New("a duration is a number of seconds, or numbers with units: 90, 90s, 15m, 12h, 3d, 1h30m")
	if text == "" {
		return 0, bad
	}
	number, day := text[:len(text)-1], 24*time.Hour
	switch last := text[len(text)-1]; {
	case last >= '0' && last <= '9':
		text += "s"
	case last == 'w', last == 'd':
		if last == 'w' {
			day *= 7
		}
		n, err := strconv.Atoi(number)
		if err != nil || max(n, -n) > 10_000 { // of weeks, that just fits
			return 0, bad
		}
		return time.Duration(n) * day, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, bad
	}
	return d, nil
}
