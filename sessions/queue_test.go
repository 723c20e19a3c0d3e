package sessions_test

import (
	"testing"
	"time"

	"github.com/palisade-run/palisade/sessions"
)

func dependsOn(ds ...sessions.Dependency) func(*sessions.Waiting) {
	return func(w *sessions.Waiting) { w.DependsOn = ds }
}

// The sentences are what people read: each kind once, word for word.
func TestPlaceSentences(t *testing.T) {
	nodes := func(l *lineup) {
		*l = *newLineup(l.tb,
			withLabels(box("box-1", 16, 64, 4), "gpu", "h100", "zone", "a"), withLabels(box("box-2", 16, 128, 2), "gpu", "a100"))
	}
	tests := []struct {
		name  string
		build func(*lineup)
		want  string
	}{
		{"not yet", func(l *lineup) {
			l.waits("w", "cpu=1", func(w *sessions.Waiting) { w.StartsAt = t0.Add(90 * time.Minute).UTC() })
		}, "starts-at: starts at 2023-11-14T23:43:20Z, in 1h30m"},
		{"a dependency runs", func(l *lineup) {
			l.waits("w", "cpu=1", dependsOn(sessions.Dependency{ID: "ses-1", Name: "prepare", Status: sessions.StatusRunning}))
		}, "dependencies: waits for prepare, which is RUNNING"},
		{"a dependency failed", func(l *lineup) {
			l.waits("w", "cpu=1", dependsOn(sessions.Dependency{ID: "ses-1", Name: "prepare", Status: sessions.StatusTerminated, Result: sessions.ResultFailure}))
		}, "dependencies: waits for prepare, which has failed; cancel it, or create it anew to depend on another run of prepare"},
		{"a dependency was cancelled", func(l *lineup) {
			l.waits("w", "cpu=1", dependsOn(sessions.Dependency{ID: "ses-1", Name: "prepare", Status: sessions.StatusCancelled}))
		}, "dependencies: waits for prepare, which was cancelled; cancel it, or create it anew to depend on another run of prepare"},
		{"a dependency is forgotten, another one good", func(l *lineup) {
			l.waits("w", "cpu=1", dependsOn(sessions.Dependency{ID: "ses-1"},
				sessions.Dependency{ID: "ses-2", Status: sessions.StatusTerminated, Result: sessions.ResultSuccess}))
		}, "dependencies: waits for ses-1, of which nothing is known any more; cancel it, or create it anew without that"},
		{"a user's limit", func(l *lineup) {
			l.Quotas.User.Slots = slots(l.tb, "cuda.device=3 mem=1t")
			l.held("h", "box", "cuda.device=2").waits("w", "cuda.device=2")
		}, "user-limit: waits for the limit of user ada: 2 of 3 cuda.device in use, it asks for 2; would be within it if other sessions of user ada gave back 1 cuda.device"},
		{"a user's limit, and some are ending", func(l *lineup) {
			l.Quotas.User.Slots = slots(l.tb, "cuda.device=3")
			l.held("h", "box", "cuda.device=2", isLeaving).waits("w", "cuda.device=2")
		}, "user-limit: waits for the limit of user ada: 2 of 3 cuda.device in use, it asks for 2; is within it when sessions that are ending have given back what they hold"},
		{"more than a limit", func(l *lineup) {
			l.Quotas.Users = map[string]sessions.Quota{"ada": {Slots: slots(l.tb, "mem=1g")}}
			l.waits("w", "mem=2g")
		}, "user-limit: asks for 2 GiB mem, more than user ada may have: 1 GiB; would be within it with 1 GiB mem"},
		{"a project's limit of sessions", func(l *lineup) {
			l.Quotas.Projects = map[string]sessions.Quota{"default": {Sessions: 2}}
			l.held("h", "box", "cpu=1", heldBy("bob")).held("h2", "box", "cpu=1", ofProject("other")).waits("w1", "cpu=1").waits("w", "cpu=1")
		}, "project-limit: waits for the limit of project default: 2 of 2 sessions; would be within it if 1 session of it ended"},
		{"all that fails", func(l *lineup) {
			l.Quotas.User.Sessions, l.Quotas.Project.Sessions = 1, 1
			l.held("h", "box", "cpu=1")
			l.waits("w", "cpu=99", labels("gpu", "h100"), dependsOn(sessions.Dependency{ID: "s", Name: "fetch", Status: sessions.StatusPending}))
		}, "dependencies: waits for fetch, which is PENDING\n" +
			"user-limit: waits for the limit of user ada: 1 of 1 sessions; would be within it if 1 session of it ended\n" +
			"project-limit: waits for the limit of project default: 1 of 1 sessions; would be within it if 1 session of it ended\n" +
			"selector: no node has label gpu=h100"},
		{"no such label", func(l *lineup) {
			nodes(l)
			l.waits("w", "cpu=1", labels("gpu", "h200"))
		}, "selector: no node has label gpu=h200: there is gpu=a100 on box-2 and gpu=h100 on box-1"},
		{"no such node", func(l *lineup) {
			nodes(l)
			l.waits("w", "cpu=1", labels("gpu", "a100", "zone", "a"))
		}, "selector: no node has all of gpu=a100, zone=a: gpu=a100 is on box-2, zone=a is on box-1"},
		{"no node at all", func(l *lineup) {
			l.Pool = nil
			l.waits("w", "cpu=1")
		}, "resources: there is no node to run on"},
		{"more than the box has", func(l *lineup) {
			l.waits("w", "cuda.device=8 cpu=32")
		}, "capacity: asks for 32 cpu and 8 cuda.device: box has 16 cpu and 4 cuda.device; would fit an empty node with 16 cpu and 4 cuda.device"},
		{"what the box has none of", func(l *lineup) {
			l.waits("w", "rocm.device=1")
		}, "capacity: asks for 1 rocm.device: box has no rocm.device"},
		{"more than any box has", func(l *lineup) {
			nodes(l)
			l.waits("w", "cuda.device=8")
		}, "capacity: asks for 8 cuda.device: box-1 has most of it, 4 cuda.device; would fit an empty node with 4 cuda.device"},
		{"more than one box has together", func(l *lineup) {
			nodes(l)
			l.waits("w", "mem=100g cuda.device=4")
		}, "capacity: no node that it may use has 100 GiB mem and 4 cuda.device together"},
		{"what no box could grant", func(l *lineup) {
			l.waits("w", "")
			l.Waiting[0].Slots = slots(l.tb, "cuda.device=1")
			l.Waiting[0].Slots["cuda.shares"] = 50
		}, "capacity: invalid resources: cuda.device and cuda.shares exclude each other in one session; create it anew with other resources"},
		{"a route less", func(l *lineup) {
			l.held("r1", "box", "cuda.device=1", routeOf("chat-large")).held("r2", "box", "cuda.device=2", routeOf("chat-large"))
			l.waits("head", "cpu=16 cuda.device=4").waits("w", "cuda.device=2")
		}, "resources: waits for 2 cuda.device: 1 of 4 free, 1 kept for head; would fit if service chat-large had one route less"},
		{"the head, and a route less", func(l *lineup) {
			l.held("r1", "box", "cuda.device=1", routeOf("chat-large")).held("r2", "box", "cuda.device=2", routeOf("chat-large")).waits("w", "cuda.device=2")
		}, "resources: waits for 2 cuda.device: 1 of 4 free; would fit if service chat-large had one route less; room is kept for it"},
		{"a service's last route", func(l *lineup) {
			l.held("r", "box", "cuda.device=4", routeOf("chat")).waits("w", "cuda.device=1")
		}, "resources: waits for 1 cuda.device: 0 of 4 free; would fit if service chat, which has one route, had none; room is kept for it"},
		{"a route of its own service is nothing to give up", func(l *lineup) {
			l.held("r", "box", "cuda.device=4", routeOf("chat")).waits("w", "cuda.device=1", asRoute("chat"))
		}, "capacity: there is room for 1 route of service chat on box, with nothing else there: each asks for cuda.device 1; scale it to 1, or have its routes ask for less"},
		{"rather one of its owner's than one of somebody else's", func(l *lineup) {
			l.held("bob-1", "box", "cuda.device=1", heldBy("bob")).held("ada-1", "box", "cuda.device=3").waits("w", "cuda.device=1")
		}, "resources: waits for 1 cuda.device: 0 of 4 free; would fit if ada-1 ended; room is kept for it"},
		{"one of another project", func(l *lineup) {
			l.held("train", "box", "cuda.device=4", heldBy("bob"), ofProject("vision")).waits("w", "cuda.device=1")
		}, "resources: waits for 1 cuda.device: 0 of 4 free; would fit if a session of another project ended; room is kept for it"},
		{"a route of another project", func(l *lineup) {
			l.held("r1", "box", "cuda.device=2", routeOf("chat"), ofProject("vision")).held("r2", "box", "cuda.device=2", routeOf("chat"), ofProject("vision"))
			l.waits("w", "cuda.device=1")
		}, "resources: waits for 1 cuda.device: 0 of 4 free; would fit if a service of another project had one route less; room is kept for it"},
		{"some of other projects", func(l *lineup) {
			l.held("s1", "box", "cuda.device=1").held("s2", "box", "cuda.device=1", ofProject("vision"))
			l.held("s3", "box", "cuda.device=1", ofProject("speech")).held("s4", "box", "cuda.device=1").waits("w", "cuda.device=4")
		}, "resources: waits for 4 cuda.device: 0 of 4 free; fits on box when s1, s4 and 2 sessions of other projects have ended; room is kept for it"},
		{"several must end", func(l *lineup) {
			for _, id := range []string{"s1", "s2", "s3", "s4"} {
				l.held(id, "box", "cuda.device=1")
			}
			l.waits("w", "cuda.device=2")
		}, "resources: waits for 2 cuda.device: 0 of 4 free; fits on box when s1 and s2 have ended; room is kept for it"},
		{"many must end", func(l *lineup) {
			for _, id := range []string{"s1", "s2", "s3", "s4", "s5", "s6"} {
				l.held(id, "box", "cpu=2")
			}
			l.waits("w", "cpu=16 mem=64g")
		}, "resources: waits for 16 cpu: 4 of 16 free; fits on box when s1, s2, s3 and 3 more have ended; room is kept for it"},
		{"one is ending", func(l *lineup) {
			l.held("x", "box", "cuda.device=4", isLeaving).waits("w", "cuda.device=1")
		}, "resources: waits for 1 cuda.device: 0 of 4 free; fits when x, which is ending, has given its devices back"},
		{"some are ending, without devices", func(l *lineup) {
			l.held("x", "box", "cpu=8", isLeaving).held("y", "box", "cpu=8", isLeaving).waits("w", "cpu=16")
		}, "resources: waits for 16 cpu: 0 of 16 free; fits when x and y, which are ending, have gone"},
		{"a victim", func(l *lineup) {
			l.held("v", "box", "cuda.device=4", preemptible).waits("w", "cuda.device=1", asRoute("chat"))
		}, "resources: waits for 1 cuda.device: 0 of 4 free; takes the place of v, which is asked to end"},
		{"behind the head", func(l *lineup) {
			l.held("h1", "box", "cuda.device=1", routeOf("chat")).held("h2", "box", "cuda.device=1", routeOf("chat"))
			l.waits("head", "cuda.device=4").waits("w", "cuda.device=2")
		}, "resources: waits for 2 cuda.device: 2 of 4 free, 2 kept for head; would fit on box if head did not wait for room there"},
		{"several resources, several nodes", func(l *lineup) {
			nodes(l)
			l.held("h1", "box-1", "cpu=14 cuda.device=2").held("h2", "box-2", "mem=100g cuda.device=2").waits("head", "cuda.device=4").waits("w", "cpu=4 mem=60g cuda.device=2")
		}, "resources: waits for 2 cuda.device and 60 GiB mem: 0 of 2 cuda.device and 28 GiB of 128 GiB mem free on box-2, which comes closest; would fit if h1 ended"},
		{"less would do", func(l *lineup) {
			nodes(l)
			l.held("h1", "box-1", "cuda.device=1").held("h2", "box-1", "cuda.device=1").held("h3", "box-2", "cuda.device=1").held("h4", "box-2", "cpu=15")
			l.waits("head", "cpu=8 cuda.device=2", labels("gpu", "a100")).waits("w", "cuda.device=4")
		}, "resources: waits for 4 cuda.device: 2 of 4 free on box-1, which comes closest; would fit with 2 cuda.device"},
		{"broken and busy devices", func(l *lineup) {
			n := broken(box("box", 16, 64, 4), 0)
			n.Devices[1].Busy = "pid 7 (python)"
			*l = *newLineup(l.tb, n)
			l.held("h", "box", "cuda.device=1").waits("w", "cuda.device=2")
		}, "resources: waits for 2 cuda.device: 1 of 4 free, 1 faulty, 1 used by others; would fit if h ended; room is kept for it"},
		{"devices free in parts", func(l *lineup) {
			nodes(l)
			for _, id := range []string{"h1", "h2", "h3", "h4"} {
				l.held(id, "box-1", "cuda.shares=0.35")
				l.held(id+"b", "box-1", "cuda.shares=0.35")
			}
			l.held("h5", "box-2", "cuda.device=1").held("h6", "box-2", "cuda.device=1")
			l.waits("head", "cuda.device=2", labels("gpu", "a100")).waits("w", "cuda.device=1", labels("gpu", "h100"))
		}, "resources: waits for 1 cuda.device: 0 of 4 free on box-1, which comes closest; would fit on box-1 if the sessions that share its devices were on fewer of them"},
		{"parts that are too small", func(l *lineup) {
			l.held("h", "box", "cuda.device=3").held("h2", "box", "cuda.shares=0.6")
			l.Options.Quantum = 50
			l.waits("w", "cuda.shares=0.5")
		}, "resources: waits for 0.5 cuda.shares: 0.4 of 4 free; would fit if h ended; room is kept for it"},
		{"parts that are too small, though enough together", func(l *lineup) {
			l.held("h", "box", "cuda.device=2").held("h2", "box", "cuda.shares=0.6").held("h3", "box", "cuda.shares=0.6")
			l.Options.Quantum = 50
			l.waits("w", "cuda.shares=0.5")
		}, "resources: waits for 0.5 cuda.shares: 0.8 of 4 free, in pieces that are too small; would fit if h ended; room is kept for it"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLineup(t, box("box", 16, 64, 4))
			tt.build(l)
			if got := why(l.place(), "w"); got != tt.want {
				t.Errorf("it waits because\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}
