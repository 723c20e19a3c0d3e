package store

import (
	"context"

	"github.com/palisade-run/palisade/sessions"
)

// loadTimesInAll bounds what recipes of long ago leave behind. All are gone through for that, so it is done for one of loadTimesLook.
const (
	loadTimesInAll = 10_000
	loadTimesLook  = 64
)

const loadTimeColumns = "key, device, at, took, image, folder, variant"

// AddLoadTime implements sessions.LoadTimeStore.
func (s *Store) AddLoadTime(ctx context.Context, l sessions.LoadTime) error {
	look := s.loadTimes.Add(1)%loadTimesLook == 1
	return s.writeTogether(ctx, "saving a load time", func(ctx context.Context, t *tx) error {
		if _, err := t.exec(ctx, `INSERT INTO load_times (`+loadTimeColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT (key, device, at) DO UPDATE SET took = excluded.took, image = excluded.image,
			folder = excluded.folder, variant = excluded.variant`,
			l.Key, l.Device, l.At, int64(l.Took), l.Image, l.Folder, l.Variant); err != nil {
			return err
		}
		if _, err := t.exec(ctx, `DELETE FROM load_times WHERE key = $1 AND device = $2 AND at <
			(SELECT at FROM load_times WHERE key = $1 AND device = $2 ORDER BY at DESC LIMIT 1 OFFSET $3)`,
			l.Key, l.Device, sessions.LoadTimesKept-1); err != nil {
			return err
		}
		if !look {
			return nil
		}
		_, err := t.exec(ctx, "DELETE FROM load_times WHERE at < (SELECT at FROM load_times ORDER BY at DESC LIMIT 1 OFFSET $1)", loadTimesInAll-1)
		return err
	})
}

// LoadTimes implements sessions.LoadTimeStore.
func (s *Store) LoadTimes(ctx context.Context) ([]sessions.LoadTime, error) {
	return list(ctx, s, statement{op: "listing load times", sql: "SELECT " + loadTimeColumns + " FROM load_times ORDER BY at, key, device"},
		func(row scanner) (sessions.LoadTime, error) {
			var l sessions.LoadTime
			err := row.Scan(&l.Key, &l.Device, intoTime{&l.At}, &l.Took, &l.Image, &l.Folder, &l.Variant)
			return l, err
		})
}
