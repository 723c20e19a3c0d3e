package daemon

import (
	"testing"
	"time"
)

// What a silent box may still run under the id that it would be begun again with is given away only when the box has ended it.
func TestPatience(t *testing.T) {
	for _, tt := range []struct {
		name               string
		grace, fence, want time.Duration
	}{
		{"a route", 20 * time.Second, 0, 20 * time.Second},
		{"a job", 20 * time.Second, 10 * time.Minute, 10*time.Minute + fenceMargin},
		{"a job with a short fence", 20 * time.Second, 30 * time.Second, 30*time.Second + fenceMargin},
		{"a long grace", time.Hour, 10 * time.Minute, time.Hour},
		{"nothing ends it", time.Hour, endless, endless + fenceMargin},
	} {
		if got := patience(tt.grace, tt.fence); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}
