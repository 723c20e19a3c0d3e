package sessions_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/palisade-run/palisade/sessions"
)

func ofDefault(q sessions.Quota) sessions.Quotas {
	return sessions.Quotas{Projects: map[string]sessions.Quota{"default": q}}
}

func TestServicesAreLimited(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.write(definition)
		w.boot()
		w.m.SetQuotas(ofDefault(sessions.Quota{Services: 1}))
		var won, refused atomic.Int32
		var wg sync.WaitGroup
		for n := range 8 {
			wg.Go(func() {
				req := request()
				req.Name = fmt.Sprintf("chat-%d", n)
				_, err := w.m.CreateService(t.Context(), req)
				var limit *sessions.LimitError
				switch {
				case err == nil:
					won.Add(1)
				case errors.As(err, &limit) && errors.Is(err, sessions.ErrLimit):
					refused.Add(1)
					if got := err.Error(); got != "project default may have 1 service and has 1: 1 more is too many" {
						t.Error(got)
					}
					if hint := limit.Hint(); !strings.Contains(hint, "palisade project limits default --services 2") {
						t.Error(hint)
					}
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 || refused.Load() != 7 {
			t.Errorf("%d won, %d were refused", won.Load(), refused.Load())
		}
		if used := w.m.UsedByProject("default"); used.Services != 1 {
			t.Errorf("%+v", used)
		}
		w.m.SetQuotas(ofDefault(sessions.Quota{Services: 2}))
		if _, err := w.m.CreateService(t.Context(), request()); err != nil {
			t.Errorf("raised, and still refused: %v", err)
		}
	})
}

func TestRoutesAreLimited(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.seed("one", 2)
		w.seed("two", 1)
		w.boot()
		w.after(time.Minute)
		scale := func(name string, wish sessions.Scale) (sessions.ServiceView, error) {
			wish.Reason = "test"
			v, err := w.m.ScaleService(t.Context(), "default", name, wish)
			synctest.Wait()
			return v, err
		}
		w.m.SetQuotas(ofDefault(sessions.Quota{Routes: 4}))
		if _, err := scale("one", sessions.Scale{To: 4, By: "owner"}); !errors.Is(err, sessions.ErrLimit) || !strings.Contains(err.Error(), "may have 4 routes and has 3: 2 more are too many") {
			t.Error(err)
		}
		if _, err := w.m.UpdateService(t.Context(), "default", "two", sessions.ServiceUpdate{Replicas: new(3)}); !errors.Is(err, sessions.ErrLimit) {
			t.Error(err)
		}
		capped, is := errors.AsType[*sessions.CappedError](second(scale("one", sessions.Scale{To: 9, Auto: true})))
		if !is || capped.At != 3 || !errors.Is(capped, sessions.ErrLimit) {
			t.Fatalf("%v", capped)
		}
		w.after(time.Minute)
		w.wantUp("one", 3)
		for range 3 { // asked again and again, it is told once
			if capped, is := errors.AsType[*sessions.CappedError](second(scale("two", sessions.Scale{To: 5, Auto: true}))); !is || capped.At != 1 {
				t.Fatalf("%v", capped)
			}
		}
		events, err := w.m.Events(t.Context(), "default", "two", 100)
		if err != nil {
			t.Fatal(err)
		}
		told := 0
		for _, e := range events {
			if e.Kind == "limited" {
				told++
				if !strings.Contains(e.Message, "held at 1 route, for project default may have 4 routes in all") {
					t.Error(e.Message)
				}
			}
		}
		if told != 1 {
			t.Errorf("told %d times", told)
		}
		if _, err := scale("two", sessions.Scale{To: 0, By: "owner"}); err != nil {
			t.Fatal(err)
		}
		w.after(time.Minute)
		w.m.SetQuotas(ofDefault(sessions.Quota{Routes: 3}))
		if capped, is := errors.AsType[*sessions.CappedError](second(scale("two", sessions.Scale{To: 1, Auto: true}))); !is || capped.At != 0 || w.balance.row("two").Held != "a limit of its project keeps it from starting" {
			t.Errorf("at zero: %v, %+v", capped, w.balance.row("two"))
		}
		w.m.SetQuotas(ofDefault(sessions.Quota{Routes: 4}))
		if _, err := scale("two", sessions.Scale{To: 1, Auto: true}); err != nil || w.balance.row("two").Held != "" {
			t.Errorf("with room: %v, %+v", err, w.balance.row("two"))
		}
		w.after(time.Minute)
		w.m.SetQuotas(ofDefault(sessions.Quota{Routes: 1}))
		w.after(time.Minute)
		w.wantUp("one", 3) // nothing that runs is ended
		if _, err := scale("one", sessions.Scale{To: 2, By: "owner"}); err != nil {
			t.Errorf("fewer is refused: %v", err)
		}
		if _, err := scale("one", sessions.Scale{To: 3, By: "owner"}); !errors.Is(err, sessions.ErrLimit) {
			t.Errorf("more again is let: %v", err)
		}
	})
}

func second[A, B any](_ A, b B) B { return b }

func TestSessionsAreLimitedLive(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.seed("chat", 1)
		w.boot()
		w.m.SetQuotas(sessions.Quotas{Project: sessions.Quota{Sessions: 1}})
		if _, err := w.m.ScaleService(t.Context(), "default", "chat", sessions.Scale{To: 2, By: "owner", Reason: "test"}); err != nil {
			t.Fatal(err)
		}
		w.after(time.Minute)
		w.wantUp("chat", 1)
		if q := w.m.Queue(); len(q) != 1 {
			t.Fatalf("%d wait", len(q))
		}
		w.m.SetQuotas(sessions.Quotas{Project: sessions.Quota{Sessions: 2}})
		w.after(2 * time.Second) // at once: no change of the pool is waited for
		w.wantUp("chat", 2)
	})
}
