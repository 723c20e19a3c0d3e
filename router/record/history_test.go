package record_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/palisade-run/palisade/router/record"
)

func TestHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, s := running(t)
		begin := time.Now()
		time.Sleep(300 * time.Millisecond)
		for range 60 { // a minute of 5 a second
			for range 5 {
				one(s, s.Route("a"), record.Record{Status: 200, First: 50 * time.Millisecond, Took: 200 * time.Millisecond, Usage: record.Usage{Prompt: 100, Completion: 30}})
			}
			time.Sleep(time.Second)
		}
		time.Sleep(5 * time.Minute) // and then nobody
		l.Set(time.Now(), []record.LiveRow{{ID: "svc-1", Name: "qwen", Project: "default", Routes: []string{"a"}}})
		time.Sleep(30 * time.Second)
		all := l.History("svc-1", begin)
		if len(all) < 37 || len(all) > 40 {
			t.Fatalf("%d moments in 6 min 30 s", len(all))
		}
		for i, m := range all {
			if i > 0 && m.At.Sub(all[i-1].At) != record.HistoryStep {
				t.Errorf("a step of %s", m.At.Sub(all[i-1].At))
			}
			at := m.At.Sub(begin)
			switch {
			case at > 15*time.Second && at < 55*time.Second:
				if !near(float64(m.Rate), 5, 0.6) || !near(float64(m.Tokens), 150, 20) || !near(float64(m.FirstP95), 0.05, 0.01) || !near(float64(m.TookP50), 0.2, 0.01) || m.Routes != 2 {
					t.Errorf("%s: %+v", at, m)
				}
			case at > 75*time.Second && (m.Rate != 0 || m.Tokens != 0 || m.TookP95 != 0):
				t.Errorf("%s: %+v though nobody came", at, m)
			}
		}
		if first, last := all[10], all[len(all)-1]; first.Routes != 2 || last.Routes != 1 {
			t.Errorf("routes: %d, then %d", first.Routes, last.Routes)
		}
		if got := l.History("svc-1", all[len(all)-3].At); len(got) != 2 {
			t.Errorf("after the third last: %d", len(got))
		}
		if l.History("nobody", begin) != nil {
			t.Error("a past of a service that is not there")
		}
	})
}

// TestHistoryIsBounded: an hour is kept, whatever comes, and of a service that nobody asks next to nothing.
func TestHistoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, s := running(t)
		begin := time.Now()
		for range 3 * 360 {
			one(s, s.Route("a"), record.Record{Status: 200, Took: time.Millisecond})
			time.Sleep(10 * time.Second)
		}
		all := l.History("svc-1", begin)
		if len(all) != 360 || time.Since(all[0].At) > record.HistoryLength+record.HistoryStep || all[0].Routes != 2 {
			t.Errorf("%d moments since %s ago, %d routes", len(all), time.Since(all[0].At), all[0].Routes)
		}
		if m, ok := l.Latest()["svc-1"]; !ok || m.Rate == 0 {
			t.Errorf("%+v", m)
		}
		time.Sleep(2 * time.Minute)
		if _, ok := l.Latest()["svc-1"]; ok {
			t.Error("it did nothing, and is told of")
		}
	})
}
