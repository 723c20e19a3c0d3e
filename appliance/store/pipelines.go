package store

import (
	"context"
	"fmt"

	"github.com/palisade-run/palisade/training/pipeline"
	"github.com/palisade-run/palisade/training/pipeline/keeper"
)

// Pipelines implements keeper.Store, by project and name.
func (s *Store) Pipelines(ctx context.Context) ([]keeper.Kept, error) {
	return list(ctx, s, statement{op: "listing pipelines",
		sql: "SELECT project, name, source, applied_by, applied_at, last_job, scheduled FROM pipelines ORDER BY project, name"},
		func(row scanner) (keeper.Kept, error) {
			var k keeper.Kept
			err := row.Scan(&k.Project, &k.Name, &k.Source, &k.AppliedBy, intoTime{&k.AppliedAt}, &k.LastJob, intoTime{&k.Scheduled})
			return k, err
		})
}

// SavePipeline implements keeper.Store.
func (s *Store) SavePipeline(ctx context.Context, k keeper.Kept) error {
	return s.write(ctx, "saving pipeline "+k.Name, func(ctx context.Context, t *tx) error { return t.savePipeline(ctx, k) })
}

func (t *tx) savePipeline(ctx context.Context, k keeper.Kept) error {
	_, err := t.exec(ctx, `INSERT INTO pipelines (project, name, source, applied_by, applied_at, last_job, scheduled)
		VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (project, name) DO UPDATE SET source = excluded.source, applied_by = excluded.applied_by,
		applied_at = excluded.applied_at, last_job = excluded.last_job, scheduled = excluded.scheduled`,
		k.Project, k.Name, k.Source, k.AppliedBy, k.AppliedAt, k.LastJob, k.Scheduled)
	return err
}

// DeletePipeline implements keeper.Store.
func (s *Store) DeletePipeline(ctx context.Context, project, name string) error {
	return s.write(ctx, "removing pipeline "+name, func(ctx context.Context, t *tx) error {
		if _, err := t.exec(ctx, "DELETE FROM pipeline_jobs WHERE project = $1 AND pipeline = $2", project, name); err != nil {
			return err
		}
		_, err := t.exec(ctx, "DELETE FROM pipelines WHERE project = $1 AND name = $2", project, name)
		return err
	})
}

// Jobs implements keeper.Store.
func (s *Store) Jobs(ctx context.Context) ([]pipeline.Job, error) {
	return list(ctx, s, statement{op: "listing jobs",
		sql: `SELECT id, project, pipeline, number, created_by, created_at, due_at, no_cache, source, parameters, plan, state
			FROM pipeline_jobs ORDER BY created_at, number, id`},
		func(row scanner) (pipeline.Job, error) {
			var j pipeline.Job
			err := row.Scan(&j.ID, &j.Project, &j.Pipeline, &j.Number, &j.CreatedBy, intoTime{&j.CreatedAt}, intoTime{&j.DueAt},
				&j.NoCache, &j.Source, intoJSON{&j.Parameters}, intoJSON{&j.Plan}, intoJSON{&j.State})
			return j, err
		})
}

// AddJob implements keeper.Store.
func (s *Store) AddJob(ctx context.Context, j pipeline.Job, k keeper.Kept) error {
	return s.write(ctx, "adding job "+j.ID, func(ctx context.Context, t *tx) error {
		if err := t.savePipeline(ctx, k); err != nil {
			return err
		}
		_, err := t.exec(ctx, `INSERT INTO pipeline_jobs (id, project, pipeline, number, created_by, created_at, due_at, no_cache, source,
			parameters, plan, state) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT (id) DO NOTHING`,
			j.ID, j.Project, j.Pipeline, j.Number, j.CreatedBy, j.CreatedAt, j.DueAt, j.NoCache, j.Source,
			asJSON{j.Parameters}, asJSON{j.Plan}, asJSON{j.State})
		return err
	})
}

// SaveJob implements keeper.Store. A job that is gone is pipeline.ErrNotFound.
func (s *Store) SaveJob(ctx context.Context, id string, state pipeline.State) error {
	return s.write(ctx, "saving job "+id, func(ctx context.Context, t *tx) error {
		n, err := t.exec(ctx, "UPDATE pipeline_jobs SET state = $2 WHERE id = $1", id, asJSON{state})
		if err == nil && n == 0 {
			err = fmt.Errorf("job %s %w", id, pipeline.ErrNotFound)
		}
		return err
	})
}

// DeleteJob implements keeper.Store.
func (s *Store) DeleteJob(ctx context.Context, id string) error {
	return s.write(ctx, "removing job "+id, func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, "DELETE FROM pipeline_jobs WHERE id = $1", id)
		return err
	})
}
