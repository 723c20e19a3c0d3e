package sessions_test

import (
	"testing"
	"time"

	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/sessions"
)

func TestHealth(t *testing.T) {
	check := &catalog.HealthCheck{Path: "/health", Interval: 10 * time.Second, MaxRetries: 2, InitialDelay: 60 * time.Second}
	start := time.Unix(1_700_000_000, 0)
	type probe struct {
		at time.Duration
		ok bool
	}
	tests := []struct {
		name   string
		check  *catalog.HealthCheck
		probes []probe
		want   sessions.HealthState
	}{
		{"nothing told yet", check, nil, sessions.HealthUnknown},
		{"one pass is enough", check, []probe{{0, false}, {time.Second, true}}, sessions.HealthPassing},
		{"failures in the initial delay do not count", check, []probe{{0, false}, {20 * time.Second, false}, {40 * time.Second, false}, {59 * time.Second, false}}, sessions.HealthUnknown},
		{"after it they do", check, []probe{{60 * time.Second, false}, {70 * time.Second, false}, {80 * time.Second, false}}, sessions.HealthUnhealthy},
		{"as many as max_retries are borne", check, []probe{{60 * time.Second, false}, {70 * time.Second, false}}, sessions.HealthUnknown},
		{"probes faster than the interval count once", check, []probe{{60 * time.Second, false}, {61 * time.Second, false}, {62 * time.Second, false}, {63 * time.Second, false}}, sessions.HealthUnknown},
		{"once passed, the initial delay is over", check, []probe{{time.Second, true}, {11 * time.Second, false}, {21 * time.Second, false}, {31 * time.Second, false}}, sessions.HealthUnhealthy},
		{"a pass in between begins anew", check, []probe{{0, true}, {10 * time.Second, false}, {20 * time.Second, false}, {30 * time.Second, true}, {40 * time.Second, false}, {50 * time.Second, false}}, sessions.HealthPassing},
		{"one pass brings it back", check, []probe{{0, true}, {10 * time.Second, false}, {20 * time.Second, false}, {30 * time.Second, false}, {40 * time.Second, true}}, sessions.HealthPassing},
		{"without a check: not before the port accepts", nil, []probe{{0, false}, {time.Hour, false}}, sessions.HealthUnknown},
		{"without a check: for ever after it did", nil, []probe{{0, false}, {time.Second, true}, {time.Minute, false}}, sessions.HealthPassing},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var h sessions.Health
			for _, p := range tt.probes {
				h = h.Observe(sessions.Verdict{OK: p.ok, Detail: "x"}, tt.check, start, start.Add(p.at))
			}
			if h.State != tt.want {
				t.Errorf("%q, want %q: %+v", h.State, tt.want, h)
			}
		})
	}
}

func TestNextProbe(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	check := &catalog.HealthCheck{Interval: 10 * time.Second}
	for _, tt := range []struct {
		name   string
		health sessions.Health
		check  *catalog.HealthCheck
		after  time.Duration
		want   time.Duration
		again  bool
	}{
		{"at once", sessions.Health{}, check, 0, 25 * time.Millisecond, true},
		{"slower as it takes longer", sessions.Health{}, check, 2 * time.Second, 100 * time.Millisecond, true},
		{"never so slow that it is noticed", sessions.Health{}, check, time.Hour, 150 * time.Millisecond, true},
		{"a port too", sessions.Health{}, nil, time.Second, 50 * time.Millisecond, true},
		{"then as the owner says", sessions.Health{FirstAt: start}, check, time.Hour, 10 * time.Second, true},
		{"no check, no more probes", sessions.Health{FirstAt: start}, nil, time.Hour, 0, false},
		{"an interval of 0 is no busy loop", sessions.Health{FirstAt: start}, &catalog.HealthCheck{}, time.Hour, 100 * time.Millisecond, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wait, again := tt.health.NextProbe(tt.check, start, start.Add(tt.after))
			if wait != tt.want || again != tt.again {
				t.Errorf("%s, %v, want %s, %v", wait, again, tt.want, tt.again)
			}
		})
	}
}
