package blobs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Part is a file that comes. What is written is gone on with after a crash: to the byte where the program was killed, and from
// what was brought to the disk where the box failed. One program part fills it at a time.
type Part struct {
	store *Store
	key   string
	base  string // path without ending
	file  *os.File
	hash  *follower

	mu      sync.Mutex
	journal journal
	size    int64 // -1: not known
	here    spans
	began   int64 // bytes that were here when it was opened
	syncing bool
	synced  int64 // bytes that were here when it was brought to the disk last
	syncAt  time.Time
	closed  bool
	syncs   sync.WaitGroup
}

// How much may be lost when the box fails.
const (
	sureBytes = 1 << 30
	sureTime  = 30 * time.Second
)

// Part opens the part that is called key, for who fills it, and waits while another one does. size is of the whole file; -1:
// not known yet. A part that was begun with another size begins anew. The context's end ends the wait.
func (s *Store) Part(ctx context.Context, key string, size int64) (*Part, error) {
	own := &writer{done: make(chan struct{})}
	for {
		s.mu.Lock()
		other := s.writers[key]
		if other == nil {
			s.writers[key] = own
			s.mu.Unlock()
			break
		}
		s.mu.Unlock()
		select {
		case <-other.done:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	p, err := s.openPart(key, size)
	if err != nil {
		s.leave(key)
		return nil, explain(fmt.Errorf("opening a file to fill: %w", err))
	}
	s.mu.Lock()
	own.part = p
	s.mu.Unlock()
	return p, nil
}

// leave lets the next one fill a part.
func (s *Store) leave(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.writers[key].done)
	delete(s.writers, key)
}

// Coming is how many bytes of a part are here that somebody fills right now; 0 where nobody does.
func (s *Store) Coming(key string) int64 {
	s.mu.Lock()
	w := s.writers[key]
	var p *Part
	if w != nil {
		p = w.part
	}
	s.mu.Unlock()
	if p == nil {
		return 0
	}
	return p.Here()
}

// Begun is how many bytes of a part are here, whether or not somebody fills it.
func (s *Store) Begun(key string) int64 {
	if n := s.Coming(key); n > 0 {
		return n
	}
	r, err := s.lastRecord(s.partBase(key))
	if err != nil {
		return 0
	}
	return r.Here.bytes()
}

// Frontier is how many bytes of a part are here from its beginning on, whether or not somebody fills it.
func (s *Store) Frontier(key string) int64 {
	s.mu.Lock()
	var p *Part
	if w := s.writers[key]; w != nil {
		p = w.part
	}
	s.mu.Unlock()
	if p != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.here.frontier()
	}
	r, err := s.lastRecord(s.partBase(key))
	if err != nil {
		return 0
	}
	return r.Here.frontier()
}

func (s *Store) partBase(key string) string {
	sum := sha256.Sum256([]byte(key))
	return filepath.Join(s.dir, partsDir, hex.EncodeToString(sum[:]))
}

// lastRecord is what counts of a part: the journal where the box has run since, else what was brought to the disk.
func (s *Store) lastRecord(base string) (record, error) {
	r, is, err := readJournal(base + ".seen")
	if err != nil {
		return record{}, err
	}
	if !is || r.Boot != s.boot || s.boot == "" {
		if r, is, err = readJournal(base + ".sure"); err != nil {
			return record{}, err
		}
	}
	if !is {
		return record{Size: -1}, nil
	}
	info, err := os.Stat(base + ".part")
	if errors.Is(err, fs.ErrNotExist) {
		return record{Size: -1}, nil
	}
	if err != nil {
		return record{}, err
	}
	if r.Here = r.Here.within(info.Size()); r.Hashed > r.Here.frontier() {
		r.Hashed, r.State = 0, nil
	}
	return r, nil
}

func (s *Store) openPart(key string, size int64) (p *Part, err error) {
	p = &Part{store: s, key: key, base: s.partBase(key), size: size, syncAt: time.Now()}
	r, err := s.lastRecord(p.base)
	if err != nil {
		return nil, err
	}
	if size >= 0 && r.Size >= 0 && r.Size != size || size >= 0 && !r.Here.valid(size) {
		r = record{}
	}
	if size < 0 {
		p.size = r.Size
	}
	if p.file, err = os.OpenFile(p.base+".part", os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, err
	}
	if p.journal.file, err = os.OpenFile(p.base+".seen", os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, errors.Join(err, p.file.Close())
	}
	p.journal.turn = r.Turn
	p.here, p.began, p.synced = r.Here, r.Here.bytes(), r.Here.bytes()
	p.hash = follow(p.file, r.Hashed, r.State)
	// What is in the journal from now on is of this boot; so it must not say more than what counts now.
	if len(r.Here) == 0 {
		err = errors.Join(p.unsure(), p.clear(p.size))
	}
	for range 2 { // both slots: else the older one counts when the newer one is torn
		err = errors.Join(err, p.journal.write(p.record()))
	}
	if err == nil && p.size > 0 {
		err = p.file.Truncate(p.size) // sparse: the disk is not filled by this, and has few holes to look after
	}
	if err != nil {
		p.hash.end()
		return nil, errors.Join(err, p.journal.file.Close(), p.file.Close())
	}
	p.hash.reach(p.here.frontier())
	return p, nil
}

// record is what is known now. The caller holds mu, or has the part alone.
func (p *Part) record() record {
	hashed, state := p.hash.mark()
	return record{Key: p.key, Boot: p.store.boot, Size: p.size, Here: p.here, Hashed: hashed, State: state}
}

// Size of the whole file; -1: not known.
func (p *Part) Size() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.size
}

// Here is how many bytes are here.
func (p *Part) Here() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.here.bytes()
}

// Began is how many bytes were here when it was opened: of another run.
func (p *Part) Began() int64 { return p.began }

// Missing is what is not here; of a file of unknown size, nothing is known to be missing.
func (p *Part) Missing() []Span {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.here.missing(p.size)
}

// SetSize says how large the whole file is, once that is known.
func (p *Part) SetSize(size int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.here.valid(size) {
		return fmt.Errorf("a file of %d bytes has more than that already", size)
	}
	p.size = size
	return p.journal.write(p.record())
}

// WriteAt writes what came, and notes that it is here. What is here already is not written again: Reset comes before that.
// Several may write at once, each elsewhere. ErrNoSpace.
func (p *Part) WriteAt(data []byte, offset int64) (int, error) {
	n, err := p.file.WriteAt(data, offset)
	if noted := p.note(Span{offset, offset + int64(n)}, chunk{}); noted != nil {
		return 0, errors.Join(err, noted)
	}
	return n, explain(err)
}

// Give is WriteAt for who does not need the bytes any more: they are checked from memory where that can be, and given back when
// that is done. They are given back at once where they are not needed, and after an error.
func (p *Part) Give(data []byte, offset int64, back func()) error {
	p.hash.room()
	n, err := p.file.WriteAt(data, offset)
	given := chunk{data[:n], offset, back}
	if err != nil {
		given = chunk{}
		back()
	}
	return explain(errors.Join(err, p.note(Span{offset, offset + int64(n)}, given)))
}

// note notes that bytes are here; given, which may be none, is these bytes.
func (p *Part) note(s Span, given chunk) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := false
	defer func() {
		if !taken && given.back != nil {
			given.back()
		}
	}()
	here, apart := p.here.with(s)
	switch {
	case p.closed:
		return ErrClosed
	case !apart:
		return fmt.Errorf("bytes %d to %d are here already", s.Start, s.End)
	case p.size >= 0 && s.End > p.size:
		return fmt.Errorf("a file of %d bytes has none at %d", p.size, s.End)
	}
	if p.here = here; here.frontier() == s.End && given.back != nil { // nothing is missing before it
		taken = p.hash.give(given) // before reach: else it would be read
	}
	p.hash.reach(here.frontier())
	if err := p.journal.write(p.record()); err != nil {
		return explain(err)
	}
	// One that is complete is brought to the disk when it has its place: nobody waits for that.
	if now := time.Now(); !p.syncing && here.bytes() != p.size && (here.bytes()-p.synced >= sureBytes || now.Sub(p.syncAt) >= sureTime) {
		p.syncing, p.syncAt = true, now
		r := p.record()
		p.syncs.Go(func() { p.sync(r) })
	}
	return nil
}

// sync brings what is here to the disk, and notes that. Where it cannot, the last place that it could counts.
func (p *Part) sync(r record) {
	err := unix.Fdatasync(int(p.file.Fd()))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.syncing = false
	if err == nil && !p.closed {
		if err = writeSure(p.base+".sure", r); err == nil {
			p.synced = r.Here.bytes()
		}
	}
	if err != nil {
		p.store.log.Warn("what came of a file may not be there after a power failure", "file", p.base, "error", err)
	}
}

// Reset forgets all that is here.
func (p *Part) Reset(size int64) error {
	p.syncs.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.here, p.size, p.began, p.synced = nil, size, 0, 0
	p.hash.reset()
	// First the word that something is here, then it.
	err := p.unsure()
	for range 2 {
		err = errors.Join(err, p.journal.write(p.record()))
	}
	return errors.Join(err, p.clear(size))
}

// clear makes a file of which nothing counts one of size bytes; -1: not known. It is not made empty where that can be helped: a
// file that was, ext4 brings to the disk when it is closed, however large it has become since, and whoever closes it waits.
func (p *Part) clear(size int64) error {
	if size > 0 { // all of it is written over before it counts
		return p.file.Truncate(size)
	}
	info, err := p.file.Stat()
	if err != nil || info.Size() == 0 {
		return err
	}
	return p.file.Truncate(0)
}

// unsure takes back, for good, what was said to be on the disk.
func (p *Part) unsure() error {
	err := os.Remove(p.base + ".sure")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return errors.Join(err, syncDir(filepath.Dir(p.base)))
}

// ReadAt reads what is here.
func (p *Part) ReadAt(data []byte, offset int64) (int, error) { return p.file.ReadAt(data, offset) }

// Close leaves what is here for whoever goes on. After Commit and Discard it does nothing.
func (p *Part) Close() error {
	is, err := p.shut()
	if is {
		p.store.leave(p.key)
	}
	return err
}

// shut ends what goes on with a part; is is false where that has ended before.
func (p *Part) shut() (is bool, err error) {
	p.syncs.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false, nil
	}
	p.closed = true
	p.hash.end()
	return true, errors.Join(p.journal.write(p.record()), p.journal.file.Close(), p.file.Close())
}

// Discard removes what is here.
func (p *Part) Discard() error {
	is, err := p.shut()
	if is {
		err = errors.Join(err, removeAll(p.base+".sure", p.base+".seen", p.base+".part"))
		p.store.leave(p.key)
	}
	return err
}

// Commit makes a part whole: a file that is called by its checksum. All of it must be here. Where want is not empty and is not
// its checksum, it is ErrChecksum with that, and the part stays as it is.
func (p *Part) Commit(ctx context.Context, want string) (sum string, err error) {
	p.mu.Lock()
	size, left := p.size, p.here.missing(p.size)
	p.mu.Unlock()
	if size < 0 || len(left) > 0 {
		return "", fmt.Errorf("a file is not whole: %d spans of %d bytes are missing", len(left), size)
	}
	if sum, err = p.hash.sum(ctx, size); err != nil {
		return "", err
	}
	if want != "" && sum != want {
		return sum, fmt.Errorf("it has the checksum %s, and should have %s: %w", sum, want, ErrChecksum)
	}
	is, err := p.shut()
	if !is {
		return "", ErrClosed
	}
	if err == nil {
		err = p.store.adopt(p.base+".part", sum)
	}
	if err == nil { // else it is gone on with, once there is room again
		err = removeAll(p.base+".sure", p.base+".seen")
	}
	p.store.leave(p.key)
	return sum, explain(err)
}

// removeAll removes files that may not be there.
func removeAll(names ...string) error {
	var all error
	for _, name := range names {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			all = errors.Join(all, err)
		}
	}
	return all
}
