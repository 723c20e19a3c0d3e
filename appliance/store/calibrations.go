package store

import (
	"context"

	"github.com/palisade-run/palisade/autoscaler/calibrate"
)

// SaveCalibration implements calibrate.Store.
func (s *Store) SaveCalibration(ctx context.Context, c calibrate.Calibration) error {
	return s.write(ctx, "saving a calibration", func(ctx context.Context, t *tx) error {
		if _, err := t.exec(ctx, `INSERT INTO calibrations (service_id, revision, device, at, body) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (service_id, revision, device) DO UPDATE SET at = excluded.at, body = excluded.body`,
			c.ServiceID, c.Revision, c.Device, c.At, asJSON{c}); err != nil {
			return err
		}
		_, err := t.exec(ctx, "DELETE FROM calibrations WHERE at < (SELECT at FROM calibrations ORDER BY at DESC LIMIT 1 OFFSET $1)", calibrate.CalibrationsKept-1)
		return err
	})
}

// Calibrations implements calibrate.Store. One that an older or a newer version wrote is read as far as this one knows its
// fields.
func (s *Store) Calibrations(ctx context.Context) ([]calibrate.Calibration, error) {
	return list(ctx, s, statement{op: "listing calibrations", sql: "SELECT body FROM calibrations ORDER BY at, service_id, revision, device"},
		func(row scanner) (calibrate.Calibration, error) {
			var c calibrate.Calibration
			err := row.Scan(intoJSON{&c})
			return c, err
		})
}
