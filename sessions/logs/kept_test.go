package logs

import (
	"context"
	"io"
	"slices"
	"strings"
	"testing"
)

func TestKept(t *testing.T) {
	k := NewKept(t.TempDir() + "/kept")
	if runs, err := k.Runs("ses-1"); err != nil || len(runs) != 0 {
		t.Errorf("%v %v", runs, err)
	}
	for run := range 12 {
		for range 2 { // a daemon that was killed in between does it again
			if err := k.Keep(t.Context(), "ses-1", run, strings.NewReader(strings.Repeat("x", run))); err != nil {
				t.Fatal(err)
			}
		}
	}
	runs, err := k.Runs("ses-1")
	if want := []int{2, 3, 4, 5, 6, 7, 8, 9, 10, 11}; err != nil || !slices.Equal(runs, want) {
		t.Errorf("%v %v, want %v", runs, err, want)
	}
	r, err := k.Open("ses-1", 11)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if text, err := io.ReadAll(r); err != nil || string(text) != "xxxxxxxxxxx" {
		t.Errorf("%q %v", text, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := k.Keep(ended, "ses-1", 12, strings.NewReader("y")); err == nil {
		t.Error("it was kept after its time")
	}
	if runs, _ := k.Runs("ses-1"); slices.Contains(runs, 12) {
		t.Error("half a log is kept")
	}
	for _, bad := range []string{"../x", "", ".", "a/b", "/etc"} {
		if err := k.Keep(t.Context(), bad, 0, strings.NewReader("y")); err == nil {
			t.Errorf("%q was kept", bad)
		}
	}
	if err := k.Forget("ses-1"); err != nil {
		t.Fatal(err)
	}
	if runs, err := k.Runs("ses-1"); err != nil || len(runs) != 0 {
		t.Errorf("%v %v", runs, err)
	}
}

// TestKeptIsTheEnd: of a long log its end is kept.
func TestKeptIsTheEnd(t *testing.T) {
	k := NewKept(t.TempDir())
	if err := k.Keep(t.Context(), "ses-1", 0, io.MultiReader(strings.NewReader(strings.Repeat("x", keptBytes)), strings.NewReader("why it failed"))); err != nil {
		t.Fatal(err)
	}
	r, err := k.Open("ses-1", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if text, err := io.ReadAll(r); err != nil || len(text) != keptBytes || !strings.HasSuffix(string(text), "why it failed") {
		t.Errorf("%d bytes, %v", len(text), err)
	}
	if runs, err := k.Runs("ses-1"); err != nil || !slices.Equal(runs, []int{0}) {
		t.Errorf("%v %v", runs, err)
	}
}
