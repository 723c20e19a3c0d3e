package store

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/variants"
)

const sessionColumns = `id, name, project, type, created_by, created_at, service_id, revision, image, launch,
	mounts, limits, status, reason, result, exit, address, pid, started_at, healthy_at, unhealthy_since, ended_at, traffic_ratio,
	demand, claim, placed_at, waits, task`

// Sessions implements sessions.SessionStore. Sessions that run the same thing share its LaunchSpec, which
// is never changed once made: ten thousand rows would else take seconds and 100 MB to read.
func (s *Store) Sessions(ctx context.Context) ([]sessions.Session, error) {
	launches := map[string]variants.LaunchSpec{}
	return list(ctx, s, statement{op: "listing sessions",
		sql: "SELECT " + sessionColumns + " FROM sessions ORDER BY created_at, id"},
		func(row scanner) (sessions.Session, error) {
			var v sessions.Session
			err := row.Scan(&v.ID, &v.Name, &v.Project, &v.Type, &v.CreatedBy, intoTime{&v.CreatedAt}, &v.ServiceID,
				&v.Revision, &v.Image, intoShared[variants.LaunchSpec]{&v.Launch, launches}, intoJSON{&v.Mounts}, intoJSON{&v.Limits},
				&v.Status, &v.Reason, &v.Result, intoJSON{&v.Exit}, &v.Address, &v.PID, intoTime{&v.StartedAt},
				intoTime{&v.HealthyAt}, intoTime{&v.UnhealthySince}, intoTime{&v.EndedAt}, &v.TrafficRatio,
				intoJSON{&v.Demand}, intoJSON{&v.Claim}, intoTime{&v.PlacedAt}, intoJSON{&v.Waits}, intoJSON{&v.Task})
			return v, err
		})
}

// SaveSession implements sessions.SessionStore.
func (s *Store) SaveSession(ctx context.Context, v sessions.Session, changes ...sessions.Transition) error {
	changes = slices.Clone(changes)
	return s.writeTogether(ctx, "saving session "+v.ID, func(ctx context.Context, t *tx) error {
		if err := saveSession(ctx, t, v); err != nil {
			return err
		}
		for _, change := range changes {
			if err := addTransition(ctx, t, change); err != nil {
				return err
			}
		}
		return nil
	})
}

// AddSessions implements sessions.SessionStore. Where the answer to a commit was lost, it is repeated with the same rows.
func (s *Store) AddSessions(ctx context.Context, all []sessions.Session) error {
	all = slices.Clone(all)
	return s.writeTogether(ctx, "adding "+strconv.Itoa(len(all))+" sessions", func(ctx context.Context, t *tx) error {
		for _, v := range all {
			if err := saveSession(ctx, t, v); err != nil {
				return err
			}
			if err := addTransition(ctx, t, v.Recorded()); err != nil {
				return err
			}
		}
		return nil
	})
}

func saveSession(ctx context.Context, t *tx, v sessions.Session) error {
	_, err := t.exec(ctx, `INSERT INTO sessions (`+sessionColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28)
		ON CONFLICT (id) DO UPDATE SET name = excluded.name, project = excluded.project, type = excluded.type,
		created_by = excluded.created_by, created_at = excluded.created_at, service_id = excluded.service_id,
		revision = excluded.revision, image = excluded.image, launch = excluded.launch, mounts = excluded.mounts,
		limits = excluded.limits, status = excluded.status, reason = excluded.reason, result = excluded.result,
		exit = excluded.exit, address = excluded.address, pid = excluded.pid, started_at = excluded.started_at,
		healthy_at = excluded.healthy_at, unhealthy_since = excluded.unhealthy_since, ended_at = excluded.ended_at, traffic_ratio = excluded.traffic_ratio,
		demand = excluded.demand, claim = excluded.claim, placed_at = excluded.placed_at, waits = excluded.waits, task = excluded.task`,
		v.ID, v.Name, v.Project, string(v.Type), v.CreatedBy, v.CreatedAt, v.ServiceID, v.Revision, v.Image, asJSON{v.Launch},
		asJSON{v.Mounts}, asJSON{v.Limits}, string(v.Status), v.Reason, string(v.Result), asJSON{exitKept(v.Exit)},
		v.Address, v.PID, v.StartedAt, v.HealthyAt, v.UnhealthySince, v.EndedAt, v.TrafficRatio,
		asJSON{v.Demand}, asJSON{v.Claim}, v.PlacedAt, asJSON{v.Waits}, asJSON{v.Task})
	return err
}

// exitKept is e with its time as all others are kept.
func exitKept(e *sessions.Exit) *sessions.Exit {
	if e == nil {
		return nil
	}
	kept := *e
	kept.FinishedAt = e.FinishedAt.UTC().Truncate(time.Microsecond)
	return &kept
}

// addTransition numbers t after the last of its session. The session's row is locked by the save that
// came before in the same transaction, so no two get the same number. A transition that is there is not
// added again: the answer to its first save was lost, and its runner repeats it.
func addTransition(ctx context.Context, t *tx, change sessions.Transition) error {
	_, err := t.exec(ctx, `INSERT INTO transitions (session_id, seq, from_status, to_status, reason, at)
		SELECT $1, (SELECT COALESCE(MAX(seq), 0) + 1 FROM transitions WHERE session_id = $1), $2, $3, $4, $5
		WHERE NOT EXISTS (SELECT 1 FROM transitions WHERE session_id = $1 AND from_status = $2 AND to_status = $3 AND reason = $4 AND at = $5)`,
		change.SessionID, string(change.From), string(change.To), change.Reason, change.At)
	return err
}

// DeleteSession implements sessions.SessionStore. Deleting what is not there is no error.
func (s *Store) DeleteSession(ctx context.Context, id string) error {
	return s.writeTogether(ctx, "deleting session "+id, func(ctx context.Context, t *tx) error {
		if _, err := t.exec(ctx, "DELETE FROM sessions WHERE id = $1", id); err != nil {
			return err
		}
		_, err := t.exec(ctx, "DELETE FROM transitions WHERE session_id = $1", id)
		return err
	})
}

// Transitions implements sessions.SessionStore.
func (s *Store) Transitions(ctx context.Context, sessionID string) ([]sessions.Transition, error) {
	return list(ctx, s, statement{op: "listing transitions", args: []any{sessionID},
		sql: "SELECT session_id, from_status, to_status, reason, at FROM transitions WHERE session_id = $1 ORDER BY seq"},
		func(row scanner) (sessions.Transition, error) {
			var v sessions.Transition
			err := row.Scan(&v.SessionID, &v.From, &v.To, &v.Reason, intoTime{&v.At})
			return v, err
		})
}
