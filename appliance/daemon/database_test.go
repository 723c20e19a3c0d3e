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
	"github.com/palisade-run/palisade/appliance/store/pgtest"
	"github.com/palisade-run/palisade/appliance/vault"
	"github.com/palisade-run/palisade/catalog/folders"
)

// oneFolder makes the database of a data directory, with a row in it.
func oneFolder(t *testing.T, c config.Config) {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{DSN: c.DSN()})
	if err == nil {
		err = errors.Join(s.SaveFolder(t.Context(), folders.Folder{ID: "fld-1", Name: "one", Project: "default"}), s.Close())
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

// Where the second of the two files that say which database is used cannot be written, the first one is as it was, and the move can
// be repeated.
func TestASwitchIsWholeOrNotAtAll(t *testing.T) {
	data := t.TempDir()
	file := filepath.Join(t.TempDir(), "settings.yaml")
	was := "database: " + data + "/first.db\n"
	if err := os.WriteFile(file, []byte(was), 0o640); err != nil {
		t.Fatal(err)
	}
	c := loaded(t, file, data)
	oneFolder(t, c)
	record, to := filepath.Join(data, config.DatabaseFile), "sqlite:"+data+"/second.db"
	_, err := MoveDatabase(t.Context(), DatabaseMove{Config: c, File: file, To: to, Progress: func(phase, _ string, _, _ int64) {
		if phase == store.MoveOver {
			if err := os.MkdirAll(filepath.Join(record, "in the way"), 0o700); err != nil {
				t.Error(err)
			}
		}
	}})
	if err == nil {
		t.Fatal("the record took the place of a directory")
	}
	text, err := os.ReadFile(file)
	info, statErr := os.Stat(file)
	if err != nil || statErr != nil || string(text) != was || info.Mode().Perm() != 0o640 {
		t.Errorf("%v %v: %s", err, statErr, text)
	}
	for _, dir := range []string{data, filepath.Dir(file)} {
		if left, _ := filepath.Glob(dir + "/*.json.*"); len(left) > 0 {
			t.Errorf("left are %v", left)
		}
		if left, _ := filepath.Glob(dir + "/*.yaml.*"); len(left) > 0 {
			t.Errorf("left are %v", left)
		}
	}
	if err := os.RemoveAll(record); err != nil {
		t.Fatal(err)
	}
	if _, err := MoveDatabase(t.Context(), DatabaseMove{Config: c, File: file, To: to}); err != nil || loaded(t, file, data).DSN() != to {
		t.Errorf("it cannot be repeated: %v, it uses %s", err, loaded(t, file, data).DSN())
	}
}

// What was sealed before a move is opened after it, with the key that stays in the data directory.
func TestSecretsAreMoved(t *testing.T) {
	data := t.TempDir()
	c := loaded(t, "", data)
	var server pgtest.Server
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	in := func(c config.Config, do func(v *vault.Vault)) {
		t.Helper()
		s, err := store.Open(t.Context(), store.Options{DSN: c.DSN(), Alone: true})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		v, err := vault.Open(t.Context(), s, filepath.Join(data, "vault.key"), time.Now)
		if err != nil {
			t.Fatal(err)
		}
		do(v)
	}
	const words vault.Secret = "hf_\x00\xff secret"
	in(c, func(v *vault.Vault) {
		if err := v.Put(t.Context(), "token", words); err != nil {
			t.Fatal(err)
		}
	})
	for _, to := range []string{server.Database(t), "sqlite"} {
		if _, err := MoveDatabase(t.Context(), DatabaseMove{Config: loaded(t, "", data), To: to}); err != nil {
			t.Fatal(err)
		}
		in(loaded(t, "", data), func(v *vault.Vault) {
			if got, err := v.Get(t.Context(), "token"); err != nil || got != words {
				t.Errorf("after the move to %s: %v", store.Redact(to), err)
			}
		})
	}
}

func TestMoveDatabaseIsRefused(t *testing.T) {
	data := t.TempDir()
	c := loaded(t, "", data)
	oneFolder(t, c)
	to := "sqlite:" + filepath.Join(t.TempDir(), "x.db")
	lock, err := lockData(t.Context(), config.Config{Data: data})
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
