package cluster_test

import (
	"context"
	"errors"
	"testing"

	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/appliance/cluster/clustertest"
)

// What the boxes share is changed by who leads, from what is there by then: nothing that was written meanwhile is lost.
func TestWhatIsSharedIsAmended(t *testing.T) {
	client := clustertest.Start(t).Client(t)
	at := clustertest.Prefix()
	a := cluster.New(client, at)
	add := func(text string) func([]byte) ([]byte, error) {
		return func(before []byte) ([]byte, error) { return append(before, text...), nil }
	}
	var over cluster.Reign
	if err := a.Lead(t.Context(), "one", func(ctx context.Context, r cluster.Reign) error {
		over = r
		asked := 0
		return a.Amend(ctx, r, "notes", func(before []byte) ([]byte, error) {
			if asked++; asked == 1 { // somebody else is faster
				if err := a.Amend(ctx, r, "notes", add("a")); err != nil {
					return nil, err
				}
			}
			return add("b")(before)
		})
	}); err != nil {
		t.Fatal(err)
	}
	if err := a.Amend(t.Context(), over, "notes", add("c")); !errors.Is(err, cluster.ErrDeposed) {
		t.Errorf("who leads no more: %v", err)
	}
	broken := errors.New("it cannot be read")
	if err := a.Lead(t.Context(), "two", func(ctx context.Context, r cluster.Reign) error {
		return a.Amend(ctx, r, "notes", func([]byte) ([]byte, error) { return nil, broken })
	}); !errors.Is(err, broken) {
		t.Errorf("what is there is no good: %v", err)
	}
	if got, err := a.Shared(t.Context(), "notes"); err != nil || string(got) != "ab" {
		t.Errorf("there is %q, %v", got, err)
	}
}
