package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/config"
	"github.com/palisade-run/palisade/appliance/store"
	"github.com/palisade-run/palisade/catalog"
)

// oneFolder makes the database of a data directory, with a row in it.
func oneFolder(t *testing.T, c config.Config) {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{DSN: c.DSN()})
	if err == nil {
		err = errors.Join(s.SaveFolder(t.Context(), catalog.Folder{ID: "fld-1", Name: "one", Project: "default"}), s.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

func loaded(t *testing.T, file, data string) config.Config {
	t.Helper()
	c, _, err := config.Load(file, config.Overrides{Data: data})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestMoveDatabase(t *testing.T) {
	data := t.TempDir()
	c := loaded(t, "", data)
	oneFolder(t, c)
	was := strings.TrimPrefix(c.DSN(), "sqlite:")
	elsewhere := "sqlite:" + filepath.Join(t.TempDir(), "x.db")

	copied, err := MoveDatabase(t.Context(), DatabaseMove{Config: c, To: elsewhere + "2", Keep: true})
	if err != nil || copied.Used || copied.Kept != c.DSN() || loaded(t, "", data).DSN() != c.DSN() {
		t.Errorf("%+v %v", copied, err)
	}
	moved, err := MoveDatabase(t.Context(), DatabaseMove{Config: c, To: elsewhere})
	if err != nil || !moved.Used || moved.SetIn != filepath.Join(data, config.DatabaseFile) || moved.Rows != copied.Rows || moved.Rows < 3 || moved.Warning != "" {
		t.Fatalf("%+v %v", moved, err)
	}
	if _, err := os.Stat(was); !errors.Is(err, os.ErrNotExist) || !strings.HasPrefix(moved.Kept, was+".2") {
		t.Errorf("the old one is at %s: %v", moved.Kept, err)
	}
	if info, err := os.Stat(moved.SetIn); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if c = loaded(t, "", data); c.DSN() != elsewhere {
		t.Errorf("it uses %s", c.DSN())
	}
	seen, err := DatabaseStatus(t.Context(), c)
	if err != nil || seen.Database != elsewhere || rowsOf(seen.Tables, "folders") != 1 {
		t.Errorf("%+v %v", seen, err)
	}
	if _, err := MoveDatabase(t.Context(), DatabaseMove{Config: c, To: elsewhere}); err == nil || !strings.Contains(err.Error(), "already") {
		t.Error(err)
	}
	back, err := MoveDatabase(t.Context(), DatabaseMove{Config: c, To: "sqlite"})
	if err != nil || back.To != "sqlite:"+was || loaded(t, "", data).DSN() != back.To {
		t.Errorf("%+v %v", back, err)
	}
}

func rowsOf(tables []api.DatabaseTable, name string) int64 {
	for _, one := range tables {
		if one.Name == name {
			return one.Rows
		}
	}
	return -1
}

// A settings file that names the database names the new one afterwards, and else says what it said.
func TestMoveDatabaseOfASettingsFile(t *testing.T) {
	data := t.TempDir()
	file := filepath.Join(t.TempDir(), "settings.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("# ours\ndatabase: " + data + "/first.db # here\nlisten: :1\n")
	c := loaded(t, file, data)
	oneFolder(t, c)
	moved, err := MoveDatabase(t.Context(), DatabaseMove{Config: c, File: file, To: "sqlite:" + data + "/second.db"})
	text, readErr := os.ReadFile(file)
	if err != nil || readErr != nil || moved.SetIn != file || string(text) != "# ours\ndatabase: 'sqlite:"+data+"/second.db' # here\nlisten: :1\n" {
		t.Errorf("%+v %v %v: %s", moved, err, readErr, text)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if used := loaded(t, file, data); used.DSN() != "sqlite:"+data+"/second.db" {
		t.Errorf("it uses %s", used.DSN())
	}
	// The old one is refused, wherever it is named.
	if _, _, err := config.Load("", config.Overrides{Data: data, Database: data + "/first.db"}); err == nil {
		t.Error("the old one is used again")
	}
	// What a program cannot write is found before anything is done.
	write("database: >-\n  sqlite:" + data + "/second.db\n")
	_, err = MoveDatabase(t.Context(), DatabaseMove{Config: loaded(t, file, data), File: file, To: "sqlite:" + data + "/third.db"})
	if adviceOf(err) == "" {
		t.Error(err)
	}
	if _, err := os.Stat(data + "/third.db"); err == nil {
		t.Error("it was begun all the same")
	}
}

func TestMoveDatabaseIsRefused(t *testing.T) {
	data := t.TempDir()
	c := loaded(t, "", data)
	oneFolder(t, c)
	to := "sqlite:" + filepath.Join(t.TempDir(), "x.db")
	lock, err := lockData(data)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := MoveDatabase(t.Context(), DatabaseMove{Config: c, To: to}); err == nil || !strings.Contains(adviceOf(err), "stop it first") {
		t.Error(err)
	}
	lock.release()
	nowhere := config.Config{Data: filepath.Join(data, "none")}
	if _, err := MoveDatabase(t.Context(), DatabaseMove{Config: nowhere, To: to}); adviceOf(err) == "" {
		t.Error(err)
	}
	if _, err := os.Stat(nowhere.Data); err == nil {
		t.Error("a data directory was made")
	}
	// Where it cannot be said which one is used, the old one still is.
	if err := os.Mkdir(filepath.Join(data, config.DatabaseFile), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := MoveDatabase(t.Context(), DatabaseMove{Config: c, To: to}); err == nil {
		t.Error("it was moved all the same")
	}
	if err := os.Remove(filepath.Join(data, config.DatabaseFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := MoveDatabase(t.Context(), DatabaseMove{Config: loaded(t, "", data), To: to}); err != nil {
		t.Error(err)
	}
}

func TestPutAside(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "palisade.db")
	now := time.Date(2026, 3, 1, 2, 3, 4, 0, time.UTC)
	for _, name := range []string{path, path + "-wal"} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := putAside(path, now)
	if err != nil || got != path+".20260301T020304Z" {
		t.Error(got, err)
	}
	if _, err := os.Stat(path + "-wal.20260301T020304Z"); err == nil {
		t.Error("the log does not lie beside its file")
	}
	if _, err := os.Stat(got + "-wal"); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := putAside(path, now); err == nil || got != path {
		t.Error(got, err)
	}
}
