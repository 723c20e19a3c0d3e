package store_test

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/audit"
	"github.com/palisade-run/palisade/appliance/store"
)

// TestAuditOfTwo: two programs, as a daemon and its successor are, make one chain.
func TestAuditOfTwo(t *testing.T) {
	eachPair(t, func(t *testing.T, s [2]*store.Store) {
		var logs [2]*audit.Log
		witness := filepath.Join(t.TempDir(), "head")
		for i := range logs {
			logs[i] = audit.New(s[i], witness, time.Now, slog.New(slog.DiscardHandler))
		}
		var all sync.WaitGroup
		for i := range logs {
			all.Go(func() {
				for n := range 20 {
					logs[i].Add(t.Context(), audit.Entry{Actor: fmt.Sprint("a", i), Project: "default", Action: "do", Target: fmt.Sprint("services/", awkward, "/", n), Status: 200})
				}
			})
		}
		all.Wait()
		v, err := logs[0].Verify(t.Context())
		if err != nil || v.Fault != "" || v.Records != 40 {
			t.Fatalf("%+v, %v", v, err)
		}
		for want, q := range map[int]audit.Query{
			20: {Actor: "a1"}, 40: {Target: "services/" + awkward}, 2: {Target: "services/" + awkward + "/7"}, 5: {Newest: true, Limit: 5}, 10: {After: 30},
			3: {Before: 4}, 0: {Project: "other"}, 1: {After: 3, Before: 5, Action: "do", From: time.Now().Add(-time.Hour), To: time.Now().Add(time.Hour)},
		} {
			got, err := s[1].Audit(t.Context(), q)
			if err != nil || len(got) != want {
				t.Errorf("%+v: %d, %v; want %d", q, len(got), err, want)
			}
			if q.Newest && got[0].Seq != 40 {
				t.Errorf("%+v", got[0])
			}
		}
		stop := errors.New("stop")
		if err := s[0].AppendAudit(t.Context(), func(audit.Head) (audit.Record, error) { return audit.Record{}, stop }); !errors.Is(err, stop) {
			t.Error(err)
		}
	})
}
