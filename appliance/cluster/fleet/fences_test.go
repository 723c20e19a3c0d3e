package fleet_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/appliance/cluster/agent"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/runtimetest"
)

// deskOfOne is one that says once what is wanted.
type deskOfOne struct{ wanted map[string]cluster.Wanted }

func (d deskOfOne) FollowWanted(ctx context.Context, _ string, f func(map[string]cluster.Wanted)) {
	f(d.wanted)
	<-ctx.Done()
}

func (deskOfOne) Reports(context.Context, string) (map[string]cluster.Report, error) {
	return map[string]cluster.Report{}, nil
}
func (deskOfOne) TakeIn(context.Context, string, cluster.Wanted) error       { return nil }
func (deskOfOne) Tell(context.Context, string, string, cluster.Report) error { return nil }
func (deskOfOne) LetGo(context.Context, string, string) error                { return nil }

// While a node is not heard of, what has a fence is ended by then, SIGKILL and all, and not long before; what has none goes on. One
// that is heard of again in time ends nothing.
func TestFences(t *testing.T) {
	const fence, grace = 10 * time.Minute, 10 * time.Second
	for _, tt := range []struct {
		name  string
		back  time.Duration // when the node is heard of again; 0: never
		lives bool          // the job, in the end
	}{
		{"never again", 0, false},
		{"in time", fence - time.Minute, true},
		{"too late", fence + time.Minute, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				silent := time.Now()
				heard := func() time.Time {
					if tt.back > 0 && time.Since(silent) >= tt.back {
						return time.Now()
					}
					return silent
				}
				runtime := runtimetest.NewFake()
				// It does not end at SIGTERM.
				runtime.Behave(func(sessions.Spec) runtimetest.Behaviour { return runtimetest.Behaviour{IgnoreTerm: true} })
				a := agent.New(agent.Deps{Node: "one", Runtime: runtime, Heard: heard, Grace: grace, Log: slog.New(slog.DiscardHandler), Desk: deskOfOne{map[string]cluster.Wanted{
					"job":   {Round: "1", Spec: spec("job"), Fence: fence},
					"route": {Round: "2", Spec: spec("route")},
				}}})
				ended := make(chan struct{})
				go func() { defer close(ended); _ = a.Run(ctx) }()
				runs := func(id string) bool {
					list, err := runtime.List(ctx)
					if err != nil {
						t.Fatal(err)
					}
					for _, in := range list {
						if in.ID == id {
							return in.Running
						}
					}
					return false
				}
				at := func(since time.Duration) {
					time.Sleep(time.Until(silent.Add(since)))
					synctest.Wait()
				}
				at(fence - grace - time.Second)
				if !runs("job") || !runs("route") {
					t.Error("something is ended before its time")
				}
				at(fence)
				if runs("job") != tt.lives {
					t.Errorf("at its fence the job runs: %t, want %t", runs("job"), tt.lives)
				}
				at(3 * fence)
				if runs("job") != tt.lives || !runs("route") {
					t.Errorf("later the job runs: %t, want %t; the route: %t", runs("job"), tt.lives, runs("route"))
				}
				cancel()
				<-ended
			})
		})
	}
}
