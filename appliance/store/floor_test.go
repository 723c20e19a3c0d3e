package store_test

import (
	"errors"
	"testing"

	"github.com/palisade-run/palisade/appliance/store"
)

// TestFloors: data of a newer version is used where whoever wrote it says of that very version that an older program can, and else refused.
func TestFloors(t *testing.T) {
	known, err := store.KnownSchema()
	must(t, err)
	for _, c := range []struct {
		name           string
		floor, version int64
		good           bool
	}{
		{"only expanded", known, known + 2, true},
		{"from before this program", 27, known + 2, true},
		{"contracted", known + 1, known + 2, false},
		{"said of an earlier version", known, known + 1, false},
		{"on its way to a newer version", known, known + 3, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, dsn string) {
				open(t, dsn).Close()
				before := open(t, dsn)
				must(t, before.Usable(t.Context()))
				db := raw(t, dsn)
				_, err := db.Exec("INSERT INTO palisade_schema (version_id, is_applied) VALUES ($1, TRUE)", known+2)
				must(t, err)
				_, err = db.Exec("UPDATE palisade_floor SET floor = $1, version = $2", c.floor, c.version)
				must(t, err)
				if err := before.Usable(t.Context()); c.good != (err == nil) || !c.good && !errors.Is(err, store.ErrNewerData) {
					t.Errorf("one that works on it: %v", err)
				}
				before.Close()
				s, err := store.Open(t.Context(), store.Options{DSN: dsn})
				if err == nil {
					s.Close()
				}
				if c.good != (err == nil) || !c.good && !errors.Is(err, store.ErrNewerData) {
					t.Error(err)
				}
				// What is not known would be left out.
				if _, err := store.TakeSnapshot(t.Context(), dsn); !errors.Is(err, store.ErrNewerData) {
					t.Errorf("a snapshot: %v", err)
				}
			})
		})
	}
}

// TestTheNewestFloorStays: of two programs that start at once, the one that knows less does not take back what the other says.
func TestTheNewestFloorStays(t *testing.T) {
	known, err := store.KnownSchema()
	must(t, err)
	dsn, _ := filledAt(t, known-1)
	db := raw(t, dsn)
	_, err = db.Exec("UPDATE palisade_floor SET floor = $1, version = $2", known, known+1)
	must(t, err)
	open(t, dsn).Close()
	var version int64
	must(t, db.QueryRow("SELECT version FROM palisade_floor").Scan(&version))
	if version != known+1 {
		t.Errorf("it is said of version %d", version)
	}
}
