package blobs

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Blob is a whole file.
type Blob struct {
	SHA256 string
	Bytes  int64
	Since  time.Time
	Names  int // in folders, by hard links
	// What the disk calls it: its names in folders are those of the same.
	Device, Inode uint64
}

// List is all whole files, by checksum.
func (s *Store) List(ctx context.Context) ([]Blob, error) {
	out := []Blob{}
	err := filepath.WalkDir(filepath.Join(s.dir, wholeDir), func(_ string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // removed since
		case err != nil:
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !e.Type().IsRegular() || !Valid(e.Name()):
			return nil
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		b := Blob{SHA256: e.Name(), Bytes: info.Size(), Since: info.ModTime(), Names: names(info)}
		if st, is := info.Sys().(*syscall.Stat_t); is {
			b.Device, b.Inode = uint64(st.Dev), st.Ino //nolint:unconvert // not as wide on all systems
		}
		out = append(out, b)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing the files of models: %w", err)
	}
	return out, nil
}

// names is how many names a file has beside the store's own.
func names(info fs.FileInfo) int {
	if st, is := info.Sys().(*syscall.Stat_t); is {
		return int(st.Nlink) - 1
	}
	return 0
}

const addPrefix = "add-" // of parts that nobody goes on with

// SumKey is what the key of a part begins with whose SHA-256 is known; that follows.
const SumKey = "sha256:"

// Add takes a file of which it is not known where it comes from, or that is made here. want, where it is not empty, must be its
// checksum. ErrChecksum, ErrNoSpace.
func (s *Store) Add(ctx context.Context, r io.Reader, want string) (sum string, bytes int64, err error) {
	base := addPrefix + strings.ToLower(rand.Text())
	s.mu.Lock()
	s.adding[base] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.adding, base)
	}()
	name := filepath.Join(s.dir, partsDir, base+".part")
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", 0, explain(err)
	}
	defer func() {
		if err != nil {
			err = explain(errors.Join(err, removeAll(name)))
		}
	}()
	h := sha256.New()
	bytes, err = io.CopyBuffer(io.MultiWriter(file, h), &interruptible{ctx, r}, make([]byte, 256<<10))
	if err = errors.Join(err, file.Close()); err != nil {
		return "", 0, err
	}
	if sum = hex.EncodeToString(h.Sum(nil)); want != "" && sum != want {
		return "", 0, fmt.Errorf("it has the checksum %s, and should have %s: %w", sum, want, ErrChecksum)
	}
	return sum, bytes, s.adopt(name, sum)
}

// interruptible ends a copy when ctx does.
type interruptible struct {
	ctx context.Context
	r   io.Reader
}

func (i *interruptible) Read(p []byte) (int, error) {
	if i.ctx.Err() != nil {
		return 0, context.Cause(i.ctx)
	}
	return i.r.Read(p)
}

// Verify reads a whole file and compares its checksum; tell, which may be nil, is told how many bytes were read. One that is
// not what it was is ErrCorrupt and no longer here: it can be fetched again. ErrNotFound.
func (s *Store) Verify(ctx context.Context, sum string, tell func(bytes int64)) error {
	file, err := s.Open(sum)
	if err != nil {
		s.cleared(sum)
		return err
	}
	defer file.Close()
	h, r := sha256.New(), io.Reader(&interruptible{ctx, file})
	if tell != nil {
		r = &counted{r: r, tell: tell}
	}
	if _, err := io.CopyBuffer(h, r, make([]byte, 1<<20)); err != nil && !errors.Is(err, syscall.EIO) {
		return fmt.Errorf("reading the file %.12s… back: %w", sum, err)
	} else if err == nil && hex.EncodeToString(h.Sum(nil)) == sum {
		s.cleared(sum)
		return nil
	}
	s.mu.Lock()
	err = os.Remove(s.path(sum))
	s.mu.Unlock()
	s.cleared(sum)
	return errors.Join(fmt.Errorf("the file with the checksum %.12s…: %w", sum, ErrCorrupt), err)
}

// cleared takes a file from the suspects.
func (s *Store) cleared(sum string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.suspects, sum)
}

// counted tells how much was read.
type counted struct {
	r     io.Reader
	bytes int64
	tell  func(int64)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.bytes += int64(n)
	c.tell(c.bytes)
	return n, err
}

// Sweep deletes what nothing needs: whole files that used does not claim, that have no name in a folder and came before before,
// and parts that nobody has filled since then nor, where their checksum is not known, for a day. It returns how many bytes that
// frees.
func (s *Store) Sweep(ctx context.Context, used func(sum string) bool, before time.Time) (freed int64, err error) {
	all, err := s.List(ctx)
	if err != nil {
		return 0, err
	}
	for _, b := range all {
		if ctx.Err() != nil {
			return freed, context.Cause(ctx)
		}
		if b.Names > 0 || !b.Since.Before(before) || used(b.SHA256) {
			continue
		}
		is, err := s.sweepOne(b.SHA256)
		if err != nil {
			return freed, err
		}
		if is {
			freed += b.Bytes
		}
	}
	s.forgetTouched(time.Now())
	parts, err := s.sweepParts(used, before)
	return freed + parts, errors.Join(err, s.sweepNotes())
}

// touch is how long a file that somebody means to use is left alone.
const touch = 24 * time.Hour

// Release says that files are not used after all that Sure or a Fetcher has touched: they may be swept.
func (s *Store) Release(sums ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sum := range sums {
		delete(s.touched, sum)
	}
}

// forgetTouched drops what no longer keeps a file from being swept: most of it was asked for, and never came.
func (s *Store) forgetTouched(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.touched, func(_ string, at time.Time) bool { return now.Sub(at) >= touch })
}

// sweepOne removes a file, unless somebody has taken it since it was listed.
func (s *Store) sweepOne(sum string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, is := s.touched[sum]; is && time.Since(at) < touch {
		return false, nil
	}
	info, err := os.Lstat(s.path(sum))
	if errors.Is(err, fs.ErrNotExist) || err == nil && names(info) > 0 {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	delete(s.touched, sum)
	return true, os.Remove(s.path(sum))
}

func (s *Store) sweepParts(used func(sum string) bool, before time.Time) (freed int64, err error) {
	entries, err := os.ReadDir(filepath.Join(s.dir, partsDir))
	if err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	open := maps.Clone(s.adding)
	for key := range s.writers {
		open[filepath.Base(s.partBase(key))] = true
	}
	for _, e := range entries {
		base := strings.TrimSuffix(e.Name(), filepath.Ext(e.Name()))
		info, err := e.Info()
		if err != nil || open[base] || !info.ModTime().Before(before) || s.wanted(base, info.ModTime(), used) {
			continue
		}
		if st, is := info.Sys().(*syscall.Stat_t); is {
			freed += st.Blocks * 512
		}
		if err := removeAll(filepath.Join(s.dir, partsDir, e.Name())); err != nil {
			return freed, err
		}
	}
	return freed, nil
}

// wanted says whether a part is to be gone on with: one of a file that is claimed, and, where it is not known of which file it
// is, a young one.
func (s *Store) wanted(base string, at time.Time, used func(sum string) bool) bool {
	if strings.HasPrefix(base, addPrefix) {
		return false
	}
	r, is, err := readJournal(filepath.Join(s.dir, partsDir, base+".seen"))
	if sum, named := strings.CutPrefix(r.Key, SumKey); err == nil && is && named {
		return used(sum)
	}
	return time.Since(at) < touch
}

// Noted is what a place without checksums was found to have.
type Noted struct {
	Files []NotedFile `json:"files"`
}

// NotedFile is one whole file.
type NotedFile struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
	Bytes  int64  `json:"bytes"`
	Run    bool   `json:"run,omitempty"`
}

func (s *Store) notePath(key string) string {
	sum := sha256.Sum256([]byte(key))
	return filepath.Join(s.dir, notesDir, hex.EncodeToString(sum[:]))
}

// Note keeps what was found at key, which must say so much of the place that it cannot have anything else: an ETag, a commit.
func (s *Store) Note(key string, n Noted) error {
	text, err := json.Marshal(n)
	if err != nil {
		return err
	}
	name := s.notePath(key)
	aside := name + "." + strings.ToLower(rand.Text())
	if err := os.WriteFile(aside, text, 0o600); err != nil {
		return explain(err)
	}
	return os.Rename(aside, name)
}

// Noted is what was found at key, where all of it is still here.
func (s *Store) Noted(ctx context.Context, key string) (n Noted, is bool) {
	text, err := os.ReadFile(s.notePath(key))
	if err != nil || json.Unmarshal(text, &n) != nil || len(n.Files) == 0 {
		return Noted{}, false
	}
	for _, f := range n.Files {
		bytes, here, err := s.Sure(ctx, f.SHA256)
		if err != nil || !here || bytes != f.Bytes {
			return Noted{}, false
		}
	}
	return n, true
}

// sweepNotes removes notes of which the files are gone.
func (s *Store) sweepNotes() error {
	entries, err := os.ReadDir(filepath.Join(s.dir, notesDir))
	if err != nil {
		return err
	}
	for _, e := range entries {
		name, n := filepath.Join(s.dir, notesDir, e.Name()), Noted{}
		text, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		gone := json.Unmarshal(text, &n) != nil
		for _, f := range n.Files {
			gone = gone || !s.Has(f.SHA256)
		}
		if gone {
			if err := removeAll(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// Drop removes a whole file that has no name in a folder and that nobody has touched: see Release.
func (s *Store) Drop(sum string) error {
	if !Valid(sum) {
		return nil
	}
	_, err := s.sweepOne(sum)
	return err
}
