package store_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/appliance/store"
	"github.com/palisade-run/palisade/training/pipeline"
	"github.com/palisade-run/palisade/training/pipeline/keeper"
)

var _ keeper.Store = (*store.Store)(nil)

// Every field of a pipeline and of a job comes back.
func TestPipelinesAreKept(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store.Store) {
		full, bare := filled[keeper.Kept](), keeper.Kept{Project: "default", Name: awkward}
		must(t, s.SavePipeline(t.Context(), full))
		must(t, s.SavePipeline(t.Context(), bare))
		check := func(wantKept []keeper.Kept, wantJobs []pipeline.Job) {
			t.Helper()
			kept, err := s.Pipelines(t.Context())
			must(t, err)
			jobs, err := s.Jobs(t.Context())
			must(t, err)
			if d := cmp.Diff(wantKept, kept) + cmp.Diff(wantJobs, jobs); d != "" {
				t.Errorf("(-saved +read):\n%s", d)
			}
		}
		check([]keeper.Kept{full, bare}, nil)

		job, second := filled[pipeline.Job](), filled[pipeline.Job]()
		job.Project, job.Pipeline = bare.Project, bare.Name
		second.Project, second.Pipeline, second.ID, second.Number = bare.Project, bare.Name, "job-2", job.Number+1
		second.State = pipeline.State{Status: pipeline.StatusQueued, Reason: awkward}
		bare.LastJob = 2
		must(t, s.AddJob(t.Context(), job, bare))
		must(t, s.AddJob(t.Context(), job, bare)) // the answer to the first may have been lost
		must(t, s.AddJob(t.Context(), second, bare))
		check([]keeper.Kept{full, bare}, []pipeline.Job{job, second})

		second.State = filled[pipeline.State]()
		must(t, s.SaveJob(t.Context(), second.ID, second.State))
		check([]keeper.Kept{full, bare}, []pipeline.Job{job, second})
		must(t, s.DeleteJob(t.Context(), job.ID))
		if err := s.SaveJob(t.Context(), job.ID, job.State); !errors.Is(err, pipeline.ErrNotFound) {
			t.Errorf("a job that is gone: %v", err)
		}
		check([]keeper.Kept{full, bare}, []pipeline.Job{second})
		must(t, s.DeletePipeline(t.Context(), bare.Project, bare.Name))
		must(t, s.DeletePipeline(t.Context(), bare.Project, bare.Name))
		check([]keeper.Kept{full}, nil)
	})
}
