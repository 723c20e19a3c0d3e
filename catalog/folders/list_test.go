package folders

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/quick"
	"time"
)

func aFolder(t testing.TB) (*Keeper, Folder) {
	fo := New(&rows{}, t.TempDir(), func(string) (string, bool) { return "", false })
	f, err := fo.Create(t.Context(), Spec{Name: "data", Project: "default"})
	if err != nil {
		t.Fatal(err)
	}
	return fo, f
}

func names(entries []Entry) string {
	var out []string
	for _, e := range entries {
		out = append(out, e.Name)
	}
	return strings.Join(out, " ")
}

func TestDirectory(t *testing.T) {
	fo, f := aFolder(t)
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for i, name := range []string{"part-10", "part-2", "b", "A"} {
		path := filepath.Join(f.Path, name)
		if err := errors.Join(os.WriteFile(path, make([]byte, 10-i), 0o600), os.Chtimes(path, at, at.Add(time.Duration(i)*time.Hour))); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Mkdir(filepath.Join(f.Path, "z"), 0o700), os.Mkdir(filepath.Join(f.Path, partsDir), 0o700),
		os.Symlink("z", filepath.Join(f.Path, "to-z")), os.Symlink("nowhere", filepath.Join(f.Path, "lost")), os.Symlink("/etc", filepath.Join(f.Path, "out"))); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		q    ListQuery
		want string
	}{
		{ListQuery{Limit: 20}, "to-z z A b lost out part-2 part-10"},
		{ListQuery{Limit: 20, Reverse: true}, "z to-z part-10 part-2 out lost b A"},
		{ListQuery{Limit: 2, Offset: 3}, "b lost"},
		{ListQuery{Limit: 2, Offset: 30}, ""},
		{ListQuery{Limit: 20, Match: "PART"}, "part-2 part-10"},
		{ListQuery{Limit: 20, Match: "part", Order: OrderSize}, "part-2 part-10"},
		{ListQuery{Limit: 20, Match: "part", Order: OrderTime}, "part-10 part-2"},
		{ListQuery{Limit: 20, Match: "part", Order: OrderTime, Reverse: true}, "part-2 part-10"},
	} {
		got, err := fo.Directory(f, "", c.q)
		if err != nil || names(got.Entries) != c.want {
			t.Errorf("%+v: %s, %v; want %s", c.q, names(got.Entries), err, c.want)
		}
		if c.q.Match == "" && (got.Directories != 2 || got.Files != 6) {
			t.Errorf("%+v", got)
		}
	}
	for _, c := range []struct {
		dir  string
		want error
	}{{"b", ErrInvalid}, {"nothing", ErrNotFound}, {"../x", ErrInvalid}, {partsDir, ErrInvalid}, {"out", ErrInvalid}} {
		if _, err := fo.Directory(f, c.dir, ListQuery{Limit: 1}); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.dir, err)
		}
	}
}

// An order that is none would have the sort lose entries.
func TestByNameIsAnOrder(t *testing.T) {
	law := func(a, b, c string) bool {
		all := []string{a, b, c, a + "1", a + "01", b + "10"}
		slices.SortFunc(all, byName)
		for i := range all {
			for j := i + 1; j < len(all); j++ {
				if byName(all[i], all[j]) > 0 || byName(all[i], all[j]) != -byName(all[j], all[i]) {
					return false
				}
			}
		}
		return byName(a, a) == 0
	}
	if err := quick.Check(law, nil); err != nil {
		t.Error(err)
	}
}

// Of two who have seen the same file, one is refused.
func TestWriteOnlyWhatWasSeen(t *testing.T) {
	fo, f := aFolder(t)
	write := func(text string, v *Version) error {
		_, err := fo.Write(t.Context(), f, "x", Content{Reader: strings.NewReader(text), Size: int64(len(text)), Replaces: v})
		return err
	}
	if err := write("one", &Version{Modified: time.Now(), Size: 3}); !errors.Is(err, ErrChanged) {
		t.Error(err)
	}
	if err := write("one", &Version{}); err != nil {
		t.Fatal(err)
	}
	if err := write("two", &Version{}); !errors.Is(err, ErrChanged) {
		t.Error(err)
	}
	info, err := os.Stat(filepath.Join(f.Path, "x"))
	if err != nil {
		t.Fatal(err)
	}
	seen := &Version{Modified: info.ModTime(), Size: info.Size()}
	done := make(chan error)
	for i := range 4 {
		go func() { done <- write(fmt.Sprint("from ", i), seen) }()
	}
	won := 0
	for range 4 {
		if err := <-done; err == nil {
			won++
		} else if !errors.Is(err, ErrChanged) {
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d of 4 have written", won)
	}
}

func BenchmarkDirectory100000(b *testing.B) {
	fo, f := aFolder(b)
	for i := range 100_000 {
		if err := os.WriteFile(filepath.Join(f.Path, fmt.Sprintf("part-%06d.bin", i)), nil, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	for _, o := range []ListOrder{OrderName, OrderSize} {
		b.Run(string(o), func(b *testing.B) {
			for b.Loop() {
				if got, err := fo.Directory(f, "", ListQuery{Order: o, Limit: 100, Offset: 50_000}); err != nil || len(got.Entries) != 100 {
					b.Fatal(len(got.Entries), err)
				}
			}
		})
	}
}

// TestFirst: the first of many are those that sorting all of them gives.
func TestFirst(t *testing.T) {
	same := func(sizes []uint8, n uint8) bool {
		var all []Entry
		for i, size := range sizes {
			all = append(all, Entry{Name: fmt.Sprint("f", i), Size: int64(size), Dir: size%5 == 0})
		}
		by := order(ListQuery{Order: OrderSize, Reverse: len(sizes)%2 == 0})
		want := slices.Clone(all)
		slices.SortFunc(want, by)
		most := min(int(n), len(all))
		return slices.Equal(first(all, most, by), want[:most])
	}
	if err := quick.Check(same, &quick.Config{MaxCount: 500}); err != nil {
		t.Error(err)
	}
	for _, n := range []uint8{0, 1, 7} {
		if sizes := make([]uint8, 500); !same(sizes, n) {
			t.Error(n)
		}
	}
}
