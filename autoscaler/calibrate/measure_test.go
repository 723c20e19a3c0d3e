package calibrate_test

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/palisade-run/palisade/autoscaler/calibrate"
)

func usual() *engine {
	return &engine{places: 6, reading: 100 * time.Microsecond, making: 20 * time.Millisecond, window: 5000, apis: "chat/completions"}
}

// near tells whether a figure is within a tenth of what it must be.
func near(got, want float64) bool { return math.Abs(got-want) <= want/10 }

func TestMeasure(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*engine)
		knee   int
		decode float64
		check  func(*testing.T, calibrate.Calibration)
	}{
		{"six places", func(*engine) {}, 6, 50, func(t *testing.T, c calibrate.Calibration) {
			if !near(c.Prefill, 10_000) {
				t.Errorf("it reads 10000 tokens a second, and %v were measured", c.Prefill)
			}
		}},
		{"sixteen", func(e *engine) { e.places = 16 }, 16, 50, nil},
		{"one", func(e *engine) { e.places = 1 }, 1, 50, nil},
		{"fast", func(e *engine) { e.making = 4 * time.Millisecond }, 6, 250, nil},
		{"completions alone", func(e *engine) { e.apis = "completions" }, 6, 50, func(t *testing.T, c calibrate.Calibration) {
			if c.API != calibrate.APICompletions {
				t.Error(c.API)
			}
		}},
		{"a strict one", func(e *engine) { e.strict = true }, 6, 50, func(t *testing.T, c calibrate.Calibration) {
			if c.Prefill != 0 {
				t.Errorf("it does not count what it reads, and %v were measured", c.Prefill)
			}
		}},
		{"embeddings", func(e *engine) { e.apis, e.reading = "embeddings", time.Millisecond }, 6, 0, func(t *testing.T, c calibrate.Calibration) {
			if c.API != calibrate.APIEmbeddings || !near(c.Alone().Tokens, 1000) {
				t.Errorf("%+v", c)
			}
		}},
		{"one that refuses more than four", func(e *engine) { e.refuses = 4; e.places = 100 }, 4, 50, nil},
		{"one that breaks with more than four", func(e *engine) { e.breaks = 4; e.places = 100 }, 4, 50, func(t *testing.T, c calibrate.Calibration) {
			if !strings.Contains(c.Stopped, "out of memory") {
				t.Errorf("stopped: %q", c.Stopped)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, h := usual(), &house{}
				c.change(e)
				k, end := h.open(t, e)
				defer end()
				got, err := k.Do(t.Context(), calibrate.Wish{ServiceID: "svc-1", By: "ann"}, nil)
				if err != nil {
					t.Fatal(err)
				}
				if got.Knee.At != c.knee || !near(got.Decode, c.decode) {
					t.Errorf("knee %+v, want %d; %v tokens a second, want %v; %+v", got.Knee, c.knee, got.Decode, c.decode, got.Points)
				}
				if got.Took > time.Minute || got.DeviceMemory != 30e9 || got.Memory != 2e9 || got.LoadSpeed() != 2e9 || got.Device != "NVIDIA H200" || got.Disturbed != 0 {
					t.Errorf("%+v", got)
				}
				if c.check != nil {
					c.check(t, got)
				}
				if k.Knee("svc-1", 3) != c.knee || k.Knee("svc-1", 4) != c.knee || k.Knee("svc-2", 3) != 0 || k.LoadTime("svc-1") != 10*time.Second || len(h.saved) != 1 {
					t.Error("what was measured is not known")
				}
				synctest.Wait()
				if inside, _ := e.now(); inside != 0 {
					t.Errorf("%d requests were left behind", inside)
				}
			})
		})
	}
}

// Whoever asks the service while it is measured is not disturbed: what calibration had in flight goes, and it is gone on with
// when they have gone.
func TestUsersComeFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, h := usual(), &house{}
		k, end := h.open(t, e)
		defer end()
		users := make(chan struct{})
		go func() {
			defer close(users)
			for range 3 {
				time.Sleep(4 * time.Second)
				h.set(2)
				time.Sleep(100 * time.Millisecond)
				synctest.Wait()
				if inside, _ := e.now(); inside != 0 {
					t.Errorf("%d requests of the calibration go on beside users", inside)
				}
				_, before := e.now()
				time.Sleep(2 * time.Second)
				if _, after := e.now(); after != before {
					t.Errorf("%d requests were made beside users", after-before)
				}
				h.set(0)
			}
		}()
		got, err := k.Do(t.Context(), calibrate.Wish{ServiceID: "svc-1", Budget: 2 * time.Minute}, nil)
		<-users
		if err != nil || got.Disturbed != 3 || got.Knee.At != 6 {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

func TestWhatCannotBeMeasured(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*engine, *house)
		is     error
		says   string
		within time.Duration
	}{
		{"users all the time", func(_ *engine, h *house) { h.asked = 7 }, calibrate.ErrBusy, "7 requests are in flight", 21 * time.Second},
		{"no route", func(_ *engine, h *house) { h.missed = calibrate.ErrNotReady }, calibrate.ErrNotReady, "", 0},
		{"an engine that never answers", func(e *engine, _ *house) { e.silent = true }, calibrate.ErrNotReady, "within 1m0s", time.Minute + time.Second},
		{"pictures", func(e *engine, _ *house) { e.apis = "images/generations" }, calibrate.ErrNoTokens, "neither chat", time.Second},
		{"a key of its own", func(e *engine, _ *house) { e.status = http.StatusUnauthorized }, nil, "needs no key of its own", time.Second},
		{"one that is broken", func(e *engine, _ *house) { e.status = http.StatusInternalServerError }, calibrate.ErrNoTokens, "500", time.Second},
		{"a store that is away", func(_ *engine, h *house) { h.away = errors.New("no database") }, nil, "no database", time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, h := usual(), &house{}
				c.change(e, h)
				k, end := h.open(t, e)
				defer end()
				begun := time.Now()
				_, err := k.Do(t.Context(), calibrate.Wish{ServiceID: "svc-1"}, func(calibrate.Progress) {})
				if err == nil || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) {
					t.Errorf("got %v, want %v, %q", err, c.is, c.says)
				}
				if took := time.Since(begun); took > c.within {
					t.Errorf("it took %v to say so", took)
				}
				if s := k.Standing("svc-1", 3); c.within > 0 && (s.Failed == nil || s.Running != "" || s.Last != nil) {
					t.Errorf("standing %+v", s)
				}
			})
		})
	}
}

// With force it is measured beside users, and said.
func TestForce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &house{asked: 1}
		k, end := h.open(t, usual())
		defer end()
		got, err := k.Do(t.Context(), calibrate.Wish{ServiceID: "svc-1", Force: true}, nil)
		if err != nil || !got.Forced || got.Disturbed == 0 || got.Knee.At != 6 {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

// One service is measured at a time; who asks for one that is measured joins; who cancels ends it.
func TestInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, h := usual(), &house{}
		k, end := h.open(t, e)
		first, err := k.Begin(t.Context(), calibrate.Wish{ServiceID: "svc-1"})
		again, err2 := k.Begin(t.Context(), calibrate.Wish{ServiceID: "svc-1"})
		second, err3 := k.Begin(t.Context(), calibrate.Wish{ServiceID: "svc-2"})
		if err := errors.Join(err, err2, err3); err != nil || first != again || first == second {
			t.Fatal(first, again, second, err)
		}
		time.Sleep(5 * time.Second)
		one, two := k.Standing("svc-1", 3), k.Standing("svc-2", 3)
		if one.Running != first || one.Now.Elapsed <= 0 || two.Running != second || two.Now.Doing != "waiting for its turn" || !k.Measuring("svc-2") {
			t.Errorf("%+v, %+v", one, two)
		}
		if !k.Cancel("svc-1") || k.Cancel("svc-3") {
			t.Error("what is cancelled")
		}
		time.Sleep(5 * time.Second)
		one, two = k.Standing("svc-1", 3), k.Standing("svc-2", 3)
		if one.Running != "" || one.Failed == nil || !errors.Is(one.Failed.Err, calibrate.ErrEnded) || two.Now.Elapsed <= 0 {
			t.Errorf("%+v, %+v", one, two)
		}
		end()
		two = k.Standing("svc-2", 3)
		if two.Running != "" || two.Failed == nil || !errors.Is(two.Failed.Err, calibrate.ErrEnded) {
			t.Errorf("after the end: %+v", two)
		}
		if _, err := k.Begin(t.Context(), calibrate.Wish{ServiceID: "svc-1"}); !errors.Is(err, calibrate.ErrEnded) {
			t.Errorf("after the end: %v", err)
		}
		for _, w := range []calibrate.Wish{{Budget: time.Second}, {Budget: time.Hour}, {Most: -1}, {Most: 5000}} {
			if _, err := k.Begin(t.Context(), w); !errors.Is(err, calibrate.ErrInvalid) {
				t.Errorf("%+v: %v", w, err)
			}
		}
	})
}

// Whoever waits for it and goes takes it along; whoever joined another's does not.
func TestGoingTakesItAlong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, end := (&house{}).open(t, usual())
		defer end()
		for _, c := range []struct {
			joins string
			ends  bool
		}{{"ann", true}, {"bob", false}} {
			id, err := k.Begin(t.Context(), calibrate.Wish{ServiceID: c.joins, By: "ann"})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			_, err = k.Do(ctx, calibrate.Wish{ServiceID: c.joins, By: c.joins}, nil)
			cancel()
			time.Sleep(time.Second)
			if got := k.Standing(c.joins, 3).Running != id; !errors.Is(err, context.DeadlineExceeded) || got != c.ends {
				t.Errorf("%s: %v, ended %v", c.joins, err, got)
			}
		}
	})
}

// TestKnown: what was measured counts for the revision and the devices that it was measured on, while something of it runs.
func TestKnown(t *testing.T) {
	of := func(revision int, device string) *house {
		return &house{saved: []calibrate.Calibration{{ID: "cal-1", ServiceID: "svc-1", Revision: revision, Device: device}}}
	}
	away := of(3, "NVIDIA H200")
	away.missed = calibrate.ErrNotReady
	for name, c := range map[string]struct {
		house *house
		known bool
	}{
		"as it is": {of(3, "NVIDIA H200"), true}, "another revision": {of(2, "NVIDIA H200"), false},
		"another device": {of(3, "NVIDIA L4"), false}, "nothing runs": {away, false}, "never measured": {&house{}, false},
	} {
		k, err := calibrate.NewKeeper(t.Context(), calibrate.Around{World: c.house, Store: c.house})
		if err != nil {
			t.Fatal(err)
		}
		if got, known := k.Known(t.Context(), "svc-1"); known != c.known || known && got.ID != "cal-1" {
			t.Errorf("%s: %+v, %v", name, got, known)
		}
	}
}
