package history

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/palisade-run/palisade/accel"
)

// Bounds of what is kept.
const (
	Forget  = 30 * 24 * time.Hour // after which the file of a device that is not seen any more is removed
	mostOf  = 4096                // devices: 1.4 GiB in all
	perDay  = 24 * time.Hour
	ringExt = ".ring"
)

// ErrFull is a directory that holds the histories of as many devices as it may.
var ErrFull = errors.New("too many devices have a history")

// Store is the histories of all devices, in one directory. Record is called by one goroutine; Read by any.
type Store struct {
	dir   string
	mutex sync.Mutex
	names map[string]bool // of the files that are there
	swept time.Time
}

// Open takes up what is in a directory, which it makes where it is missing, and removes what is forgotten.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening the history of devices: %w", err)
	}
	s := &Store{dir: dir, names: map[string]bool{}}
	return s, s.sweep(time.Now())
}

// Record keeps what the devices of a node said. Samples of devices that are not listed are left out, as are those that
// say nothing. What goes wrong with one device stops no other; all errors are reported together.
func (s *Store) Record(node string, devices []accel.Device, samples []accel.Sample) error {
	var wrong []error
	if now := time.Now(); now.Sub(s.swept).Abs() > perDay { // also when the clock was set back
		wrong = append(wrong, s.sweep(now))
	}
	listed := make(map[string]bool, len(devices))
	for _, d := range devices {
		listed[d.ID] = true
	}
	for _, sample := range samples {
		silent := sample.Utilization < 0 && sample.MemoryUsed < 0 && sample.Temperature < 0 && sample.Power < 0
		if !listed[sample.Device] || silent {
			continue
		}
		r := record{
			at: sample.At, memory: max(sample.MemoryUsed, -1), utilization: max(sample.Utilization, -1),
			power: max(sample.Power, -1), temperature: max(sample.Temperature, -1),
		}
		if err := s.write(node, sample.Device, r); err != nil {
			wrong = append(wrong, fmt.Errorf("keeping the history of %s: %w", sample.Device, err))
		}
	}
	return errors.Join(wrong...)
}

// Read returns what a device of a node said from one time to another, both included, oldest first, and the step that
// the points have: the asked one, or Every where that is finer than what is kept. A device that never said anything has none.
func (s *Store) Read(node, device string, from, to time.Time, step time.Duration) ([]Point, time.Duration, error) {
	step = max(step, Every)
	f, err := os.Open(s.file(node, device))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, step, nil
	}
	if err != nil {
		return nil, step, fmt.Errorf("reading the history of %s: %w", device, err)
	}
	defer f.Close()
	content := make([]byte, fileSize)
	n, err := io.ReadFull(f, content)
	if content = content[:n]; err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, step, fmt.Errorf("reading the history of %s: %w", device, err)
	}
	if !isHead(content, node, device) {
		return nil, step, nil // it is made anew with the next sample
	}
	// What is older than a day is there only as far as nothing has been written over it: pieces, no history.
	if day := to.Add(-Span); from.Before(day) {
		from = day
	}
	return points(records(content, from, to), step), step, nil
}

func (s *Store) file(node, device string) string {
	k := key(node, device)
	return filepath.Join(s.dir, hex.EncodeToString(k[:16])+ringExt)
}

// write puts a record into the file of its device, which it makes where it is missing or not whole.
func (s *Store) write(node, device string, r record) error {
	name := s.file(node, device)
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err == nil && !whole(f, node, device) {
		f.Close()
		err = fs.ErrNotExist
	}
	if errors.Is(err, fs.ErrNotExist) {
		f, err = s.create(name, node, device)
	}
	if err != nil {
		return err
	}
	_, err = f.WriteAt(r.encode(), int64(headSize+place(r.at)*recordSize))
	return errors.Join(err, f.Close())
}

func whole(f *os.File, node, device string) bool {
	b := make([]byte, headSize)
	_, err := f.ReadAt(b, 0)
	return err == nil && isHead(b, node, device)
}

// create makes the file of a device, under another name until it is whole.
func (s *Store) create(name, node, device string) (f *os.File, err error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if len(s.names) >= mostOf && !s.names[name] {
		return nil, fmt.Errorf("%w: %d", ErrFull, mostOf)
	}
	unfinished := name + ".new"
	f, err = os.OpenFile(unfinished, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.Close()
			err = errors.Join(err, os.Remove(unfinished))
		}
	}()
	if _, err = f.Write(head(node, device)); err != nil {
		return nil, err
	}
	if err = f.Truncate(int64(fileSize)); err != nil {
		return nil, err
	}
	if err = os.Rename(unfinished, name); err != nil {
		return nil, err
	}
	s.names[name] = true
	return f, nil
}

// sweep removes the files into which nothing has been written for so long that their devices are forgotten, and those
// that were never finished. It leaves alone what is not its own.
func (s *Store) sweep(now time.Time) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.swept = now
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("sweeping the history of devices: %w", err)
	}
	clear(s.names)
	var wrong []error
	for _, e := range entries {
		name := filepath.Join(s.dir, e.Name())
		ring, unfinished := strings.HasSuffix(name, ringExt), strings.HasSuffix(name, ringExt+".new")
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() || !ring && !unfinished {
			continue // gone meanwhile, or not ours
		}
		if !unfinished && now.Sub(info.ModTime()) <= Forget {
			s.names[name] = true
			continue
		}
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			wrong = append(wrong, fmt.Errorf("sweeping the history of devices: %w", err))
		}
	}
	return errors.Join(wrong...)
}
