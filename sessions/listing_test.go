package sessions_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/palisade-run/palisade/sessions"
)

func TestNewest(t *testing.T) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	random := rand.New(rand.NewPCG(1, 2))
	for _, keep := range []int{0, 1, 7, 50, 1000} {
		order, all := sessions.Newest[string]{Keep: keep}, []string{}
		for i := range 700 {
			second, id := random.IntN(60), fmt.Sprintf("%04d", i) // many of one moment
			order.Add(start.Add(time.Duration(second)*time.Second), id, fmt.Sprintf("%02d %s", 60-second, id))
			all = append(all, fmt.Sprintf("%02d %s", 60-second, id))
		}
		slices.Sort(all)
		if keep > 0 {
			all = all[:min(keep, len(all))]
		}
		if got := order.Rows(); !slices.Equal(got, all) {
			t.Errorf("of %d: %v, want %v", keep, got, all)
		}
	}
}

// TestNewestSessions: a part of the list is that part of all of it, and all are counted.
func TestNewestSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.boot()
		defer func() { w.halt() }()
		for i := range 7 {
			if _, err := w.m.CreateSessions(t.Context(), []sessions.SessionRequest{job(fmt.Sprint("job-", i))}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		names := func(all []sessions.Session) (out []string) {
			for _, s := range all {
				out = append(out, s.Name)
			}
			return out
		}
		all := names(w.m.Sessions("default", sessions.SessionFilter{}))
		if len(all) != 7 || all[0] != "job-6" {
			t.Fatalf("all: %v", all)
		}
		for _, c := range [][2]int{{0, 3}, {3, 3}, {6, 3}, {7, 3}, {100, 3}, {0, 7}, {0, 0}, {2, 0}} {
			part, total := w.m.NewestSessions("default", sessions.SessionFilter{}, c[0], c[1])
			want := all[min(c[0], len(all)):]
			if c[1] > 0 {
				want = want[:min(c[1], len(want))]
			}
			if total != 7 || !slices.Equal(names(part), want) {
				t.Errorf("%v: %v of %d, want %v", c, names(part), total, want)
			}
		}
		seen := 0
		w.m.EachSession("default", sessions.SessionFilter{Search: "job-3"}, func(s *sessions.Session) { seen++ })
		w.m.EachSession("other", sessions.SessionFilter{}, func(s *sessions.Session) { seen += 100 })
		if seen != 1 {
			t.Errorf("%d seen", seen)
		}
	})
}
