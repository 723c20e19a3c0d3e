package router

import (
	"errors"
	"testing"
	"time"
)

func at(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return t
}

func TestExpiry(t *testing.T) {
	const past = "The expiration time cannot be in the past."
	for _, c := range []struct{ now, duration, until, want, err string }{
		{"2026-01-31T10:00:00Z", "3600", "", "2026-01-31T11:00:00Z", ""},
		{"2026-01-31T10:00:00Z", "90s", "", "2026-01-31T10:01:30Z", ""},
		{"2026-01-31T10:00:00Z", "15m", "", "2026-01-31T10:15:00Z", ""},
		{"2026-01-31T10:00:00Z", "12h", "", "2026-01-31T22:00:00Z", ""},
		{"2026-01-31T10:00:00Z", "3d", "", "2026-02-03T10:00:00Z", ""},
		{"2026-01-31T10:00:00Z", "2w", "", "2026-02-14T10:00:00Z", ""},
		{"2026-01-31T10:00:00Z", "1mo", "", "2026-02-28T10:00:00Z", ""},
		{"2028-01-31T10:00:00Z", "1mo", "", "2028-02-29T10:00:00Z", ""},
		{"2026-03-31T10:00:00Z", "13mo", "", "2027-04-30T10:00:00Z", ""},
		{"2026-12-15T10:00:00Z", "1mo", "", "2027-01-15T10:00:00Z", ""},
		{"2028-02-29T10:00:00Z", "1yr", "", "2029-02-28T10:00:00Z", ""},
		{"2026-01-31T10:00:00Z", " 1yr ", "", "2027-01-31T10:00:00Z", ""},
		{"2026-01-31T10:00:00+09:00", "1d", "", "2026-02-01T01:00:00Z", ""},
		{"2026-01-31T10:00:00Z", "", "2026-02-01T00:00:00+09:00", "2026-01-31T15:00:00Z", ""},
		{"2026-01-31T10:00:00Z", "", "2026-02-01 12:30:00", "2026-02-01T12:30:00Z", ""},
		{"2026-01-31T10:00:00Z", "", "2026-01-31", "2026-02-01T00:00:00Z", ""},
		{"2026-01-31T10:00:00Z", "1h", "2026-02-01T00:00:00Z", "2026-02-01T00:00:00Z", ""},
		{"2026-01-31T10:00:00Z", "1h", "2020-01-01", "", past},
		{"2026-01-31T10:00:00Z", "", "", "", "Either valid_until or duration must be specified."},
		{"2026-01-31T10:00:00Z", "0", "", "", past},
		{"2026-01-31T10:00:00Z", "-1d", "", "", past},
		{"2026-01-31T10:00:00Z", "1.5h", "", "", `duration "1.5h" is not a duration.`},
		{"2026-01-31T10:00:00Z", "h", "", "", `duration "h" is not a duration.`},
		{"2026-01-31T10:00:00Z", "-", "", "", `duration "-" is not a duration.`},
		{"2026-01-31T10:00:00Z", "1 h", "", "", `duration "1 h" is not a duration.`},
		{"2026-01-31T10:00:00Z", "1M", "", "", `duration "1M" is not a duration.`},
		{"2026-01-31T10:00:00Z", "99999999999999999999", "", "", `duration "99999999999999999999" is not a duration.`},
		{"2026-01-31T10:00:00Z", "9000yr", "", "", `duration "9000yr" ends after the year 9999.`},
		{"2026-01-31T10:00:00Z", "", "tomorrow", "", `valid_until "tomorrow" is not a time.`},
	} {
		got, err := Expiry(at(c.now), c.duration, c.until)
		switch {
		case c.err != "":
			var hinted interface{ Hint() string }
			if err == nil || err.Error() != c.err || !errors.Is(err, ErrInvalid) || !errors.As(err, &hinted) || hinted.Hint() == "" {
				t.Errorf("%q %q: got %v, %v; want %s, with a hint", c.duration, c.until, got, err, c.err)
			}
		case err != nil || !got.Equal(at(c.want)) || got.Location() != time.UTC:
			t.Errorf("%s + %q / %q = %v, %v; want %s", c.now, c.duration, c.until, got, err, c.want)
		}
	}
}

func FuzzExpiry(f *testing.F) {
	for _, s := range []string{"3600", "90s", "1mo", "4000000000yr", "-4000000000d", "4000000000w", "0", ""} {
		f.Add(s, "", int64(1800000000))
	}
	f.Add("", "2030-02-29", int64(0))
	f.Fuzz(func(t *testing.T, duration, until string, unix int64) {
		now := time.Unix(unix%(1<<36), 0)
		end, err := Expiry(now, duration, until)
		switch {
		case err == nil && (!end.After(now) || end.Year() > 10000):
			t.Errorf("%q / %q after %v ends %v", duration, until, now, end)
		case err != nil && !errors.Is(err, ErrInvalid):
			t.Errorf("%v is not what the user did wrong", err)
		}
	})
}
