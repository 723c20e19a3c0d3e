package sessions_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/runtimetest"
)

// serve seeds a service of one route that may preempt.
func (w *world) serve(name string, resources map[string]string) {
	w.seed(name, 1, func(s *sessions.Service) { s.Priority = 50 })
	w.asks(name, resources)
}

func (w *world) session(id string) sessions.Session {
	w.t.Helper()
	s, err := w.m.Session("", id)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// Who is asked to give way while its image comes must not be waited for until it runs.
func TestVictimThatStartsGivesWayAtOnce(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.node = eight()
		w.runtime.OnPull(func(image string) runtimetest.PullResult {
			if image != "large" {
				return runtimetest.PullResult{}
			}
			return runtimetest.PullResult{Delay: time.Hour, Progress: []sessions.Progress{{Message: "layer 1 of 2"}, {Message: "layer 2 of 2"}}}
		})
		w.job("ses-train", 5, accel.Slots{"cuda.device": 800}, func(s *sessions.Session) { s.Image = "large" })
		w.boot()
		w.after(25 * time.Minute)
		if s := w.session("ses-train"); s.Status != sessions.StatusPulling {
			t.Fatalf("it is %s: %s", s.Status, s.Reason)
		}
		w.halt()
		w.serve("chat", map[string]string{"cuda.device": "1"})
		w.boot()
		w.after(time.Minute)
		w.wantUp("chat", 1)
		w.wantLedger()
		if s := w.session("ses-train"); s.Status != sessions.StatusPending {
			t.Errorf("the job is %s: %s", s.Status, s.Reason)
		}
	})
}

// flaky is a runtime whose daemon is away as long as it says so.
type flaky struct {
	sessions.Runtime
	stop, start, remove, pull atomic.Bool
}

func (f *flaky) Stop(ctx context.Context, id string, grace time.Duration) error {
	if f.stop.Load() {
		return fmt.Errorf("stopping %s: %w", id, sessions.ErrRuntimeDown)
	}
	return f.Runtime.Stop(ctx, id, grace)
}

func (f *flaky) Pull(ctx context.Context, image string, progress func(sessions.Progress)) error {
	if f.pull.Load() {
		return fmt.Errorf("pulling %s: %w", image, sessions.ErrRuntimeDown)
	}
	return f.Runtime.Pull(ctx, image, progress)
}

func (f *flaky) Start(ctx context.Context, spec sessions.Spec) (sessions.Instance, error) {
	if f.start.Load() {
		return sessions.Instance{}, fmt.Errorf("starting %s: %w", spec.ID, sessions.ErrRuntimeDown)
	}
	return f.Runtime.Start(ctx, spec)
}

func (f *flaky) Remove(ctx context.Context, id string) error {
	if f.remove.Load() {
		return fmt.Errorf("removing %s: %w", id, sessions.ErrRuntimeDown)
	}
	return f.Runtime.Remove(ctx, id)
}

func (w *world) flaky() *flaky {
	f := &flaky{}
	w.wrap = func(r sessions.Runtime) sessions.Runtime { f.Runtime = r; return f }
	return f
}

// A runtime that is just being restarted is no reason for a job that gives way to be lost.
func TestPreemptedJobSurvivesARuntimeThatIsAway(t *testing.T) {
	for _, what := range []string{"stop", "remove"} {
		t.Run(what, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.node = eight()
				f := w.flaky()
				w.job("ses-train", 5, accel.Slots{"cuda.device": 800})
				w.boot()
				w.after(time.Minute)
				w.halt()
				w.serve("chat", map[string]string{"cuda.device": "1"})
				down := &f.stop
				if what == "remove" {
					down = &f.remove
				}
				down.Store(true)
				w.boot()
				w.after(30 * time.Second)
				if s := w.session("ses-train"); s.Status != sessions.StatusPreempted {
					t.Errorf("while the runtime is away the job is %s: %s", s.Status, s.Reason)
				}
				down.Store(false)
				w.after(2 * time.Minute)
				w.wantUp("chat", 1)
				if s := w.session("ses-train"); s.Status != sessions.StatusPending {
					t.Errorf("the job is %s: %s", s.Status, s.Reason)
				}
				w.wantLedger()
			})
		})
	}
}

// Neither is it one for a start to fail: for a job there would be no other.
func TestStartWaitsForARuntimeThatIsAway(t *testing.T) {
	for _, what := range []string{"start", "pull"} {
		t.Run(what, func(t *testing.T) { startAway(t, what) })
	}
}

func startAway(t *testing.T, what string) {
	inWorld(t, func(t *testing.T, w *world) {
		w.node = eight()
		f := w.flaky()
		down := &f.start
		if what == "pull" {
			down = &f.pull
		}
		down.Store(true)
		w.job("ses-train", 5, accel.Slots{"cuda.device": 100})
		w.seed("chat", 1)
		w.boot()
		w.after(20 * time.Second)
		if s := w.session("ses-train"); !strings.Contains(s.Reason, "cannot be reached") {
			t.Errorf("it does not say what it waits for: %s, %s", s.Status, s.Reason)
		}
		down.Store(false)
		w.after(time.Minute)
		if s := w.session("ses-train"); s.Status != sessions.StatusRunning {
			t.Errorf("the job is %s: %s", s.Status, s.Reason)
		}
		w.wantUp("chat", 1)
		if v := w.service("chat"); v.Failures != 0 {
			t.Errorf("the service is blamed: %s", v.Sentence)
		}
	})
}

// Devices that cannot be handed over for the moment put a session back into the queue, with the reason.
func TestSessionWhoseDevicesCannotBeGrantedWaits(t *testing.T) {
	for _, kind := range []error{errors.New("nvml: no answer within 5s"), accel.ErrNoDevice} {
		t.Run(kind.Error(), func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.node = eight()
				var fails atomic.Bool
				fails.Store(true)
				var asked atomic.Int64
				w.grant = func(accel.Claim) (accel.Grant, error) {
					asked.Add(1)
					if fails.Load() {
						return accel.Grant{}, kind
					}
					return accel.Grant{}, nil
				}
				w.job("ses-train", 5, accel.Slots{"cuda.device": 100})
				w.boot()
				w.after(10 * time.Minute)
				s := w.session("ses-train")
				if s.Status.Terminal() || !strings.Contains(s.Reason, kind.Error()) {
					t.Errorf("the job is %s: %s", s.Status, s.Reason)
				}
				if n := asked.Load(); n < 3 || n > 200 {
					t.Errorf("asked %d times in ten minutes", n)
				}
				fails.Store(false)
				w.after(5 * time.Minute)
				if s := w.session("ses-train"); s.Status != sessions.StatusRunning {
					t.Errorf("the job is %s: %s", s.Status, s.Reason)
				}
				w.wantLedger()
				fails.Store(true)
				if err := w.m.TerminateSession(t.Context(), "", "ses-train", "ada", true); err != nil {
					t.Fatal(err)
				}
				w.after(time.Minute)
				if claims := w.ledger.Claims(); len(claims) > 0 {
					t.Errorf("left: %v", claims)
				}
			})
		})
	}
}

// A box that has another name after a restart is still the one on which its sessions run.
func TestBoxIsRenamed(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.node = eight()
		w.seed("chat", 3)
		w.asks("chat", map[string]string{"cuda.device": "2"})
		w.boot()
		w.after(time.Minute)
		w.wantUp("chat", 3)
		w.halt()
		w.node.Name = "other"
		w.seed("late", 1)
		w.asks("late", map[string]string{"cuda.device": "4"})
		w.boot()
		w.after(time.Minute)
		w.wantUp("chat", 3)
		w.wantUp("late", 0)
		w.wantLedger()
		if free := w.free("cuda.device"); free != 200 {
			t.Errorf("%d hundredths of devices are free, want 200", free)
		}
		for _, c := range w.ledger.Claims() {
			if s := w.session(c.Session); c.Node != "other" || s.Claim.Node != "other" {
				t.Errorf("%s holds what it holds on %s, its row says %s", c.Session, c.Node, s.Claim.Node)
			}
		}
	})
}

// Sentences that change with the time must not be written with every look.
func TestWhyASessionWaitsIsNotWrittenAllTheTime(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.node = eight()
		w.job("ses-later", 5, accel.Slots{"cuda.device": 100}, func(s *sessions.Session) { s.Demand.StartsAt = time.Now().Add(time.Hour) })
		w.boot()
		for range 60 {
			w.after(10 * time.Second)
		}
		w.store.mu.Lock()
		n, kept := w.store.rows["ses-later"], w.store.sessions["ses-later"].Waits
		w.store.mu.Unlock()
		if n > 12 {
			t.Errorf("its row was written %d times in ten minutes of waiting", n)
		}
		if len(kept) == 0 || len(w.session("ses-later").Waits) == 0 {
			t.Errorf("why it waits is not kept")
		}
		if got := w.session("ses-later").Reason; !strings.Contains(got, "in 50m") {
			t.Errorf("people read what is long past: %s", got)
		}
	})
}

// What was preempted, and is cancelled before its devices' memory is seen free, still has it.
func TestCancelledWhileItsMemoryIsNotFree(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.node = eight()
		for i := range w.node.Devices {
			w.node.Devices[i].Memory = 80 << 30
		}
		w.job("ses-train", 5, accel.Slots{"cuda.device": 800})
		w.boot()
		w.after(time.Minute)
		w.halt()
		w.serve("chat", map[string]string{"cuda.device": "1"})
		w.boot()
		w.after(time.Minute)
		if s := w.session("ses-train"); s.Status != sessions.StatusPending {
			t.Fatalf("%s", s.Status)
		}
		if err := w.m.TerminateSession(t.Context(), "", "ses-train", "ada", false); err != nil {
			t.Fatal(err)
		}
		w.after(time.Minute)
		if s := w.session("ses-train"); s.Status != sessions.StatusCancelled {
			t.Fatalf("%s", s.Status)
		}
		if c, holds := w.ledger.Claim("ses-train"); !holds || c.State != accel.ClaimLeaving {
			t.Errorf("nobody has seen its memory free, and it is handed out: %v, %v", holds, w.service("chat").Sentence)
		}
	})
}

// A row whose resources are no longer understood is a start that fails: with a reason, and ever more seldom.
func TestResourcesThatAreNotUnderstoodAnyMore(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.node = eight()
		w.seed("chat", 1)
		w.asks("chat", map[string]string{"cuda.shares": "0.333"})
		w.boot()
		w.after(time.Minute)
		v := w.service("chat")
		if v.Failures == 0 || !strings.Contains(v.Sentence, "0.333") {
			t.Errorf("%d failures: %s", v.Failures, v.Sentence)
		}
	})
}

func TestPartsThatTheBoxDoesNotHandOutAreRefused(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.node = eight()
		w.queue.Options.Quantum = 25
		w.boot()
		_, err := w.m.CreateService(t.Context(), sessions.ServiceRequest{
			Name: "small", Project: "default", Replicas: 1,
			Recipe: sessions.Recipe{Image: "host", Variant: "cmd", Resources: map[string]string{"cuda.shares": "0.1"}},
		})
		if !errors.Is(err, sessions.ErrInvalid) || !strings.Contains(err.Error(), "0.25") {
			t.Errorf("got %v", err)
		}
	})
}

// An engine that takes more than its part does so again: its next start meets the back-off.
func TestOveruseIsAFailedStart(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.node = eight()
		w.seed("chat", 1)
		w.asks("chat", map[string]string{"cuda.shares": "0.5"})
		w.boot()
		for range 5 {
			w.after(20 * time.Second)
			for _, id := range w.runtime.Running() {
				w.m.Overuse(id, "session "+id+" uses 50 GiB of device GPU-0, its share is 40 GiB")
			}
		}
		w.after(time.Second)
		v := w.service("chat")
		if v.Failures < 3 || !strings.Contains(v.Sentence, "its share is 40 GiB") {
			t.Errorf("%d failures: %s", v.Failures, v.Sentence)
		}
	})
}

// Jobs belong to no service: none of them pushes out the log of another.
func TestEndedJobsAreKept(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.node = eight()
		w.runtime.Behave(func(sessions.Spec) runtimetest.Behaviour { return runtimetest.Behaviour{ExitAfter: time.Second} })
		for i := range 15 {
			w.job(fmt.Sprintf("ses-%d", i), 5, accel.Slots{"cuda.device": 100})
		}
		w.boot()
		w.after(time.Hour)
		if n := len(w.m.Sessions("", sessions.SessionFilter{})); n != 15 {
			t.Errorf("%d of 15 are there", n)
		}
		w.after(8 * 24 * time.Hour)
		if n := len(w.m.Sessions("", sessions.SessionFilter{})); n != 0 {
			t.Errorf("%d are kept for ever", n)
		}
	})
}

// A limit on whole devices holds for parts of them too.
func TestLimitOnDevicesHoldsForPartsOfThem(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.node = eight()
		w.queue.Quotas.User = sessions.Quota{Slots: accel.Slots{"cuda.device": 100}}
		for i := range 4 {
			w.job(fmt.Sprintf("ses-%d", i), 5, accel.Slots{"cuda.shares": 50})
		}
		w.boot()
		w.after(time.Minute)
		if n := len(w.runtime.Running()); n != 2 {
			t.Errorf("%d halves of a device run for one who may have one device", n)
		}
	})
}

// Labels from before there were claims: what the row says is held.
func TestInstanceWithoutALabelHoldsWhatItsRowSays(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.node = eight()
		claim := accel.Claim{Session: "ses-old", Node: "box", Slots: accel.Slots{"cuda.device": 100}, Shares: []accel.Share{{Device: "GPU-3", Slot: "cuda.device", Amount: 100}}, NUMA: -1}
		w.job("ses-old", 5, accel.Slots{"cuda.device": 100}, func(s *sessions.Session) { s.Status, s.Claim = sessions.StatusRunning, &claim })
		if _, err := w.runtime.Start(t.Context(), sessions.Spec{ID: "ses-old", Image: "host", Processes: w.store.sessions["ses-old"].Launch.Processes}); err != nil {
			t.Fatal(err)
		}
		w.boot()
		w.after(time.Minute)
		w.wantLedger()
	})
}

// Something without a port has nothing to be probed.
func TestNothingWithoutAPortIsProbed(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.node = eight()
		w.job("ses-train", 5, accel.Slots{"cuda.device": 100})
		w.setSick("*", "connection refused")
		w.boot()
		w.after(time.Hour)
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.probes > 0 {
			t.Errorf("probed %d times", w.probes)
		}
	})
}

// What runs though its row has ended would hold its devices for ever: nobody would end it.
func TestInstanceThatRunsThoughItsRowHasEnded(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.node = eight()
		w.job("ses-train", 5, accel.Slots{"cuda.device": 800})
		w.boot()
		w.after(time.Minute)
		w.halt()
		row := w.store.sessions["ses-train"]
		row.Status, row.EndedAt = sessions.StatusTerminated, time.Now()
		w.store.sessions[row.ID] = row
		w.boot()
		w.after(time.Minute)
		if running := w.runtime.Running(); len(running) > 0 || w.free("cuda.device") != 800 {
			t.Errorf("%v runs, %d hundredths of devices are free", running, w.free("cuda.device"))
		}
	})
}

// What a session depends on is kept for as long as that waits.
func TestWhatIsDependedOnIsKept(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.node = eight()
		w.runtime.Behave(func(sessions.Spec) runtimetest.Behaviour { return runtimetest.Behaviour{ExitAfter: time.Second} })
		w.job("ses-first", 5, nil)
		w.job("ses-then", 5, nil, func(s *sessions.Session) {
			s.Demand.DependsOn, s.Demand.StartsAt = []string{"ses-first"}, time.Now().Add(48*time.Hour)
		})
		w.boot()
		w.after(49 * time.Hour)
		if s := w.session("ses-then"); s.Result != sessions.ResultSuccess {
			t.Errorf("it is %s: %s", s.Status, s.Reason)
		}
	})
}

func TestParseQuota(t *testing.T) {
	for _, test := range []struct {
		written map[string]string
		want    sessions.Quota
		wrong   string
	}{
		{nil, sessions.Quota{}, ""},
		{map[string]string{"cuda.device": "0", "cuda.shares": "2.5", "sessions": "3"},
			sessions.Quota{Slots: accel.Slots{"cuda.device": 0, "cuda.shares": 250}, Sessions: 3}, ""},
		{map[string]string{"sessions": "0"}, sessions.Quota{}, "from 1"},
		{map[string]string{"gpu": "0"}, sessions.Quota{}, "no such resource"},
		{map[string]string{"mem": "-1"}, sessions.Quota{}, "mem"},
	} {
		got, err := sessions.ParseQuota(test.written)
		switch {
		case test.wrong != "":
			if err == nil || !strings.Contains(err.Error(), test.wrong) {
				t.Errorf("%v: %v", test.written, err)
			}
		case err != nil || !reflect.DeepEqual(got, test.want):
			t.Errorf("%v: %v, %v", test.written, got, err)
		}
	}
}

// Where both have a line, each holds for itself: no whole device, and two in parts.
func TestLimitsOnDevicesAndOnPartsOfThem(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.node = eight()
		w.queue.Quotas.User = sessions.Quota{Slots: accel.Slots{"cuda.device": 0, "cuda.shares": 200}}
		w.job("ses-whole", 5, accel.Slots{"cuda.device": 100})
		for i := range 6 {
			w.job(fmt.Sprintf("ses-%d", i), 5, accel.Slots{"cuda.shares": 50})
		}
		w.boot()
		w.after(time.Minute)
		if running := w.runtime.Running(); len(running) != 4 || slices.Contains(running, "ses-whole") {
			t.Errorf("%v run", running)
		}
	})
}

// Who shares a device is told where nothing holds it to its part.
func TestPartThatIsNotEnforcedIsSaid(t *testing.T) {
	for _, enforced := range []bool{true, false} {
		inWorld(t, func(t *testing.T, w *world) {
			w.node = eight()
			w.grant = func(accel.Claim) (accel.Grant, error) { return accel.Grant{Enforced: enforced}, nil }
			w.job("ses-part", 5, accel.Slots{"cuda.shares": 50})
			w.boot()
			w.after(time.Minute)
			if s := w.session("ses-part"); strings.Contains(s.Reason, "nothing but its engine") == enforced {
				t.Errorf("enforced %v: %s", enforced, s.Reason)
			}
		})
	}
}

// Two rows that name one device, because one of them is older than what happened since: whoever runs has it.
func TestPlaceThatIsAnothersByNow(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.node = eight()
		w.node.Devices = w.node.Devices[:1]
		w.job("ses-runs", 5, accel.Slots{"cuda.device": 100})
		w.boot()
		w.after(time.Minute)
		claim := *w.session("ses-runs").Claim
		w.halt()
		claim.Session = "ses-stale"
		w.job("ses-stale", 5, accel.Slots{"cuda.device": 100}, func(s *sessions.Session) { s.Status, s.Claim = sessions.StatusPrepared, &claim })
		w.boot()
		w.wantLedger()
		w.after(time.Minute)
		w.wantLedger()
		if running := w.runtime.Running(); !slices.Equal(running, []string{"ses-runs"}) {
			t.Errorf("%v run on one device", running)
		}
		w.runtime.Exit("ses-runs", sessions.Exit{Reason: sessions.ExitCompleted})
		w.after(time.Minute)
		if running := w.runtime.Running(); !slices.Equal(running, []string{"ses-stale"}) {
			t.Errorf("%v run", running)
		}
	})
}
