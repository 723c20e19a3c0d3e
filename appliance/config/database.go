package config

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/palisade-run/palisade/catalog"
)

// DatabaseFile is the name of the file in the data directory that says where the rows are, once they were moved.
const DatabaseFile = "database.json"

// DatabaseRecord is what DatabaseFile holds: which database the appliance of this data directory uses where neither its
// settings nor its command line name one, and which it must not use any more.
type DatabaseRecord struct {
	// Database is as in Config; "" is the SQLite file in the data directory.
	Database string `json:"database"`
	// Left are the databases that rows were moved away from. What is in them is old.
	Left []LeftDatabase `json:"left,omitempty"`
}

// LeftDatabase is one of those.
type LeftDatabase struct {
	Database string    `json:"database"` // as DatabaseID writes it
	At       time.Time `json:"at"`
}

// ReadDatabaseRecord reads the record of a data directory; one that does not exist is empty.
func ReadDatabaseRecord(data string) (DatabaseRecord, error) {
	var r DatabaseRecord
	path := filepath.Join(data, DatabaseFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if errors.Is(err, syscall.ENOTDIR) {
		return r, &FileError{Err: fmt.Errorf("the data directory %s is a file", data), hint: "name a directory with --data DIR"}
	}
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		return r, &FileError{Err: fmt.Errorf("%s: %w", path, err), hint: "it says where the appliance's rows are, since `palisade database move`; name the database with --database instead"}
	}
	return r, nil
}

// Move is the record once rows were moved from one database to another, at a time.
func (r DatabaseRecord) Move(from, to, own string, at time.Time) DatabaseRecord {
	next := DatabaseRecord{Database: to}
	if DatabaseID(to) == DatabaseID(own) {
		next.Database = ""
	}
	gone := []string{DatabaseID(from), DatabaseID(to)}
	for _, l := range r.Left {
		if !slices.Contains(gone, l.Database) {
			next.Left = append(next.Left, l)
		}
	}
	next.Left = append(next.Left, LeftDatabase{DatabaseID(from), at.UTC().Truncate(time.Second)})
	return next
}

// Text is the record as its file holds it.
func (r DatabaseRecord) Text() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // people read it, and there is a URL in it
	e.SetIndent("", "  ")
	err := e.Encode(r)
	return b.Bytes(), err
}

// ReadDatabase reads the address of a database as the settings do: a relative path is one of the working directory.
func ReadDatabase(dsn string) (string, catalog.Problems) {
	cfg, d := Config{Database: dsn}, &decoder{places: map[string]place{}}
	d.databasePath("", &cfg)
	d.merge(checkDatabase(cfg.Database))
	return cfg.Database, d.problems
}

// DatabaseID is what tells a database from others: its address without user, password and ways to get there.
func DatabaseID(dsn string) string {
	if path, ok := strings.CutPrefix(dsn, "sqlite:"); ok || !strings.HasPrefix(dsn, "postgres") {
		path = strings.TrimPrefix(path, "//")
		if abs, err := filepath.Abs(path); err == nil {
			path = abs
		}
		return "sqlite:" + path
	}
	u, err := url.Parse(dsn)
	if err != nil {
		return "postgres:"
	}
	q := u.Query()
	host, port := u.Hostname(), u.Port()
	if v := q.Get("host"); v != "" {
		host = v
	}
	if v := q.Get("port"); v != "" {
		port = v
	}
	if strings.Contains(u.Host, ",") {
		host, port = u.Host, "" // several, each with a port of its own
	}
	if host == "" || net.ParseIP(host).IsLoopback() {
		host = "localhost"
	}
	name := strings.Trim(u.Path, "/")
	if v := q.Get("dbname"); v != "" {
		name = v
	}
	if name == "" {
		name = u.User.Username()
	}
	if !strings.HasPrefix(host, "/") { // the directory of its socket
		host = strings.ToLower(host)
	}
	id := "postgres://" + host + ":" + cmp.Or(port, "5432") + "/" + name
	if v := q.Get("search_path"); v != "" {
		id += "#" + v
	}
	return id
}

// follow takes the database that rows were moved to, and refuses one that they were moved away from: what is in that one
// is old, and what would be written there would be in no other.
func (d *decoder) follow(cfg *Config) error {
	if cfg.Data == "" {
		return nil
	}
	r, err := ReadDatabaseRecord(cfg.Data)
	if err != nil {
		if cfg.Database != "" {
			return nil // it is not needed
		}
		return err
	}
	if cfg.Database == "" {
		cfg.Database = r.Database
		return nil
	}
	id := DatabaseID(cfg.Database)
	for _, l := range r.Left {
		if l.Database == id {
			d.add(catalog.Problem{Field: "database", Message: fmt.Sprintf("its rows were moved to another one at %s", l.At.Format(time.RFC3339)),
				Hint: "leave `database` and --database out, or name the new one: `palisade database status` says which; if the old one is meant, remove " + filepath.Join(cfg.Data, DatabaseFile)})
		}
	}
	return nil
}

// WithDatabase is the text of a settings file that names its database, naming another one; all else stays as it is, to
// the byte. Named is false where text names none.
func WithDatabase(text []byte, dsn string) (changed []byte, named bool, err error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, false, err
	}
	value := databaseNode(&doc)
	if value == nil {
		return text, false, nil
	}
	cannot := &FileError{Err: fmt.Errorf("line %d: `database` is written in a way that cannot be changed by a program", value.Line),
		hint: "move with --keep-config, then change the line by hand"}
	lines := strings.SplitAfter(string(text), "\n")
	if value.Kind != yaml.ScalarNode || value.Line > len(lines) {
		return nil, true, cannot
	}
	line := lines[value.Line-1]
	// The column counts characters.
	runes := []rune(line)
	if value.Column > len(runes) {
		return nil, true, cannot
	}
	before, rest := string(runes[:value.Column-1]), string(runes[value.Column-1:])
	written := ""
	switch value.Style {
	case 0:
		written = value.Value
	case yaml.DoubleQuotedStyle:
		written = `"` + value.Value + `"`
	case yaml.SingleQuotedStyle:
		written = "'" + strings.ReplaceAll(value.Value, "'", "''") + "'"
	}
	after, ok := strings.CutPrefix(rest, written)
	if !ok || written == "" {
		return nil, true, cannot
	}
	lines[value.Line-1] = before + "'" + strings.ReplaceAll(dsn, "'", "''") + "'" + after
	changed = []byte(strings.Join(lines, ""))
	// Read again: nothing is believed of text that was pieced together.
	var again yaml.Node
	if err := yaml.Unmarshal(changed, &again); err != nil {
		return nil, true, cannot
	}
	now := databaseNode(&again)
	if now == nil || now.Value != dsn {
		return nil, true, cannot
	}
	return changed, true, nil
}

// databaseNode is the value of `database`, nil where there is none.
func databaseNode(doc *yaml.Node) *yaml.Node {
	if len(doc.Content) == 0 || doc.Content[0].Kind != yaml.MappingNode {
		return nil
	}
	fields := doc.Content[0].Content
	for i := 0; i+1 < len(fields); i += 2 {
		if v := fields[i+1]; fields[i].Value == "database" && v.Tag != "!!null" && v.Value != "" {
			return v
		}
	}
	return nil
}
