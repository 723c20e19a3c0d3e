package daemon

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/appliance/cluster/clustertest"
	"github.com/palisade-run/palisade/appliance/store"
)

// A daemon that is deposed while it prepares a successor does not go on with that: whoever asked hears from the next life.
func TestADeposedDaemonPreparesNoSuccessor(t *testing.T) {
	over, end := context.WithCancel(t.Context())
	d := &daemon{house: &house{restarts: make(chan restart)}, store: &store.Store{}, turn: &turn{ctx: over}}
	d.Log, d.Command = slog.New(slog.DiscardHandler), []string{"sh", "-c", "sleep 1000"}
	result := make(chan restarted, 1)
	end()
	if s := d.prepareDeciding(t.Context(), restart{by: "a test", result: result}); s != nil {
		t.Fatal("there is a successor")
	}
	select {
	case r := <-d.restarts:
		if r.by != "a test" {
			t.Errorf("the next life is asked by %s", r.by)
		}
	case r := <-result:
		t.Errorf("who asked is told %v", r.err)
	}
}

// leadOnce leads, and returns the reign when it is over.
func leadOnce(t *testing.T, a *cluster.Agreement, name string) (over cluster.Reign) {
	t.Helper()
	if err := a.Lead(t.Context(), name, func(_ context.Context, r cluster.Reign) error { over = r; return nil }); err != nil {
		t.Fatal(err)
	}
	return over
}

// What is known of backups is written by who decides alone. Who was frozen, and comes back, neither puts what it knew in its place nor
// says which appliance this is.
func TestWhoDecidesNoMoreWritesNothingOfBackups(t *testing.T) {
	a := cluster.New(clustertest.Start(t).Client(t), clustertest.Prefix())
	madeBy := func(r cluster.Reign) *backups {
		return &backups{d: &daemon{house: &house{seat: &seat{agreement: a}}, turn: &turn{reign: r}}}
	}
	old := madeBy(leadOnce(t, a, "one"))
	slot := time.Date(2026, 3, 5, 3, 0, 0, 0, time.UTC)
	if err := a.Lead(t.Context(), "two", func(ctx context.Context, r cluster.Reign) error {
		now := madeBy(r)
		id, err := now.identity(ctx)
		if err != nil || !now.note(ctx, func(r *backupRecord) { r.Slot = slot }) {
			t.Errorf("who decides cannot write: %v", err)
		}
		if _, err := old.identity(ctx); !errors.Is(err, cluster.ErrDeposed) {
			t.Errorf("who decides no more says which appliance this is: %v", err)
		}
		if old.note(ctx, func(r *backupRecord) { r.Slot = slot.Add(-time.Hour) }) {
			t.Error("who decides no more goes on")
		}
		if got, err := now.recall(ctx); err != nil || !got.Slot.Equal(slot) || got.Appliance != id {
			t.Errorf("known is %+v, %v", got, err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
