package folders

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// silentHome is a box that takes up what it is to do, and says no more.
type silentHome struct{ taken chan string }

func (h silentHome) Carry(ctx context.Context, _ string, op Operation, _ io.Reader, _ any) error {
	h.taken <- string(op.Do)
	<-ctx.Done()
	return context.Cause(ctx)
}

func (h silentHome) Open(context.Context, string, string, string) (File, error) {
	return nil, ErrNotFound
}

// A home that is silent keeps nobody from other folders, nor who asked for its own for ever.
func TestAHomeThatIsSilent(t *testing.T) {
	fo, store, _ := newFolders(t)
	far, trashed := create(t, fo, "far"), create(t, fo, "trashed")
	if err := fo.Remove(t.Context(), "p", "trashed", "me"); err != nil {
		t.Fatal(err)
	}
	for _, f := range []Folder{far, trashed} {
		row, err := fo.Record(t.Context(), f.ID)
		if err != nil {
			t.Fatal(err)
		}
		row.Home = "other"
		if err := store.UpdateFolder(t.Context(), row); err != nil {
			t.Fatal(err)
		}
	}
	for name, do := range map[string]func(ctx context.Context) error{
		"remove":  func(ctx context.Context) error { return fo.Remove(ctx, "p", "far", "me") },
		"restore": func(ctx context.Context) error { _, err := fo.Restore(ctx, "p", "trashed", ""); return err },
		"purge":   func(ctx context.Context) error { return fo.Purge(ctx, "p", "trashed") },
	} {
		synctest.Test(t, func(t *testing.T) {
			home := silentHome{make(chan string)}
			fo.Settings.Box, fo.Settings.Elsewhere = "here", home
			began, done := time.Now(), make(chan error)
			go func() { done <- do(t.Context()) }()
			if what := <-home.taken; what != name {
				t.Errorf("%s is asked to %s", name, what)
			}
			if _, err := fo.Create(t.Context(), Spec{Name: "near-" + name, Project: "p"}); err != nil {
				t.Errorf("while it is waited for: %v", err)
			}
			if err := <-done; !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != elsewherePatience {
				t.Errorf("%s: %v after %s", name, err, time.Since(began))
			}
		})
	}
}
