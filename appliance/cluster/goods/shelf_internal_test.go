package goods

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
)

// Of two who put the same together one wins, and nobody takes away what was given out.
func TestTwoPutTheSame(t *testing.T) {
	s, err := openShelf(t.TempDir(), nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	m := Manifest{Folder: "fld-1", Version: "1234", Dirs: []string{"d"}}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if dir, err := s.put(gone, m); !errors.Is(err, context.Canceled) || len(s.has()) > 0 {
		t.Errorf("who is wanted no more put %s: %v", dir, err)
	}
	first, err := s.put(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	was, err := os.Stat(filepath.Join(first, "d"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := s.put(t.Context(), m)
	if err != nil || second != first {
		t.Fatal(second, err)
	}
	if is, err := os.Stat(filepath.Join(first, "d")); err != nil || !os.SameFile(was, is) {
		t.Error("another tree is in its place", err)
	}
	if entries, err := os.ReadDir(s.dir); err != nil || len(entries) != 2 {
		t.Errorf("%v lie there, %v", entries, err)
	}
}
