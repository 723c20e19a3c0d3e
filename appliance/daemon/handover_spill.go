package daemon

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/palisade-run/palisade/router/usage"
)

// books is where a meter brings its sums: the store while this life of the daemon has it, and a file in the data
// directory afterwards, for requests that end later. Whoever has the store then reads the file and adds what is in it,
// each batch once: batches are numbered, and the store knows which it has.
type books struct {
	usage.Store
	mu    sync.Mutex
	spill *spill // nil: the store
}

// AddUsage implements usage.Store.
func (b *books) AddUsage(ctx context.Context, batch usage.Batch) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.spill != nil {
		return b.spill.add(batch)
	}
	return b.Store.AddUsage(ctx, batch)
}

// leaveStore writes to s from now on. When it returns, the store is not used any more.
func (b *books) leaveStore(s *spill) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spill = s
}

// close tells that nothing more comes.
func (b *books) close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.spill == nil || b.spill.file == nil {
		return nil
	}
	return b.spill.file.Close()
}

// spill is a file of batches, one JSON object a line. It is locked for as long as more may come.
type spill struct {
	dir  string
	file *os.File // nil: nothing was written yet
}

const spillSuffix = ".jsonl"

func spillDir(data string) string { return filepath.Join(data, "usage") }

// add is on the disk when it returns.
func (s *spill) add(batch usage.Batch) error {
	text, err := json.Marshal(batch)
	if err != nil {
		return fmt.Errorf("keeping usage: %w", err)
	}
	if s.file == nil {
		if err := s.open(); err != nil {
			return fmt.Errorf("keeping usage: %w", err)
		}
	}
	// In one write: after one that failed in the middle, the whole batch comes again behind a line that is none.
	if _, err := s.file.Write(append(append([]byte{'\n'}, text...), '\n')); err != nil {
		return fmt.Errorf("keeping usage: %w", err)
	}
	if err := s.file.Sync(); err != nil {
		return fmt.Errorf("keeping usage: %w", err)
	}
	return nil
}

// open makes the file under another name first: who finds it unlocked takes it for complete.
func (s *spill) open() error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	path := filepath.Join(s.dir, rand.Text()+spillSuffix)
	file, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB), os.Rename(path+".new", path)); err != nil {
		return errors.Join(err, file.Close())
	}
	s.file = file
	return nil
}

// spilled adds what others have spilled. One goroutine uses it.
type spilled struct {
	dir   string
	store usage.Store
	added func(usage.Row) // is told of each row that was added; may be nil
	log   *slog.Logger
	read  map[string]int64 // of each file, bytes that have been added
	told  map[string]int64 // of each writer, the last batch of which added was told
}

func newSpilled(data string, store usage.Store, log *slog.Logger) *spilled {
	return &spilled{dir: spillDir(data), store: store, log: log, read: map[string]int64{}, told: map[string]int64{}}
}

// run looks each second until ctx ends.
func (s *spilled) run(ctx context.Context) {
	s.sweep(time.Now())
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := s.collect(ctx)
		if err != nil && ctx.Err() == nil && !failing {
			s.log.Warn("what requests of an earlier process used cannot be added yet; it is kept, and tried again", "error", err)
		}
		failing = err != nil
	}
}

// openBooks makes the meter, and what it writes to.
func (d *daemon) openBooks() {
	d.books = &books{Store: d.store}
	d.usage = usage.NewMeter(d.books, time.Now, d.Log.With("room", "usage"))
	if err := d.usage.Keep(spillDir(d.Config.Data)); err != nil {
		d.Log.Warn("what requests use is kept in memory alone until it is in the database: a daemon that is killed takes a second of it with it", "error", err)
	}
}

// closeBooks ends the meter: nothing is counted any more.
func (d *daemon) closeBooks() error {
	if d.usage == nil {
		return nil
	}
	return d.usage.Close()
}

// collect adds all that is there now. Files to which nobody writes any more are removed then.
func (s *spilled) collect(ctx context.Context) error {
	journals, letGo, err := s.left()
	defer letGo()
	// What a process that was killed has spilled came before what is in its journal, and is complete: the store takes nothing of a
	// writer that is older than what it has.
	if err := errors.Join(err, s.collectSpilled(ctx)); err != nil {
		return err
	}
	return s.collectJournals(ctx, journals)
}

// abandonedAfter is how long ago a file must have been written that is only there until it has its name, for its process to be gone.
const abandonedAfter = time.Hour

// sweep removes files of processes that were killed before they had given them their names: all that is in them comes again, or never was.
func (s *spilled) sweep(now time.Time) {
	paths, _ := filepath.Glob(filepath.Join(s.dir, "*.new"))
	for _, path := range paths {
		if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() && now.Sub(info.ModTime()) > abandonedAfter {
			_ = os.Remove(path) // else the next start does
		}
	}
}

// left are the journals of processes that are gone. They are locked until letGo: two who recover one would both be right, and one of
// them would not find it.
func (s *spilled) left() (journals []string, letGo func(), err error) {
	var held []*os.File
	letGo = func() {
		for _, f := range held {
			_ = f.Close()
		}
	}
	paths, err := filepath.Glob(filepath.Join(s.dir, "*"+usage.JournalSuffix))
	for _, path := range paths {
		file, failed := os.Open(path)
		if failed != nil {
			continue // another has recovered it
		}
		if syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
			_ = file.Close()
			continue
		}
		held, journals = append(held, file), append(journals, path)
	}
	return journals, letGo, err
}

// collectJournals adds what processes had counted that were killed.
func (s *spilled) collectJournals(ctx context.Context, paths []string) (all error) {
	for _, path := range paths {
		batches, broken := usage.Recover(path)
		if errors.Is(broken, fs.ErrNotExist) {
			continue // its process ended well meanwhile
		}
		err := broken
		if errors.Is(broken, usage.ErrBroken) {
			err = nil
		}
		if err == nil {
			err = s.addAll(ctx, batches)
		}
		switch {
		case err == nil && broken != nil:
			s.log.Error("what an earlier process counted last cannot all be read; the file is kept aside", "error", broken, "file", path+".broken")
			err = usage.SetAside(path)
		case err == nil:
			err = usage.Recovered(path)
		}
		if err != nil {
			all = errors.Join(all, fmt.Errorf("adding usage of %s: %w", filepath.Base(path), err))
		}
	}
	return all
}

// addAll adds batches in their order.
func (s *spilled) addAll(ctx context.Context, batches []usage.Batch) error {
	for i := range batches {
		if err := s.store.AddUsage(ctx, batches[i]); err != nil {
			return err
		}
		s.tell(&batches[i])
	}
	return nil
}

// tell has the rows of a batch charged that was added, once: where a later one fails, all come again.
func (s *spilled) tell(b *usage.Batch) {
	if s.added == nil || b.Number <= s.told[b.Writer] {
		return
	}
	s.told[b.Writer] = b.Number
	for _, row := range b.Rows {
		s.added(row)
	}
}

func (s *spilled) collectSpilled(ctx context.Context) error {
	paths, err := filepath.Glob(filepath.Join(s.dir, "*"+spillSuffix))
	if err != nil {
		return err
	}
	var all error
	for _, path := range paths {
		if err := s.collectFile(ctx, path); err != nil {
			all = errors.Join(all, fmt.Errorf("adding usage of %s: %w", filepath.Base(path), err))
		}
	}
	return all
}

func (s *spilled) collectFile(ctx context.Context, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	// Asked before it is read: what is written after the last look would be removed unread otherwise.
	complete := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
	if _, err := file.Seek(s.read[path], io.SeekStart); err != nil {
		return err
	}
	r := bufio.NewReader(file)
	for {
		text, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) { // the rest of a line may still come
			break
		}
		if err != nil {
			return err
		}
		if err := s.add(ctx, bytes.TrimSpace(text), path); err != nil {
			return err
		}
		s.read[path] += int64(len(text))
	}
	if !complete {
		return nil
	}
	delete(s.read, path)
	return os.Remove(path)
}

// add adds one line. One that is none was cut short by a crash or a full disk, and came again if it could.
func (s *spilled) add(ctx context.Context, text []byte, path string) error {
	if len(text) == 0 {
		return nil
	}
	var batch usage.Batch
	if err := json.Unmarshal(text, &batch); err != nil || batch.Writer == "" || batch.Number <= 0 {
		s.log.Warn("a line of usage cannot be read and is left out", "file", strings.TrimSuffix(filepath.Base(path), spillSuffix), "error", err)
		return nil
	}
	if err := s.store.AddUsage(ctx, batch); err != nil {
		return err
	}
	s.tell(&batch)
	return nil
}

// countLast writes what was counted since the last time.
func (d *daemon) countLast(ctx context.Context) error {
	writing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := d.usage.Flush(writing); err != nil {
		return fmt.Errorf("writing what was used since the last second: %w", err)
	}
	return nil
}
