package sessions_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/variants"
)

// eight is a box with as many devices. They say nothing of their memory, so what leaves them has left at once.
func eight() *accel.Node {
	n := accel.Node{Name: "box", CPU: 64_000, Memory: 512 << 30}
	for i := range 8 {
		n.Devices = append(n.Devices, accel.Device{
			ID: fmt.Sprintf("GPU-%d", i), Index: i, Family: "cuda", Slot: "cuda.device", Name: "Test", NUMA: i / 4,
		})
	}
	return &n
}

// asks gives a seeded service's recipe resources.
func (w *world) asks(name string, resources map[string]string) {
	for i := range w.store.revisions["svc-"+name] {
		w.store.revisions["svc-"+name][i].Recipe.Resources = resources
	}
}

// free is how much of a slot the box has left.
func (w *world) free(slot accel.Slot) accel.Amount {
	w.t.Helper()
	pool := w.ledger.Pool()
	if len(pool) != 1 {
		w.t.Fatalf("%d boxes", len(pool))
	}
	return pool[0].Free(slot)
}

// wantLedger holds the ledger to what it is for: who runs holds exactly what it asked for, and nobody else anything.
func (w *world) wantLedger() {
	w.t.Helper()
	var want, have []string
	for _, s := range w.m.Sessions("", sessions.SessionFilter{Live: true}) {
		if s.Status == sessions.StatusPending {
			continue
		}
		want = append(want, s.ID)
		if s.Claim == nil {
			w.t.Errorf("%s is %s and holds nothing", s.ID, s.Status)
		}
	}
	taken := map[string]accel.Amount{}
	for _, c := range w.ledger.Claims() {
		have = append(have, c.Session)
		for _, share := range c.Shares {
			taken[share.Device] += share.Amount
		}
	}
	slices.Sort(want)
	slices.Sort(have)
	if !slices.Equal(want, have) {
		w.t.Errorf("sessions %v have a place, claims are of %v", want, have)
	}
	for device, amount := range taken {
		if amount > 100 {
			w.t.Errorf("%s is given away %d times", device, amount)
		}
	}
}

func TestRoutesHoldDevices(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.node = eight()
		w.seed("chat", 2)
		w.asks("chat", map[string]string{"cuda.device": "2", "cpu": "8", "mem": "64g"})
		w.boot()
		w.after(time.Minute)
		w.wantUp("chat", 2)
		w.wantLedger()
		if free := w.free("cuda.device"); free != 400 {
			t.Errorf("%d hundredths of devices are free, want 400", free)
		}
		limit := w.runtime.Started()[0].Limits.Memory
		if free := int64(w.free("mem")); limit != 64<<30+64<<20 || free != 512<<30-2*limit {
			t.Errorf("each is held to %d bytes, shared memory included, and %d are free", limit, free)
		}
		if _, err := w.m.ScaleService(t.Context(), "default", "chat", sessions.Scale{To: 0, By: "owner", Reason: "test"}); err != nil {
			t.Fatal(err)
		}
		w.after(time.Minute)
		w.wantLedger()
		if free := w.free("cuda.device"); free != 800 {
			t.Errorf("%d hundredths of devices are free after the end, want 800", free)
		}
	})
}

func TestMoreThanTheBoxHasIsRefusedAtOnce(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.node = eight()
		w.boot()
		for _, ask := range []map[string]string{
			{"cuda.device": "9"}, {"cpu": "65"}, {"mem": "1t"}, {"rocm.device": "1"}, {"cuda.shares": "8.01"},
			{"cuda.device": "0"}, {"cuda.device": "-1"}, {"cuda.device": "1e9"}, {"cuda.shares": "0.333"},
			{"cuda.device": "1", "cuda.shares": "0.5"},
		} {
			_, err := w.m.CreateService(t.Context(), sessions.ServiceRequest{
				Name: "greedy", Project: "default", Replicas: 1, Recipe: sessions.Recipe{Image: "host", Variant: "cmd", Resources: ask},
			})
			if !errors.Is(err, sessions.ErrInvalid) {
				t.Errorf("%v: %v", ask, err)
				continue
			}
			t.Log(err)
		}
	})
}

func TestWaitingSaysWhyAndWhatWouldHelp(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.node = eight()
		w.seed("large", 7)
		w.asks("large", map[string]string{"cuda.device": "1"})
		w.boot()
		w.after(time.Minute)
		w.wantUp("large", 7)
		w.halt()
		w.seed("late", 1)
		w.asks("late", map[string]string{"cuda.device": "2"})
		w.boot()
		w.after(2 * time.Hour) // far longer than a start may take: who waits has not begun
		v := w.service("late")
		if len(v.Routes) != 1 || v.Routes[0].Session != sessions.StatusPending || v.Failures != 0 {
			t.Fatalf("%+v", v)
		}
		s, err := w.m.Session("default", v.Routes[0].ID)
		if err != nil || len(s.Waits) != 1 {
			t.Fatalf("%+v, %v", s, err)
		}
		for _, want := range []string{"2 cuda.device", "1 of 8 free", "service large had one route less"} {
			if !strings.Contains(s.Waits[0].String(), want) {
				t.Errorf("%q does not say %q", s.Waits[0].String(), want)
			}
		}
		if kept := w.store.sessions[s.ID].Waits; !slices.Equal(kept, s.Waits) {
			t.Errorf("kept: %v", kept)
		}
		if !strings.Contains(v.Sentence, "1 of 8 free") {
			t.Errorf("the service says: %s", v.Sentence)
		}
		if _, err := w.m.ScaleService(t.Context(), "default", "large", sessions.Scale{To: 6, By: "owner", Reason: "test"}); err != nil {
			t.Fatal(err)
		}
		w.after(time.Minute)
		w.wantUp("late", 1)
		w.wantLedger()
		if s := w.store.sessions[s.ID]; s.Waits != nil {
			t.Errorf("it runs and waits: %v", s.Waits)
		}
	})
}

// TestClaimsSurviveACrash ends the daemon's writes after each of the first ones: whatever was lost, the next daemon
// hands nothing out twice, and nothing is left claimed in the end.
func TestClaimsSurviveACrash(t *testing.T) {
	for n := 1; n <= 40; n++ {
		t.Run(fmt.Sprintf("after write %d", n), func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.node = eight()
				w.seed("a", 3)
				w.asks("a", map[string]string{"cuda.device": "2"})
				w.seed("b", 4)
				w.asks("b", map[string]string{"cuda.shares": "0.5"})
				w.store.failFrom(n)
				w.boot()
				w.after(time.Second)
				_, _ = w.m.ScaleService(t.Context(), "default", "a", sessions.Scale{To: 1, By: "owner", Reason: "test"})
				w.after(time.Second)
				w.halt()

				w.store.failFrom(0)
				w.boot()
				w.wantLedger()
				w.after(10 * time.Minute)
				w.wantLedger()
				w.wantStatus("a", sessions.ServiceHealthy)
				w.wantStatus("b", sessions.ServiceHealthy)
				for _, name := range []string{"a", "b"} {
					if err := w.m.DestroyService(t.Context(), "default", name, "owner"); err != nil {
						t.Fatal(err)
					}
				}
				w.after(10 * time.Minute)
				if claims := w.ledger.Claims(); len(claims) > 0 || w.free("cuda.device") != 800 {
					t.Errorf("left: %v", claims)
				}
			})
		})
	}
}

// job records a batch session as its room would.
func (w *world) job(id string, priority int, slots accel.Slots, change ...func(*sessions.Session)) {
	s := sessions.Session{
		ID: id, Name: id, Project: "default", Type: sessions.TypeBatch, CreatedBy: "ada", CreatedAt: time.Now(), Image: "host",
		Status: sessions.StatusPending, Result: sessions.ResultUndefined, TrafficRatio: 1,
		Demand: sessions.Demand{Priority: priority, Slots: slots, Preemptible: true},
		Launch: variants.LaunchSpec{Processes: []variants.Process{{Argv: []string{"train"}}}},
	}
	for _, c := range change {
		c(&s)
	}
	w.store.sessions[id] = s
}

func TestServingTakesFromPreemptibleJobs(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.node = eight()
		w.job("ses-train", 5, accel.Slots{"cuda.device": 800})
		w.boot()
		w.after(time.Minute)
		if s, err := w.m.Session("", "ses-train"); err != nil || s.Status != sessions.StatusRunning {
			t.Fatalf("%+v, %v", s, err)
		}
		w.halt()
		w.seed("chat", 1)
		w.store.services["svc-chat"] = func(s sessions.Service) sessions.Service { s.Priority = 50; return s }(w.store.services["svc-chat"])
		w.asks("chat", map[string]string{"cuda.device": "1"})
		w.boot()
		w.after(5 * time.Minute)
		w.wantUp("chat", 1)
		w.wantLedger()
		s, err := w.m.Session("", "ses-train")
		if err != nil || s.Status != sessions.StatusPending || len(s.Waits) == 0 {
			t.Fatalf("the job is %s (%s), waits %v", s.Status, s.Reason, s.Waits)
		}
		if err := w.m.DestroyService(t.Context(), "default", "chat", "owner"); err != nil {
			t.Fatal(err)
		}
		w.after(5 * time.Minute)
		if s, err = w.m.Session("", "ses-train"); err != nil || s.Status != sessions.StatusRunning {
			t.Errorf("the job did not come back: %s, %s", s.Status, s.Reason)
		}
	})
}

func TestRoutesLeaveABrokenDevice(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.node = eight()
		w.seed("chat", 2)
		w.asks("chat", map[string]string{"cuda.device": "1"})
		w.boot()
		w.after(2 * time.Minute)
		up := w.wantUp("chat", 2)
		first, err := w.m.Session("", up[0])
		if err != nil {
			t.Fatal(err)
		}
		bad := first.Claim.Shares[0].Device
		w.ledger.Observe("box", []accel.Sample{{Device: bad, At: time.Now(), Fault: "XID 79: it has fallen off the bus", MemoryUsed: -1}}, nil, time.Now())
		w.after(2 * time.Minute)
		now := w.wantUp("chat", 2)
		if slices.Contains(now, up[0]) || !slices.Contains(now, up[1]) {
			t.Errorf("routes were %v and are %v", up, now)
		}
		if v := w.service("chat"); v.Failures != 0 {
			t.Errorf("the service is blamed: %+v", v)
		}
		w.wantLedger()
		for _, c := range w.ledger.Claims() {
			for _, share := range c.Shares {
				if share.Device == bad {
					t.Errorf("%s was given the broken device", c.Session)
				}
			}
		}
		var events []string
		for _, e := range w.store.events {
			events = append(events, e.Message)
		}
		if !strings.Contains(strings.Join(events, "\n"), "fallen off the bus") {
			t.Errorf("the owner is not told: %q", events)
		}
	})
}
