package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/config"
	"github.com/palisade-run/palisade/appliance/store"
)

// DatabaseMove is what MoveDatabase is asked for.
type DatabaseMove struct {
	Config   config.Config // of the appliance whose rows are moved
	File     string        // its settings file, "" for none: changed where it names the database
	To       string        // as config.Config.Database; "sqlite": the file in the data directory
	Keep     bool          // only copy: what the appliance uses stays
	Log      *slog.Logger
	Progress func(phase, table string, done, total int64) // in rows; may be nil
}

// MoveDatabase moves the rows of an appliance that does not run to another database, compares them, and makes it the one
// that is used. The data directory's lock keeps a daemon from starting meanwhile; sessions go on.
func MoveDatabase(ctx context.Context, o DatabaseMove) (api.DatabaseMoved, error) {
	own := config.Config{Data: o.Config.Data}.DSN()
	if o.To == "sqlite" {
		o.To = own
	}
	from := o.Config.DSN()
	if config.DatabaseID(from) == config.DatabaseID(o.To) {
		return api.DatabaseMoved{}, hinted{fmt.Errorf("the appliance uses %s already", store.Redact(o.To)), "see: palisade database status"}
	}
	home, err := os.Stat(o.Config.Data)
	if err != nil {
		return api.DatabaseMoved{}, hinted{fmt.Errorf("no appliance keeps its data here: %w", err), "name its data directory with --data DIR"}
	}
	lock, err := lockData(ctx, o.Config)
	if held, ok := errors.AsType[lockedError](err); ok {
		return api.DatabaseMoved{}, hinted{fmt.Errorf("the appliance runs: process %s works on %s", held.holder, held.dir),
			"stop it first, as `systemctl stop palisade` does: sessions go on, and are taken over when it starts again"}
	}
	if err != nil {
		return api.DatabaseMoved{}, err
	}
	defer lock.release()
	m := &databaseMove{DatabaseMove: o, from: from, own: own, home: home}
	return m.run(ctx)
}

// databaseMove is one under way.
type databaseMove struct {
	DatabaseMove
	from, own string
	home      os.FileInfo // of the data directory: whose the files are
	setIn     string
	settings  []byte // new text of File, nil where that stays
	before    []byte // its text until then
	record    []byte // new text of the data directory's record
}

func (m *databaseMove) run(ctx context.Context) (api.DatabaseMoved, error) {
	if err := m.plan(); err != nil {
		return api.DatabaseMoved{}, err
	}
	moved, err := store.Move(ctx, store.MoveOptions{From: m.from, To: m.To, Log: m.Log, Switch: m.use, Progress: func(s store.MoveStep) {
		if m.Progress != nil {
			m.Progress(s.Phase, s.Table, s.Done, s.Total)
		}
	}})
	if err != nil {
		return api.DatabaseMoved{}, err
	}
	out := api.DatabaseMoved{From: store.Redact(m.from), To: store.Redact(m.To), Version: moved.Version, Left: moved.Left, Used: !m.Keep, SetIn: m.setIn, Kept: store.Redact(m.from)}
	for _, t := range moved.Tables {
		out.Tables = append(out.Tables, api.DatabaseTable(t))
		out.Rows += t.Rows
	}
	if path, ok := strings.CutPrefix(m.To, "sqlite:"); ok {
		out.Warning = m.give(path, path+"-wal", path+"-shm")
	}
	if path, ok := strings.CutPrefix(m.from, "sqlite:"); ok && !m.Keep {
		if out.Kept, err = putAside(path, time.Now()); err != nil {
			out.Warning = strings.TrimPrefix(out.Warning+"; "+err.Error(), "; ")
		}
	}
	return out, nil
}

// plan finds out what is to be written to have the new database used, before anything is done.
func (m *databaseMove) plan() error {
	if m.Keep {
		return nil
	}
	record, err := config.ReadDatabaseRecord(m.Config.Data)
	if err != nil {
		return err
	}
	if m.record, err = record.Move(m.from, m.To, m.own, time.Now()).Text(); err != nil {
		return err
	}
	m.setIn = filepath.Join(m.Config.Data, config.DatabaseFile)
	if m.File == "" {
		return nil
	}
	text, err := os.ReadFile(m.File)
	if err != nil {
		return err
	}
	changed, named, err := config.WithDatabase(text, m.To)
	if err != nil {
		return fmt.Errorf("%s: %w", m.File, err)
	}
	if named {
		m.settings, m.before, m.setIn = changed, text, m.File
	}
	return nil
}

// use makes the new database the one that is used. Both files are written beside the old ones before either takes its place. The
// settings come first: when they name the new one, the appliance can be started whatever becomes of the record; the other way round it
// would be refused. Where the record cannot follow, the settings are put back.
func (m *databaseMove) use(store.Moved) error {
	if m.Keep {
		return nil
	}
	if path, ok := strings.CutPrefix(m.To, "sqlite:"); ok {
		if word := m.give(path); word != "" {
			return errors.New(word)
		}
	}
	record, err := m.beside(filepath.Join(m.Config.Data, config.DatabaseFile), m.record, m.home, 0o600)
	if err != nil {
		return err
	}
	defer record.drop()
	if m.settings == nil {
		return record.replace()
	}
	info, err := os.Stat(m.File)
	if err != nil {
		return err
	}
	settings, err := m.beside(m.File, m.settings, info, settingsMode(info, m.home, store.Redact(m.To) != m.To))
	if err != nil {
		return err
	}
	defer settings.drop()
	before, err := m.beside(m.File, m.before, info, info.Mode().Perm())
	if err != nil {
		return err
	}
	defer before.drop()
	if err := settings.replace(); err != nil {
		return err
	}
	err = record.replace()
	if err == nil {
		return nil
	}
	if undo := before.replace(); undo != nil {
		return hinted{fmt.Errorf("%w; and %s names the new database now: %w", err, m.File, undo),
			"all rows are in both: name the old database in " + m.File + " again, then repeat the move"}
	}
	return err
}

// settingsMode is that of a settings file with another database in it: one with a password is for its owner alone, or,
// where the appliance runs as somebody else, for the group too.
func settingsMode(file, home os.FileInfo, secret bool) os.FileMode {
	mode := file.Mode().Perm()
	if !secret {
		return mode
	}
	a, aok := file.Sys().(*syscall.Stat_t)
	b, bok := home.Sys().(*syscall.Stat_t)
	if aok && bok && a.Uid != b.Uid {
		return mode & 0o640
	}
	return mode & 0o600
}

// draft is a file as it is to be, beside the one that it is to replace.
type draft struct{ name, path string }

// beside writes a draft. It belongs to whom like belongs to.
func (m *databaseMove) beside(path string, text []byte, like os.FileInfo, mode os.FileMode) (d draft, err error) {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return draft{}, err
	}
	d = draft{f.Name(), path}
	_, err = f.Write(text)
	if owner, ok := like.Sys().(*syscall.Stat_t); ok && err == nil && os.Geteuid() == 0 {
		err = f.Chown(int(owner.Uid), int(owner.Gid))
	}
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		d.drop()
		return draft{}, fmt.Errorf("writing %s: %w", path, err)
	}
	return d, nil
}

// replace puts the draft in the file's place: it is there as it was or as it is to be, and nothing between, whatever happens.
func (d draft) replace() error {
	if err := os.Rename(d.name, d.path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(d.path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// drop removes a draft that has replaced nothing.
func (d draft) drop() { _ = os.Remove(d.name) }

// give lets files that root has made belong to whom the data directory belongs to: the appliance may run as somebody
// else. It returns what went wrong, "" for nothing.
func (m *databaseMove) give(paths ...string) string {
	owner, ok := m.home.Sys().(*syscall.Stat_t)
	if !ok || os.Geteuid() != 0 {
		return ""
	}
	for _, path := range paths {
		if err := os.Chown(path, int(owner.Uid), int(owner.Gid)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Sprintf("%v: see that the user that runs palisade may read and write it", err)
		}
	}
	return ""
}

// putAside gives a SQLite database that is used no more another name, so that nobody takes it for the one that is, and
// returns it. What cannot be renamed stays, and does no harm.
func putAside(path string, now time.Time) (string, error) {
	name := path + "." + now.UTC().Format("20060102T150405Z")
	if _, err := os.Lstat(name); err == nil {
		return path, fmt.Errorf("%s exists already; the old database stays where it is", name)
	}
	for _, of := range []string{"-wal", "-shm", ""} { // the log first: without it the file would be an older one
		if err := os.Rename(path+of, name+of); err != nil && (of == "" || !errors.Is(err, os.ErrNotExist)) {
			return path, err
		}
	}
	return name, nil
}

// DatabaseStatus looks at the database that an appliance with these settings uses.
func DatabaseStatus(ctx context.Context, c config.Config) (api.DatabaseStatus, error) {
	seen, err := store.Look(ctx, c.DSN())
	if err != nil {
		return api.DatabaseStatus{}, err
	}
	out := api.DatabaseStatus{Database: seen.DSN, Kind: seen.Kind, Version: seen.Version, Known: seen.Known, Bytes: seen.Bytes, Holder: seen.Holder, Half: seen.Half}
	for _, t := range seen.Tables {
		out.Tables = append(out.Tables, api.DatabaseTable(t))
	}
	return out, nil
}
