package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/palisade-run/palisade/catalog"
)

// maxFile bounds a settings file: something else was named where one is longer.
const maxFile = 1 << 20

// Overrides are the settings of a command line; "" where a flag was not given. They win over the file,
// and their relative paths are those of the working directory.
type Overrides struct {
	Data       string // --data
	Listen     string // --listen
	SSHListen  string // --ssh-listen
	Advertise  string // --advertise
	Database   string // --database
	Runtime    string // --runtime
	Containerd string // --containerd
	Simulate   string // --simulate
	Variants   string // --variants
	Domain     string // --domain
	TLSMode    string // --tls
	TLSCert    string // --tls-cert
	TLSKey     string // --tls-key
	LogLevel   string // --log-level
	LogFormat  string // --log-format
}

// flags leads from the field that an override sets to the flag, and its value.
func (o Overrides) flags() []struct{ field, flag, value string } {
	return []struct{ field, flag, value string }{
		{"data", "--data", o.Data}, {"listen", "--listen", o.Listen}, {"ssh.listen", "--ssh-listen", o.SSHListen}, {"advertise", "--advertise", o.Advertise},
		{"database", "--database", o.Database}, {"runtime", "--runtime", o.Runtime},
		{"containerd.address", "--containerd", o.Containerd}, {"accel.simulate", "--simulate", o.Simulate},
		{"variants", "--variants", o.Variants},
		{"router.domain", "--domain", o.Domain}, {"tls.mode", "--tls", o.TLSMode}, {"tls.cert", "--tls-cert", o.TLSCert},
		{"tls.key", "--tls-key", o.TLSKey}, {"log.level", "--log-level", o.LogLevel}, {"log.format", "--log-format", o.LogFormat},
	}
}

// Load reads the settings: defaults, then the file at path ("" for none), then overrides; and makes its
// paths absolute, a file's relative to the file. Where they name no database, it is the one that rows were moved to. The error holds every problem of the settings, each with
// its place (catalog.Problems), or says why the file cannot be read. Warnings come with a good Config.
func Load(path string, overrides Overrides) (Config, catalog.Problems, error) {
	var text []byte
	if path != "" {
		var err error
		if text, err = read(path); err != nil {
			return Config{}, nil, err
		}
	}
	cfg, d := parse(path, text, overrides)
	if d.problems.Err() == nil {
		if err := d.follow(&cfg); err != nil {
			return Config{}, nil, err
		}
		d.merge(missingFiles(cfg))
	}
	if err := d.problems.Err(); err != nil {
		return Config{}, nil, err
	}
	return cfg, d.problems, nil
}

// FileError is a settings file that cannot be read.
type FileError struct {
	Err  error
	hint string
}

func (e *FileError) Error() string { return "reading the settings: " + e.Err.Error() }

// Unwrap gives the cause.
func (e *FileError) Unwrap() error { return e.Err }

// Hint says what to do.
func (e *FileError) Hint() string { return e.hint }

func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		hint := "check the path given with --config"
		if errors.Is(err, fs.ErrPermission) {
			hint = "let the user that runs palisade read it"
		}
		return nil, &FileError{Err: err, hint: hint}
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, &FileError{Err: err, hint: "check the path given with --config"}
	}
	if info.IsDir() {
		return nil, &FileError{Err: fmt.Errorf("%s is a directory", path), hint: "name the file in it with --config"}
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, &FileError{Err: err, hint: "check the disk that it is on"}
	}
	if len(text) > maxFile {
		return nil, &FileError{Err: fmt.Errorf("%s is longer than %d bytes", path, maxFile), hint: "is it a settings file? check --config"}
	}
	return text, nil
}

// parse is Load without a disk: text is what the file at path holds. The problems are the decoder's.
func parse(path string, text []byte, overrides Overrides) (Config, *decoder) {
	cfg := Default()
	d := &decoder{file: path, places: map[string]place{}}
	d.document(text, &cfg)
	d.resolve(filepath.Dir(path), path != "", &cfg)
	d.override(overrides, &cfg)
	d.merge(cfg.Validate())
	return cfg, d
}

// merge gives more problems their places and sorts them in. A field that could not be read has its
// problem already: what is found out about its default is of no interest.
func (d *decoder) merge(more catalog.Problems) {
	known := slices.Clone(d.problems)
	for _, p := range more {
		if !slices.ContainsFunc(known, func(k catalog.Problem) bool { return k.Field == p.Field }) {
			d.add(p)
		}
	}
	slices.SortStableFunc(d.problems, func(a, b catalog.Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

// paths are the fields that hold a path on this box.
func (c *Config) paths() map[string]*string {
	return map[string]*string{"data": &c.Data, "variants": &c.Variants, "tls.cert": &c.TLS.Cert, "tls.key": &c.TLS.Key,
		"containerd.cni": &c.Containerd.CNI, "access_log.path": &c.AccessLog.Path, "backup.to": &c.Backup.To, "backup.passphrase_file": &c.Backup.PassphraseFile,
		"redis.password_file": &c.Redis.PasswordFile, "redis.ca": &c.Redis.CA,
		"autoscaler.prometheus.authorization": &c.Autoscaler.Prometheus.Authorization}
}

// resolve makes the file's relative paths absolute. Without a file there are none.
func (d *decoder) resolve(dir string, inFile bool, cfg *Config) {
	if !inFile {
		return
	}
	for field, p := range cfg.paths() {
		if _, set := d.places[field]; set && *p != "" {
			d.absolute(field, dir, p)
		}
	}
	d.databasePath(dir, cfg)
}

// databasePath makes the path of a SQLite database absolute, and names its kind where only a path was
// given.
func (d *decoder) databasePath(dir string, cfg *Config) {
	path, ok := strings.CutPrefix(cfg.Database, "sqlite:")
	switch {
	case path == "", strings.Contains(path, "://"), strings.HasPrefix(path, "//"), strings.HasPrefix(path, "postgres"),
		strings.Contains(path, ":memory:"):
		return // none, a URL, or for Validate to refuse
	case !ok && strings.Contains(path, ":"):
		return
	}
	d.absolute("database", dir, &path)
	cfg.Database = "sqlite:" + path
}

func (d *decoder) absolute(field, dir string, p *string) {
	if strings.HasPrefix(*p, "~") {
		d.add(catalog.Problem{Field: field, Message: fmt.Sprintf("%q: ~ is the shell's and means nothing here", *p),
			Hint: "write the whole path"})
		return
	}
	if !filepath.IsAbs(*p) {
		*p = filepath.Join(dir, *p)
	}
	abs, err := filepath.Abs(*p)
	if err != nil {
		d.add(catalog.Problem{Field: field, Message: "the working directory cannot be found: " + err.Error(), Hint: "write an absolute path"})
		return
	}
	*p = abs
}

// override sets what flags say.
func (d *decoder) override(o Overrides, cfg *Config) {
	fields := fieldsOf(cfg)
	for _, f := range o.flags() {
		if f.value == "" {
			continue
		}
		d.places[f.field] = place{flag: f.flag}
		d.forget(f.field)
		if message, hint := setScalar(fields[f.field], f.value); message != "" {
			d.add(catalog.Problem{Field: f.field, Message: message, Hint: hint})
			continue
		}
		if p, ok := cfg.paths()[f.field]; ok {
			d.absolute(f.field, "", p)
		}
		if f.field == "database" {
			d.databasePath("", cfg)
		}
	}
}

// missingFiles are those that the settings name and that are not there. Whether they are good is for
// those to say who read them.
func missingFiles(cfg Config) catalog.Problems {
	var problems catalog.Problems
	for _, f := range []struct{ field, path string }{{"tls.cert", cfg.TLS.Cert}, {"tls.key", cfg.TLS.Key}, {"variants", cfg.Variants}} {
		if f.path == "" {
			continue
		}
		if _, err := os.Stat(f.path); err != nil {
			problems = append(problems, problem(f.field, err.Error(), "check the path; a relative one in the settings is relative to that file"))
		}
	}
	return problems
}
