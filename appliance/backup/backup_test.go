package backup_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/appliance/backup"
)

var at = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// odd are values that a row may have.
var odd = [][]any{
	{int64(math.MaxInt64), "", true, 0.1},
	{int64(math.MinInt64), "日本 🙂 \u2028 <&> \"\\", false, math.Inf(-1)},
	{nil, nil, nil, nil},
	{int64(0), "a\x00b\xff", true, 3.0},
	{int64(-1), strings.Repeat("x", 3<<20), true, 5e-324},
	{int64(9), "{\"base64\":\"eA==\"}\n", true, math.MaxFloat64},
}

// written is a backup with some of everything in it.
func written(t testing.TB, s backup.Seal) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := backup.NewWriter(&out, backup.Head{MadeAt: at, Version: "1.2.3", Schema: 27, Database: "sqlite"}, s)
	must(t, err)
	columns := []string{"id", "text", "truth", "real"}
	must(t, w.Table("things", columns, func(put func([]any) error) (string, error) {
		for _, row := range odd {
			must(t, put(row))
		}
		return "sum of things", nil
	}))
	must(t, w.Table("empty", columns, func(func([]any) error) (string, error) { return "", nil }))
	body := strings.Repeat("palisade ", 100000)
	for _, f := range []backup.File{
		{Name: "d", Mode: fs.ModeDir | 0o777, Time: at},
		{Name: "d/file", Mode: 0o640, Time: at, Size: int64(len(body)), Body: strings.NewReader(body), UID: 7},
		{Name: "d/link", Mode: fs.ModeSymlink | 0o777, Time: at, Link: "file"},
		{Name: "model", Mode: 0o444, Time: at, Size: 5, Blob: "abcd"},
		{Name: "short", Mode: 0o600, Time: at, Size: 10, Body: strings.NewReader("four")},
		{Name: "none", Mode: 0o600, Time: at},
	} {
		must(t, w.Put("data", f))
	}
	must(t, w.Put("folders", backup.File{Name: "x", Mode: 0o600, Time: at, Size: 3, Body: strings.NewReader("abcdef")}))
	_, err = w.Close([]backup.Model{{Name: "m", From: "hf:x/y"}})
	must(t, err)
	return out.Bytes()
}

func archive(raw []byte, keys backup.Keys) backup.Archive {
	return backup.Archive{File: bytes.NewReader(raw), Size: int64(len(raw)), Keys: keys}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// got is what a taker was given.
type got struct {
	rows  map[string][][]any
	files map[string]string
}

func (g *got) Table(_ context.Context, name string, _ []string, next func() ([]any, error)) error {
	for {
		row, err := next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		g.rows[name] = append(g.rows[name], row)
	}
}

func (g *got) File(_ context.Context, part string, f backup.File) error {
	text, err := io.ReadAll(f.Body)
	g.files[part+"/"+f.Name] = f.Mode.String() + " " + f.Link + f.Blob + string(text)
	return err
}

func key(t testing.TB) (secret string, s backup.Seal) {
	t.Helper()
	secret, public, err := backup.NewKey()
	must(t, err)
	return secret, backup.Seal{Recipients: []string{public}}
}

func TestThereAndBack(t *testing.T) {
	secret, to := key(t)
	for name, c := range map[string]struct {
		seal backup.Seal
		keys backup.Keys
	}{
		"key":        {to, backup.Keys{Secret: "# a comment\n" + secret + "\n"}},
		"passphrase": {backup.Seal{Passphrase: "correct horse", Work: 2}, backup.Keys{Passphrase: "correct horse"}},
	} {
		t.Run(name, func(t *testing.T) {
			raw := written(t, c.seal)
			g := &got{rows: map[string][][]any{}, files: map[string]string{}}
			h, m, err := backup.Read(t.Context(), archive(raw, c.keys), g, nil)
			must(t, err)
			if d := cmp.Diff(odd, g.rows["things"]); d != "" {
				t.Errorf("rows (-want +got):\n%s", d)
			}
			if d := cmp.Diff(map[string]string{
				"data/d": "drwxrwxrwx ", "data/d/file": "-rw-r----- " + strings.Repeat("palisade ", 100000), "data/d/link": "Lrwxrwxrwx file",
				"data/short": "-rw------- four\x00\x00\x00\x00\x00\x00", "data/none": "-rw------- ", "data/model": "-r--r--r-- abcd", "folders/x": "-rw------- abc",
			}, g.files); d != "" {
				t.Errorf("files (-want +got):\n%s", d)
			}
			if h.Version != "1.2.3" || h.Schema != 27 || !h.MadeAt.Equal(at) || len(m.Tables) != 2 || m.Tables[0].Rows != 6 || m.Tables[0].Sum != "sum of things" || len(m.Parts) != 2 || m.Parts[0].Files != 6 ||
				len(m.Models) != 1 || !cmp.Equal(m.Torn, []string{"data/short"}) {
				t.Errorf("%+v\n%+v", h, m)
			}
			if _, _, err := backup.Verify(t.Context(), bytes.NewReader(raw), int64(len(raw)), &c.keys, nil); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestEveryByteCounts: whatever is cut off, added or altered, and wherever, is seen without a key; and with one, where whoever altered it
// has written another checksum.
func TestEveryByteCounts(t *testing.T) {
	secret, to := key(t)
	raw := written(t, to)
	keys := &backup.Keys{Secret: secret}
	check := func(what string, b []byte, keys *backup.Keys) {
		t.Helper()
		_, _, err := backup.Verify(t.Context(), bytes.NewReader(b), int64(len(b)), keys, nil)
		if !errors.Is(err, backup.ErrBroken) && !errors.Is(err, backup.ErrNotBackup) && !errors.Is(err, backup.ErrNewer) {
			t.Errorf("%s: %v", what, err)
		}
	}
	step := max(1, len(raw)/200)
	for n := 0; n < len(raw); n += step {
		check("cut", raw[:n], nil)
		other := bytes.Clone(raw)
		other[n] ^= 1
		check("altered", other, nil)
	}
	check("added", append(bytes.Clone(raw), 'x'), nil)
	check("cut by one", raw[:len(raw)-1], nil)
	for _, n := range []int{20, 60, 400, 900, len(raw) / 2, len(raw) - 100} {
		other := bytes.Clone(raw)
		other[n] ^= 1
		if _, _, err := backup.Read(t.Context(), archive(other, *keys), nil, nil); err == nil {
			t.Errorf("byte %d was altered, and it was read", n)
		}
	}
}

func TestKeys(t *testing.T) {
	secret, to := key(t)
	other, _ := key(t)
	sealed, spoken := written(t, to), written(t, backup.Seal{Passphrase: "correct horse", Work: 2})
	for name, c := range map[string]struct {
		raw  []byte
		keys backup.Keys
		good bool
	}{
		"right":            {sealed, backup.Keys{Secret: other + "\n" + secret}, true},
		"another":          {sealed, backup.Keys{Secret: other}, false},
		"none":             {sealed, backup.Keys{Passphrase: "correct horse"}, false},
		"no key":           {sealed, backup.Keys{Secret: "hello"}, false},
		"right words":      {spoken, backup.Keys{Passphrase: "correct horse"}, true},
		"other words":      {spoken, backup.Keys{Passphrase: "Correct horse"}, false},
		"a key, not words": {spoken, backup.Keys{Secret: secret}, false},
	} {
		_, _, err := backup.Read(t.Context(), archive(c.raw, c.keys), nil, nil)
		if c.good != (err == nil) || !c.good && !errors.Is(err, backup.ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, s := range map[string]backup.Seal{
		"nothing": {}, "both": {Recipients: to.Recipients, Passphrase: "correct horse"}, "short": {Passphrase: "horse"}, "secret": {Recipients: []string{secret}}, "nonsense": {Recipients: []string{"age1x"}},
	} {
		if _, err := backup.NewWriter(io.Discard, backup.Head{}, s); !errors.Is(err, backup.ErrNoKey) && !errors.Is(err, backup.ErrSeal) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestShelf(t *testing.T) {
	_, to := key(t)
	s := backup.Shelf{Dir: filepath.Join(t.TempDir(), "backups")}
	if all, err := s.List(); err != nil || len(all) != 0 {
		t.Errorf("%v %v", all, err)
	}
	for i := range 5 {
		d, err := s.Begin("a1", at.Add(time.Duration(i)*time.Hour), 0)
		must(t, err)
		w, err := backup.NewWriter(d, backup.Head{MadeAt: at.Add(time.Duration(i) * time.Hour), Scheduled: i != 1, Appliance: "a1"}, to)
		must(t, err)
		_, err = w.Close(nil)
		must(t, err)
		if i == 4 {
			d.Drop()
			continue
		}
		must(t, d.Keep())
	}
	must(t, os.WriteFile(filepath.Join(s.Dir, "bad.backup"), []byte("hello"), 0o600))
	must(t, os.WriteFile(filepath.Join(s.Dir, "note.txt"), nil, 0o600))
	gone, err := s.Prune("a1", "palisade-20260301T150000.000Z-a1.backup", 2)
	if err != nil || !cmp.Equal(gone, []string{"palisade-20260301T120000.000Z-a1.backup"}) {
		t.Errorf("%v %v", gone, err)
	}
	var names []string
	all, err := s.List()
	must(t, err)
	for _, k := range all {
		names = append(names, k.Name)
		if (k.Err != nil) != (k.Name == "bad.backup") || k.Bytes == 0 {
			t.Errorf("%+v", k)
		}
	}
	if !cmp.Equal(names, []string{"palisade-20260301T150000.000Z-a1.backup", "palisade-20260301T140000.000Z-a1.backup", "palisade-20260301T130000.000Z-a1.backup", "bad.backup"}) {
		t.Errorf("%v", names)
	}
	info, err := os.Stat(filepath.Join(s.Dir, names[0]))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	for _, name := range []string{"../bad.backup", "", ".backup", "bad.backup/", "note.txt", "other.backup"} {
		if _, err := s.Find(name); !errors.Is(err, backup.ErrNotFound) {
			t.Errorf("%q: %v", name, err)
		}
		if err := s.Remove(name); !errors.Is(err, backup.ErrNotFound) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := s.Begin("a1", at, math.MaxInt64); !errors.Is(err, backup.ErrNoSpace) {
		t.Error(err)
	}
}

// TestOneShelfOfTwo: an appliance takes nothing away that is another's, made or being made, nor what it made just now.
func TestOneShelfOfTwo(t *testing.T) {
	_, to := key(t)
	s := backup.Shelf{Dir: t.TempDir()}
	begin := func(who string, when time.Time) *backup.Draft {
		t.Helper()
		d, err := s.Begin(who, when, 0)
		must(t, err)
		w, err := backup.NewWriter(d, backup.Head{MadeAt: when, Scheduled: true, Appliance: who}, to)
		must(t, err)
		_, err = w.Close(nil)
		must(t, err)
		return d
	}
	halves := []*backup.Draft{begin("prod", at), begin("test", at)} // one each is under way
	must(t, os.WriteFile(filepath.Join(s.Dir, "palisade-1-prod.backup.part"), nil, 0o600))
	must(t, os.WriteFile(filepath.Join(s.Dir, "fetched.backup.part"), nil, 0o600))
	for _, ahead := range []time.Duration{time.Hour, 2 * time.Hour, 1000 * time.Hour} { // the last by a clock that was wrong
		must(t, begin("prod", at.Add(ahead)).Keep())
		must(t, begin("test", at.Add(ahead)).Keep())
	}
	last := begin("prod", at.Add(3*time.Hour))
	must(t, last.Keep())
	gone, err := s.Prune("prod", last.Name, 2)
	must(t, err)
	if !cmp.Equal(gone, []string{"palisade-20260301T140000.000Z-prod.backup", "palisade-20260301T130000.000Z-prod.backup"}) {
		t.Errorf("gone: %v", gone)
	}
	for _, d := range halves {
		must(t, d.Keep())
	}
	var left []string
	entries, err := os.ReadDir(s.Dir)
	must(t, err)
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if len(left) != 8 || left[0] != "fetched.backup.part" {
		t.Errorf("left: %v", left)
	}
}

// TestNames: whatever name Put takes, Read gives back.
func TestNames(t *testing.T) {
	secret, to := key(t)
	names := []string{"caf\xe9.txt", "caf\xe9", "caf\xe9/x", "a\nb", "-", "a\\b", "...", " ", strings.Repeat("é/", 300) + "x", "a:b", "\x7f\x01", "caf\xe9/y \xff"}
	var out bytes.Buffer
	w, err := backup.NewWriter(&out, backup.Head{MadeAt: at}, to)
	must(t, err)
	for i, name := range names {
		f := backup.File{Name: name, Mode: 0o600, Time: at, Size: 1, Body: strings.NewReader("x")}
		switch i {
		case 1:
			f = backup.File{Name: name, Mode: fs.ModeDir | 0o700, Time: at}
		case 2:
			f = backup.File{Name: name, Mode: fs.ModeSymlink | 0o777, Time: at, Link: "\xff\xfe"}
		}
		must(t, w.Put("folders", f))
	}
	for _, name := range []string{"", ".", "..", "../x", "/x", "a/../b", "a//b", "a/", "./a", "a\x00b"} {
		if err := w.Put("folders", backup.File{Name: name, Mode: 0o600, Time: at}); err == nil {
			t.Errorf("%q was taken", name)
		}
	}
	if err := w.Put("folders/x", backup.File{Name: "x", Mode: 0o600, Time: at}); err == nil {
		t.Error("a part of such a name was taken")
	}
	_, err = w.Close(nil)
	must(t, err)
	g := &got{rows: map[string][][]any{}, files: map[string]string{}}
	_, _, err = backup.Read(t.Context(), archive(out.Bytes(), backup.Keys{Secret: secret}), g, nil)
	must(t, err)
	for _, name := range names {
		if _, there := g.files["folders/"+name]; !there {
			t.Errorf("%q is missing", name)
		}
	}
	if g.files["folders/caf\xe9/x"] != "Lrwxrwxrwx \xff\xfe" {
		t.Errorf("%q", g.files["folders/caf\xe9/x"])
	}
}

// FuzzRead: whatever a file holds is refused in an orderly way.
func FuzzRead(f *testing.F) {
	secret, to := key(f)
	raw := written(f, to)
	f.Add(raw[:200])
	f.Add([]byte("palisade backup 1\n{}\nage-encryption.org/v1\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, _, err := backup.Verify(t.Context(), bytes.NewReader(b), int64(len(b)), &backup.Keys{Secret: secret, Passphrase: "correct horse"}, nil); err == nil && !bytes.Equal(b, raw) {
			t.Error("it was taken for a backup")
		}
	})
}
