package usage

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"

	"golang.org/x/sys/unix"
)

// A journal is a file that has what a meter counted and its store does not have yet. It is mapped into memory, so that to keep a request
// is a few stores beside the sums themselves, and the kernel has them when the process is killed. What the kernel had not written goes
// with the machine's power.
//
// Each shard has two areas: requests are in one while the other's are on their way to the store. An area has the number of the batch that
// its rows are of, so that who recovers them adds them under the same number, and the store leaves alone what it has. While a store
// fails, batches that wait for it are beside the journal, in a file that is made anew each time.

// JournalSuffix ends the names of journals. One that is locked is in use: see Recover.
const JournalSuffix = ".counted"

const (
	heldSuffix = ".held" // after the journal's name

	journalMagic = "palisade usage journal 1"
	journalHead  = 4096 // magic, writer
	writerAt     = 64
	areaSize     = 64 << 10
	areaHead     = 16 // number, bytes of records
	recordHead   = 32 // size, class, lengths of five texts, hour
	sumsSize     = 64
)

type journal struct {
	path  string
	file  *os.File
	mem   []byte
	areas []*area
}

// area is a part of a journal: rows that are in one batch. Whoever has it is its shard's, or the flusher.
type area struct {
	mem    []byte
	used   int
	broken bool // its disk did not take what was written: it is used no more
}

// openJournal makes one for n shards, and locks it. It takes its room on the disk at once: later there may be none.
func openJournal(dir, writer string, n int) (*journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, writer+JournalSuffix)
	file, err := os.OpenFile(path+".new", os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	j := &journal{path: path, file: file}
	size := journalHead + 2*n*areaSize
	if err = unix.Fallocate(int(file.Fd()), 0, 0, int64(size)); errors.Is(err, unix.EOPNOTSUPP) { // NFS, and some others
		err = fill(file, size)
	}
	if err == nil {
		err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if err == nil {
		j.mem, err = unix.Mmap(int(file.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), file.Close(), os.Remove(path+".new"))
	}
	// Where it may. Nothing is read from the disk then; the first store to a page after it was written back waits for the file system all
	// the same, where that is frozen.
	_ = unix.Mlock(j.mem)
	copy(j.mem, journalMagic)
	copy(j.mem[writerAt:journalHead], writer)
	for at := journalHead; at < size; at += areaSize {
		j.areas = append(j.areas, &area{mem: j.mem[at : at+areaSize]})
	}
	if err := os.Rename(path+".new", path); err != nil {
		return nil, errors.Join(err, unix.Munmap(j.mem), file.Close(), os.Remove(path+".new"))
	}
	return j, nil
}

// fill takes room on a disk that cannot be asked for it.
func fill(file *os.File, size int) error {
	_, err := file.Write(make([]byte, size))
	return err
}

// close ends a journal. One of which the store has all is removed.
func (j *journal) close(whole bool) (err error) {
	if whole {
		err = Recovered(j.path)
	}
	return errors.Join(err, unix.Munmap(j.mem), j.file.Close())
}

// hold puts batches beside the journal that wait for the store, in the place of those that were there.
func (j *journal) hold(batches []Batch) error {
	path := j.path + heldSuffix
	if len(batches) == 0 {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return nil
	}
	text, err := json.Marshal(batches)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil { // the store may have been away for hours: that is not to go with the power
		return err
	}
	return os.Rename(path+".new", path)
}

// begin has an area, which is empty, be of a batch.
func (a *area) begin(number int64) {
	a.guard(func() { binary.LittleEndian.PutUint64(a.mem, uint64(number)) })
}

// clear forgets all rows.
func (a *area) clear() {
	a.used = 0
	a.guard(func() { binary.LittleEndian.PutUint64(a.mem[8:], 0) })
}

// guard does what writes to the disk's pages. A disk that is full or broken says so by a fault.
func (a *area) guard(write func()) {
	if a.broken {
		return
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			if _, is := r.(interface{ Addr() uintptr }); !is {
				panic(r)
			}
			a.broken = true
		}
	}()
	write()
}

// put keeps an entry's sums as they are now; false: there is no room for another entry.
func (a *area) put(e *entry) (kept bool) {
	kept = true
	a.guard(func() {
		if e.place == 0 {
			if kept = a.add(e); !kept {
				return
			}
		}
		e.write(a.mem[e.place : e.place+sumsSize])
	})
	return kept
}

// add makes room for an entry, and counts it in when it is whole.
func (a *area) add(e *entry) bool {
	texts := [...]string{e.Token, e.Project, e.ServiceID, e.Service, e.Model[:min(len(e.Model), maxName)]}
	size := recordHead + sumsSize
	for _, t := range texts {
		size += len(t)
	}
	size = (size + 7) &^ 7
	at := areaHead + a.used
	if at+size > len(a.mem) {
		return false
	}
	r := a.mem[at : at+size]
	binary.LittleEndian.PutUint32(r, uint32(size))
	r[4] = byte(e.class)
	binary.LittleEndian.PutUint64(r[24:], uint64(e.hour))
	text := r[recordHead+sumsSize:]
	for i, t := range texts {
		binary.LittleEndian.PutUint16(r[8+2*i:], uint16(len(t)))
		text = text[copy(text, t):]
	}
	clear(r[recordHead : recordHead+sumsSize])
	a.used += size
	binary.LittleEndian.PutUint64(a.mem[8:], uint64(a.used))
	e.place = at + recordHead
	return true
}

// all are the fields in the order in which they are written.
func (u *Sums) all() [8]*int64 {
	return [8]*int64{&u.Requests, &u.Prompt, &u.Completion, &u.Cached, &u.Estimated, &u.Streams, &u.First, &u.Took}
}

func (u *Sums) write(to []byte) {
	_ = to[63]
	binary.LittleEndian.PutUint64(to[8:], uint64(u.Prompt))
	binary.LittleEndian.PutUint64(to[16:], uint64(u.Completion))
	binary.LittleEndian.PutUint64(to[24:], uint64(u.Cached))
	binary.LittleEndian.PutUint64(to[32:], uint64(u.Estimated))
	binary.LittleEndian.PutUint64(to[40:], uint64(u.Streams))
	binary.LittleEndian.PutUint64(to[48:], uint64(u.First))
	binary.LittleEndian.PutUint64(to[56:], uint64(u.Took))
	binary.LittleEndian.PutUint64(to, uint64(u.Requests)) // last: one that is not in is not there at all
}

// Recover reads what the meter of a process that was killed had counted and may not have brought to its store: batches to be added in
// this order, each of which the store may have. Nobody must have the journal's lock, and what that process has handed on in other ways
// is to be added before. Where parts cannot be read, ErrBroken says so beside what the others hold; any other error says nothing of the
// journal, and it can be tried again.
func Recover(path string) ([]Batch, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if len(text) < journalHead || string(text[:len(journalMagic)]) != journalMagic {
		return nil, fmt.Errorf("%s is no journal of usage, or was cut short: %w", path, ErrBroken)
	}
	end := slices.Index(text[writerAt:journalHead], 0)
	writer := string(text[writerAt : writerAt+max(end, 0)])
	var batches []Batch
	var broken error
	held, err := os.ReadFile(path + heldSuffix)
	switch {
	case err == nil:
		if err := json.Unmarshal(held, &batches); err != nil {
			batches, broken = nil, fmt.Errorf("%s: %w: %w", path+heldSuffix, ErrBroken, err)
		}
	case !errors.Is(err, os.ErrNotExist):
		return nil, err
	}
	last := int64(0)
	for _, b := range batches {
		last = max(last, b.Number)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	tables := map[int64]*table{}
	for at := journalHead; at+areaSize <= len(text); at += areaSize {
		mem := text[at : at+areaSize]
		number := int64(binary.LittleEndian.Uint64(mem))
		if number <= last { // those are in what was held
			continue
		}
		if tables[number] == nil {
			tables[number] = newTable()
		}
		if err := tables[number].read(mem[areaHead:], binary.LittleEndian.Uint64(mem[8:])); err != nil {
			broken = errors.Join(broken, fmt.Errorf("%s: %w", path, err))
		}
	}
	for number, t := range tables {
		if len(t.rows) > 0 {
			batches = append(batches, Batch{Writer: writer, Number: number, At: info.ModTime(), Rows: t.sorted()})
		}
	}
	slices.SortFunc(batches, func(a, b Batch) int { return int(a.Number - b.Number) })
	return batches, broken
}

// ErrBroken is that of a journal that was damaged.
var ErrBroken = errors.New("it cannot be read")

// read adds the records of an area.
func (t *table) read(mem []byte, used uint64) error {
	if used > uint64(len(mem)) {
		return ErrBroken
	}
	for mem = mem[:used]; len(mem) > 0; {
		if len(mem) < recordHead+sumsSize {
			return ErrBroken
		}
		size := int(binary.LittleEndian.Uint32(mem))
		if size < recordHead+sumsSize || size > len(mem) || mem[4] >= byte(classes) {
			return ErrBroken
		}
		text, texts := mem[recordHead+sumsSize:size], [5]string{}
		for i := range texts {
			n := int(binary.LittleEndian.Uint16(mem[8+2*i:]))
			if n > len(text) {
				return ErrBroken
			}
			texts[i], text = string(text[:n]), text[n:]
		}
		var sums Sums
		for i, field := range sums.all() {
			*field = int64(binary.LittleEndian.Uint64(mem[recordHead+8*i:]))
		}
		if sums.Requests > 0 {
			k := Key{Token: texts[0], Project: texts[1], ServiceID: texts[2], Service: texts[3], Model: nameOf(texts[4])}
			t.at(&k, int64(binary.LittleEndian.Uint64(mem[24:])), Class(mem[4]), maxWaiting).Add(&sums)
		}
		mem = mem[size:]
	}
	return nil
}

// SetAside keeps a journal that is broken, under names by which nobody looks for one, for who wants to look into it.
func SetAside(path string) error {
	if err := os.Rename(path+heldSuffix, path+heldSuffix+".broken"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.Rename(path, path+".broken")
}

// Recovered removes a journal whose batches are in the store.
func Recovered(path string) error {
	if err := os.Remove(path + heldSuffix); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.Remove(path)
}
