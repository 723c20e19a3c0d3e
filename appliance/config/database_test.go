package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestDatabaseID(t *testing.T) {
	for dsn, want := range map[string]string{
		"sqlite:/var/x.db":                                 "sqlite:/var/x.db",
		"sqlite:///var/y/../x.db":                          "sqlite:/var/x.db",
		"/var/x.db":                                        "sqlite:/var/x.db",
		"postgres://u:p@DB.example.com/palisade":           "postgres://db.example.com:5432/palisade",
		"postgresql://v@db.example.com:5432/palisade?x=y":  "postgres://db.example.com:5432/palisade",
		"postgres://u@/p?host=/run/PG&port=7":              "postgres:///run/PG:7/p",
		"postgres://127.0.0.1/p":                           "postgres://localhost:5432/p",
		"postgres://[::1]/p":                               "postgres://localhost:5432/p",
		"postgres://u@/p":                                  "postgres://localhost:5432/p",
		"postgres://u@h":                                   "postgres://h:5432/u",
		"postgres://u@h/p?search_path=a":                   "postgres://h:5432/p#a",
		"postgres://a:1,b:2/p":                             "postgres://a:1,b:2:5432/p",
		"postgres://u:p@h/?dbname=q&password=geheim&user=": "postgres://h:5432/q",
	} {
		if got := DatabaseID(dsn); got != want {
			t.Errorf("%s is %s, want %s", dsn, got, want)
		}
	}
}

func TestWithDatabase(t *testing.T) {
	const dsn = "postgres://u:it's#1@h/d"
	const want = "'postgres://u:it''s#1@h/d'"
	for text, changed := range map[string]string{
		"":                         "",
		"data: /x\n":               "",
		"database:\n":              "",
		"database: ''\n":           "",
		"log: {database: x}\n":     "",
		"database: sqlite:/x\n":    "database: " + want + "\n",
		"database:   /x.db # no\n": "database:   " + want + " # no\n",
		"# ä\n\"database\" : \"postgres://a@b/c\"\r\ndata: /d\r\n": "# ä\n\"database\" : " + want + "\r\ndata: /d\r\n",
		"{data: /d, database: 'it''s', listen: ':1'}":              "{data: /d, database: " + want + ", listen: ':1'}",
		"a: ü\ndatabase: /ü":                                       "a: ü\ndatabase: " + want,
		"database: >-\n  sqlite:\n  /x\n":                          "refused",
		"database: \"sqlite:\\x2fx\"\n":                            "refused",
		"database: &x sqlite:/x\ndata: *x\n":                       "refused",
		"database: [x]\n":                                          "",
		"database:\n  sqlite:/x\n":                                 "database:\n  " + want + "\n",
		"database: sqlite:/a\n  b\n":                               "refused",
	} {
		got, named, err := WithDatabase([]byte(text), dsn)
		switch {
		case changed == "refused":
			if err == nil || !named || !strings.Contains(err.Error(), "cannot be changed") {
				t.Errorf("%q: %q %v %v", text, got, named, err)
			}
		case err != nil:
			t.Errorf("%q: %v", text, err)
		case changed == "" && (named || string(got) != text):
			t.Errorf("%q: %q is said to name one", text, got)
		case changed != "" && (!named || string(got) != changed):
			t.Errorf("%q: %q, want %q", text, got, changed)
		}
	}
}

// Rows that were moved are looked for where they are, and no more where they were.
func TestLoadFollowsAMove(t *testing.T) {
	data := t.TempDir()
	own := Config{Data: data}.DSN()
	const server = "postgres://u:secret@h/d"
	load := func(database string) (Config, error) {
		c, _, err := Load("", Overrides{Data: data, Database: database})
		return c, err
	}
	write := func(r DatabaseRecord) {
		t.Helper()
		text, err := r.Text()
		if err == nil {
			err = os.WriteFile(filepath.Join(data, DatabaseFile), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	uses := func(given, want string) {
		t.Helper()
		if c, err := load(given); err != nil || c.DSN() != want {
			t.Errorf("%s %v, want %s", c.DSN(), err, want)
		}
	}
	refuses := func(given string) {
		t.Helper()
		if _, err := load(given); err == nil || !strings.Contains(err.Error(), "moved to another one at 2026-03-01") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", given, err)
		}
	}
	uses("", own)
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	r := DatabaseRecord{}.Move(own, server, own, at)
	write(r)
	uses("", server)
	uses("postgres://other@h/d", "postgres://other@h/d")
	refuses(own)
	refuses(filepath.Join(data, "palisade.db"))
	uses("sqlite:/elsewhere.db", "sqlite:/elsewhere.db")

	r = r.Move(server, own, own, at)
	write(r)
	uses("", own)
	uses(own, own)
	refuses("postgres://another:secret@H:5432/d")
	if r = r.Move(own, server, own, at); len(r.Left) != 1 {
		t.Errorf("%+v", r)
	}

	if err := os.WriteFile(filepath.Join(data, DatabaseFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := load(""); err == nil || !strings.Contains(err.Error(), DatabaseFile) {
		t.Errorf("a broken record: %v", err)
	}
	uses(server, server)
}
