package store_test

import (
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/appliance/store"
	"github.com/palisade-run/palisade/catalog/folders"
)

// taken is all that a snapshot has.
type taken struct {
	version int64
	sums    []store.Rows
	rows    map[string][][]any
}

func take(t *testing.T, dsn string) taken {
	t.Helper()
	s, err := store.TakeSnapshot(t.Context(), dsn)
	must(t, err)
	defer s.Close()
	return takenOf(t, s)
}

func takenOf(t *testing.T, s *store.Snapshot) taken {
	t.Helper()
	out := taken{version: s.Version(), rows: map[string][][]any{}}
	for _, name := range s.Tables() {
		sum, err := s.Each(t.Context(), name, func(row []any) error {
			out.rows[name] = append(out.rows[name], slices.Clone(row))
			return nil
		})
		must(t, err)
		out.sums = append(out.sums, sum)
	}
	return out
}

// put fills the tables of a refill.
func (k taken) put(t *testing.T, r *store.Refill) {
	t.Helper()
	for _, sum := range k.sums {
		rows := k.rows[sum.Table]
		must(t, r.Table(t.Context(), sum.Table, sum.Columns, func() ([]any, error) {
			if len(rows) == 0 {
				return nil, io.EOF
			}
			row := slices.Clone(rows[0])
			rows = rows[1:]
			return row, nil
		}))
	}
}

func refill(t *testing.T, dsn string, from taken) {
	t.Helper()
	r, err := store.BeginRefill(t.Context(), dsn, from.version, "of a test", nil)
	must(t, err)
	defer r.Close()
	from.put(t, r)
	must(t, r.Keep(t.Context(), from.sums))
	must(t, r.Finish(t.Context()))
}

// TestSnapshotAndRefill takes rows of every table with odd values through all four ways between the two kinds of database.
func TestSnapshotAndRefill(t *testing.T) {
	first := databases["sqlite"](t)
	open(t, first).Close()
	fillTables(t, first, 12)
	want := take(t, first)
	for from, fresh := range databases {
		for to, freshToo := range databases {
			t.Run(from+" to "+to, func(t *testing.T) {
				a, b := fresh(t), freshToo(t)
				refill(t, a, want)
				refill(t, b, take(t, a))
				if d := gocmp.Diff(want.sums, take(t, b).sums); d != "" {
					t.Errorf("(-want +got):\n%s", d)
				}
			})
		}
	}
}

// TestASnapshotStays: what is written after it began is not in it, and it holds nobody up.
func TestASnapshotStays(t *testing.T) {
	onBoth(t, func(t *testing.T, dsn string) {
		s := open(t, dsn)
		must(t, s.SaveFolder(t.Context(), folders.Folder{ID: "fld-1", Name: "one", Project: "default"}))
		snap, err := store.TakeSnapshot(t.Context(), dsn)
		must(t, err)
		defer snap.Close()
		must(t, s.SaveFolder(t.Context(), folders.Folder{ID: "fld-2", Name: "two", Project: "default"}))
		must(t, s.DeleteFolder(t.Context(), "fld-1"))
		rows := takenOf(t, snap).rows["folders"]
		if len(rows) != 1 || rows[0][0] != "fld-1" {
			t.Errorf("%v", rows)
		}
	})
}

func TestRefillRefuses(t *testing.T) {
	onBoth(t, func(t *testing.T, dsn string) {
		from := databases["sqlite"](t)
		open(t, from).Close()
		fillTables(t, from, 3)
		want := take(t, from)
		if _, err := store.BeginRefill(t.Context(), dsn, want.version+1, "of a test", nil); !errors.Is(err, store.ErrNewerData) {
			t.Errorf("a newer schema: %v", err)
		}
		// Broken off: nobody takes it for all there is, and it can be begun again.
		r, err := store.BeginRefill(t.Context(), dsn, want.version, "of a test", nil)
		must(t, err)
		want.put(t, r)
		r.Close()
		_, err = store.Open(t.Context(), store.Options{DSN: dsn})
		half, is := errors.AsType[*store.Error](err)
		if !is || !errors.Is(err, store.ErrHalf) || !strings.Contains(half.Hint(), "palisade backup restore") {
			t.Errorf("half of it was opened: %v", err)
		}
		if _, err := store.TakeSnapshot(t.Context(), dsn); !errors.Is(err, store.ErrHalf) {
			t.Errorf("half of it was read: %v", err)
		}
		// Another row than is said.
		r, err = store.BeginRefill(t.Context(), dsn, want.version, "of a test", nil)
		must(t, err)
		want.put(t, r)
		other := slices.Clone(want.sums)
		other[2].SHA256 = other[1].SHA256
		if err := r.Keep(t.Context(), other); !errors.Is(err, store.ErrDifferent) {
			t.Errorf("%v", err)
		}
		r.Close()
		refill(t, dsn, want)
		for range 2 { // it may have been done before
			must(t, store.FinishRefill(t.Context(), dsn, "of a test"))
		}
		if err := store.FinishRefill(t.Context(), dsn, "of another"); !errors.Is(err, store.ErrNotEmpty) {
			t.Errorf("another's: %v", err)
		}
		open(t, dsn).Close()
		if err := store.FinishRefill(t.Context(), dsn, "of a test"); !errors.Is(err, store.ErrNotEmpty) {
			t.Errorf("one that is used: %v", err)
		}
		if _, err := store.BeginRefill(t.Context(), dsn, want.version, "of a test", nil); !errors.Is(err, store.ErrNotEmpty) {
			t.Errorf("a full one: %v", err)
		}
	})
}

func TestRefillRelocates(t *testing.T) {
	onBoth(t, func(t *testing.T, dsn string) {
		from := databases["sqlite"](t)
		s := open(t, from)
		for id, path := range map[string]string{"fld-1": "/old/é/folders/fld-1", "fld-2": "/old/écart/x", "fld-3": "/data"} {
			must(t, s.SaveFolder(t.Context(), folders.Folder{ID: id, Name: id, Project: "default", Path: path}))
		}
		s.Close()
		want := take(t, from)
		r, err := store.BeginRefill(t.Context(), dsn, want.version, "of a test", nil)
		must(t, err)
		defer r.Close()
		want.put(t, r)
		must(t, r.Keep(t.Context(), want.sums))
		must(t, r.Relocate(t.Context(), "/old/é", "/new"))
		must(t, r.Finish(t.Context()))
		r.Close()
		got := column[string](t, dsn, "SELECT path FROM folders ORDER BY id")
		if !slices.Equal(got, []string{"/new/folders/fld-1", "/old/écart/x", "/data"}) {
			t.Errorf("%q", got)
		}
	})
}

// TestUnfitForRefill: a row that PostgreSQL cannot hold is named.
func TestUnfitForRefill(t *testing.T) {
	from := "sqlite:" + filepath.Join(t.TempDir(), "x.db")
	s := open(t, from)
	must(t, s.SaveFolder(t.Context(), folders.Folder{ID: "fld-1", Name: "one", Project: "default"}))
	s.Close()
	_, err := raw(t, from).Exec("UPDATE folders SET name = 'a' || char(0) || 'b'")
	must(t, err)
	want := take(t, from)
	r, err := store.BeginRefill(t.Context(), server.Database(t), want.version, "of a test", nil)
	must(t, err)
	defer r.Close()
	rows := want.rows["folders"]
	err = r.Table(t.Context(), "folders", columnsIn(want, "folders"), func() ([]any, error) { return rows[0], nil })
	if !errors.Is(err, store.ErrUnfit) || !bytes.Contains([]byte(err.Error()), []byte("folders, row id=fld-1, column name")) {
		t.Errorf("%v", err)
	}
}

func columnsIn(k taken, table string) []string {
	for _, s := range k.sums {
		if s.Table == table {
			return s.Columns
		}
	}
	return nil
}
