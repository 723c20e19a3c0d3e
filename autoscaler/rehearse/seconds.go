package rehearse

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// Seconds is a time that may not have come: Never. In JSON it is a number, or null.
type Seconds float64

// Never is how long who was sent away waited.
const Never Seconds = Seconds(math.MaxFloat64)

// MarshalJSON writes milliseconds' worth of digits.
func (s Seconds) MarshalJSON() ([]byte, error) {
	if s == Never {
		return []byte("null"), nil
	}
	return strconv.AppendFloat(nil, math.Round(float64(s)*1e6)/1e6, 'f', -1, 64), nil
}

// String is short enough for a table: 0s, 85ms, 2.15s, 312s, never.
func (s Seconds) String() string {
	switch {
	case s == Never:
		return "never"
	case s == 0:
		return "0s"
	case s < 1:
		return fmt.Sprintf("%.0fms", float64(s)*1000)
	case s < 100:
		return fmt.Sprintf("%.2fs", float64(s))
	}
	return fmt.Sprintf("%.0fs", float64(s))
}

func secondsOf(d time.Duration) Seconds { return Seconds(d.Seconds()) }
