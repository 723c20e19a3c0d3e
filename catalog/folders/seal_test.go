package folders

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func seal(t *testing.T, fo *Keeper, name, text string) Folder {
	t.Helper()
	f, err := fo.Seal(t.Context(), Spec{Name: name, Project: "p", CreatedBy: "me"}, int64(len(text)), func(_ context.Context, root *os.Root) error {
		return root.WriteFile("weights", []byte(text), 0o444)
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestSealed: nobody writes into a sealed folder, shares, renames or removes it; its clone is its maker's own.
func TestSealed(t *testing.T) {
	fo, _, _ := newFolders(t)
	f := seal(t, fo, "qwen-r1", "abc")
	if !f.Sealed || f.Usage != UsageModel {
		t.Errorf("%+v", f)
	}
	who := Who{Person: "me", Project: "p"}
	for _, want := range []Permission{ReadWrite, WriteDelete, Owner} {
		_, err := fo.Reach(t.Context(), who, "qwen-r1", want)
		wantError(t, err, ErrDenied, "palisade folder clone qwen-r1 NAME")
	}
	r, err := fo.Reach(t.Context(), who, "qwen-r1", ReadOnly)
	if err != nil || r.Permission != ReadOnly {
		t.Errorf("%q, %v", r.Permission, err)
	}
	clone, _, err := fo.Clone(t.Context(), f, Spec{Name: "mine", Project: "p"}, nil)
	if err != nil || clone.Sealed {
		t.Fatalf("%+v, %v", clone, err)
	}
	if info, err := os.Stat(filepath.Join(clone.Path, "weights")); err != nil || info.Mode().Perm() != openFile|0o444 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if r, err := fo.Reach(t.Context(), who, "mine", Owner); err != nil || r.Permission != Owner {
		t.Error(r.Permission, err)
	}
	if err := fo.Discard(t.Context(), "p", f.ID); err != nil {
		t.Error(err)
	}
	if found := places(t, fo); len(found) != 1 {
		t.Errorf("left: %v", found)
	}
}

// TestSealFails: of a folder that could not be filled, or has no room, nothing is left.
func TestSealFails(t *testing.T) {
	fo, store, _ := newFolders(t)
	gone := errors.New("a blob is gone")
	_, err := fo.Seal(t.Context(), Spec{Name: "a", Project: "p"}, 1, func(_ context.Context, root *os.Root) error {
		return errors.Join(root.WriteFile("half", nil, 0o444), gone)
	})
	if !errors.Is(err, gone) || !strings.Contains(err.Error(), "making folder a") {
		t.Error(err)
	}
	store.fail = errors.New("no store")
	_, err = fo.Seal(t.Context(), Spec{Name: "a", Project: "p"}, 1, func(context.Context, *os.Root) error { return nil })
	if !errors.Is(err, store.fail) {
		t.Error(err)
	}
	store.fail = nil
	fo.Settings.Quotas = map[string]int64{"p": 10}
	_, err = fo.Seal(t.Context(), Spec{Name: "a", Project: "p"}, 11, func(context.Context, *os.Root) error { return errors.New("filled") })
	wantError(t, err, ErrQuota, "")
	if found := places(t, fo); len(found) != 0 {
		t.Errorf("left: %v", found)
	}
	seal(t, fo, "a", "abc")
	_, err = fo.Seal(t.Context(), Spec{Name: "a", Project: "p"}, 1, nil)
	wantError(t, err, ErrExists, "choose another name")
}
