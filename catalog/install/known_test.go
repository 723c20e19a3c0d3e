package install

import (
	"testing"
	"time"

	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/recipe"
)

// downloadedAt is an install whose download has ended so many minutes after noon.
func downloadedAt(minute int, took time.Duration, bytes int64, scheme, status string) State {
	end := time.Date(2026, 11, 22, 12, minute, 0, 0, time.UTC)
	return State{
		Steps:   []StepState{{Step: StepPlan, Status: Finished}, {Step: StepDownload, Status: status, StartedAt: end.Add(-took), EndedAt: end}},
		Listing: &fetch.Listing{Ref: fetch.Ref{Scheme: scheme}}, Fetched: bytes,
	}
}

func TestDownloads(t *testing.T) {
	for _, row := range []struct {
		name string
		all  []State
		rate float64
		of   int
	}{
		{"none", nil, 0, 0},
		{"one", []State{downloadedAt(1, 10*time.Second, 1e9, "hf", Finished)}, 1e8, 1},
		{"nothing that says anything", []State{
			downloadedAt(1, time.Second, 1e9, "file", Finished), downloadedAt(1, time.Second, 1e9, "made", Finished), downloadedAt(1, time.Second, 1e6, "hf", Finished),
			downloadedAt(1, 0, 1e9, "hf", Finished), downloadedAt(1, time.Second, 1e9, "hf", Broken), {Fetched: 1e9}, {Steps: []StepState{{Step: StepDownload, Status: Finished}}, Fetched: 1e9},
		}, 0, 0},
		{"the newest three, by their bytes", []State{
			downloadedAt(4, 10*time.Second, 1e9, "hf", Finished), downloadedAt(1, time.Second, 9e9, "hf", Finished),
			downloadedAt(2, 20*time.Second, 1e9, "s3", Finished), downloadedAt(3, 70*time.Second, 8e9, "oci", Finished),
		}, 1e8, 3},
	} {
		if rate, of := downloads(row.all); rate != row.rate || of != row.of {
			t.Errorf("%s: %g of %d, want %g of %d", row.name, rate, of, row.rate, row.of)
		}
	}
}

// What models have is here, and what an install that failed has left; a cancelled one leaves nothing.
func TestHere(t *testing.T) {
	r := recipe.Recipe{Sources: []recipe.Source{{Name: "a", From: "hf:o/n", Files: []string{"*Q8*"}}, {Name: "b", From: "hf:o/n", Files: []string{"*Q4*"}}}}
	revision := func(source, folder string, bytes int64) Revision {
		return Revision{Recipe: r, Choice: Choice{Source: source}, Folder: folder, Files: []File{{Name: "f", Bytes: bytes}}}
	}
	m := &Manager{
		models: map[string]*Model{"m": {ModelState: ModelState{Revisions: []Revision{revision("a", "fld-1", 8), revision("a", "fld-2", 7), revision("b", "", 4), revision("", "", 1)}}}},
		jobs: map[string]*job{
			"failed":    {Install: Install{State: State{Status: Failed, Kept: 3, KeptOf: r.Sources[1].Where()}}},
			"cancelled": {Install: Install{State: State{Status: Cancelled, Kept: 5, KeptOf: r.Sources[1].Where()}}},
		},
	}
	got := m.Here()
	if len(got) != 2 || got[r.Sources[0].Where()] != 8 || got[r.Sources[1].Where()] != 3 {
		t.Errorf("%v", got)
	}
}
