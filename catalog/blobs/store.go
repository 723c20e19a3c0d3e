package blobs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
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

	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/catalog/bytesize"
)

// Kinds of errors. Test with errors.Is; the text that wraps them is for people, and may carry a Hint() string.
var (
	ErrNotFound = errors.New("not here")
	ErrChecksum = errors.New("wrong checksum") // what came is not what was to come
	ErrCorrupt  = errors.New("damaged")        // what is here is not what came
	ErrNoSpace  = errors.New("no space")
	ErrOpen     = errors.New("in use by another program")
	ErrClosed   = errors.New("closed")
)

// Directories of a store.
const (
	wholeDir     = "sha256"    // ab/abcd...: whole files
	partsDir     = "parts"     // KEY.part, KEY.seen, KEY.sure: files that come
	notesDir     = "notes"     // what is known of places without checksums
	unsettledDir = "unsettled" // names of whole files that are not known to be on the disk, with the boot they came in
)

// Store is a directory of files by their checksums. One program has it open at a time. All calls may be made at once.
type Store struct {
	dir  string
	boot string
	log  *slog.Logger
	lock *os.File
	wake chan struct{} // to the settler
	stop context.CancelCauseFunc
	done sync.WaitGroup

	mu       sync.Mutex
	writers  map[string]*writer   // by key: who fills a part
	suspects map[string]bool      // whole files of another boot that were not settled: looked at before they are used
	touched  map[string]time.Time // when files were used that no folder may have yet
	adding   map[string]bool      // names of parts that Add fills
	reserved int64                // bytes that are to come
}

// writer fills a part. done is closed when it no longer does.
type writer struct {
	part *Part
	done chan struct{}
}

// Open opens a directory, and makes it where it is not there. ErrOpen where another program has it.
func Open(dir string, log *slog.Logger) (*Store, error) {
	for _, sub := range []string{wholeDir, partsDir, notesDir, unsettledDir} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, fmt.Errorf("opening the store of files: %w", err)
		}
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the store of files: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrOpen
		}
		return nil, fmt.Errorf("opening the store of files %s: %w", dir, err)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		boot = nil // then nothing counts that was not brought to the disk
	}
	ctx, stop := context.WithCancelCause(context.Background())
	s := &Store{
		dir: dir, boot: strings.TrimSpace(string(boot)), log: log, lock: lock, wake: make(chan struct{}, 1), stop: stop,
		writers: map[string]*writer{}, suspects: map[string]bool{}, touched: map[string]time.Time{}, adding: map[string]bool{},
	}
	if err := s.readUnsettled(); err != nil {
		stop(nil)
		return nil, errors.Join(err, lock.Close())
	}
	s.done.Go(func() { s.settle(ctx) })
	return s, nil
}

// Close ends what goes on in the background. Parts that are open must be closed before.
func (s *Store) Close() error {
	s.stop(ErrClosed)
	s.done.Wait()
	return s.lock.Close()
}

// Valid says whether a text is a checksum as files are called by it: 64 lower-case hexadecimal digits.
func Valid(sum string) bool {
	raw, err := hex.DecodeString(sum)
	return err == nil && len(raw) == sha256.Size && sum == strings.ToLower(sum)
}

func (s *Store) path(sum string) string { return filepath.Join(s.dir, wholeDir, sum[:2], sum) }

// Size is how many bytes a whole file has. is is false where it is not here.
func (s *Store) Size(sum string) (bytes int64, is bool) {
	if !Valid(sum) {
		return 0, false
	}
	info, err := os.Lstat(s.path(sum))
	if err != nil || !info.Mode().IsRegular() {
		return 0, false
	}
	return info.Size(), true
}

// Has says whether a file is here, whole.
func (s *Store) Has(sum string) bool {
	_, is := s.Size(sum)
	return is
}

// Sure is Size of a file that is about to be used: it is not swept for a day, or until Link or Release. One that a power failure may have damaged
// is read first; where it is damaged it is removed, and is not here.
func (s *Store) Sure(ctx context.Context, sum string) (bytes int64, is bool, err error) {
	s.mu.Lock()
	suspect := s.suspects[sum]
	s.touched[sum] = time.Now()
	s.mu.Unlock()
	if suspect {
		if err := s.Verify(ctx, sum, nil); err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrNotFound) {
			return 0, false, err
		}
	}
	bytes, is = s.Size(sum)
	return bytes, is, nil
}

// Open reads a whole file. ErrNotFound.
func (s *Store) Open(sum string) (*os.File, error) {
	if !Valid(sum) {
		return nil, missing(sum)
	}
	file, err := os.Open(s.path(sum))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, missing(sum)
	}
	return file, err
}

func missing(sum string) error {
	return fmt.Errorf("the file with the checksum %.12s…: %w", sum, ErrNotFound)
}

// Link gives a file a name in a directory, where anything that has the name is replaced; directories on the way are made. It
// is a hard link; a copy where the disk has none or is another one. ErrNotFound, ErrCorrupt, ErrNoSpace.
func (s *Store) Link(sum string, root *os.Root, name string) (err error) {
	if _, is, err := s.Sure(context.Background(), sum); err != nil || !is {
		return errors.Join(err, missing(sum))
	}
	if dir := filepath.Dir(name); dir != "." {
		if err := root.MkdirAll(dir, 0o755); err != nil {
			return explain(err)
		}
	}
	dir, err := root.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	defer dir.Close()
	aside := ".palisade-" + sum[:16]
	if err := dropAt(dir, aside); err != nil {
		return err
	}
	s.mu.Lock() // against Sweep, which looks how many names a file has
	err = unix.Linkat(unix.AT_FDCWD, s.path(sum), int(dir.Fd()), aside, 0)
	s.mu.Unlock()
	if errors.Is(err, unix.EXDEV) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EMLINK) || errors.Is(err, unix.EOPNOTSUPP) {
		err = s.copyTo(sum, root, filepath.Join(filepath.Dir(name), aside))
	}
	if err == nil {
		err = unix.Renameat(int(dir.Fd()), aside, int(dir.Fd()), filepath.Base(name))
	}
	s.Release(sum) // it has a name now
	// Renaming one of two names of a file to the other does nothing.
	if err = errors.Join(err, dropAt(dir, aside)); err != nil {
		return explain(fmt.Errorf("putting %s into its folder: %w", name, err))
	}
	return nil
}

func dropAt(dir *os.File, name string) error {
	if err := unix.Unlinkat(int(dir.Fd()), name, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	return nil
}

func (s *Store) copyTo(sum string, root *os.Root, name string) error {
	from, err := s.Open(sum)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		return err
	}
	// Shared blocks where the disk can; and what was copied is on the disk before its name counts.
	if err = unix.IoctlFileClone(int(to.Fd()), int(from.Fd())); err != nil {
		_, err = io.Copy(to, from)
	}
	return errors.Join(err, to.Sync(), to.Close())
}

// Free is how many bytes the disk has left beside what is to come.
func (s *Store) Free() (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.free()
}

// free is Free for who holds mu.
func (s *Store) free() (int64, error) {
	var disk unix.Statfs_t
	if err := unix.Statfs(s.dir, &disk); err != nil {
		return 0, fmt.Errorf("looking how full the disk is: %w", err)
	}
	return max(0, int64(disk.Bavail)*disk.Bsize-s.reserved), nil
}

// Reservation is room of the disk that others do not count as free.
type Reservation struct {
	store *Store
	mu    sync.Mutex
	left  int64
}

// Reserve keeps room for bytes that are to come beside keep that are to stay free. ErrNoSpace with how much there is.
func (s *Store) Reserve(bytes, keep int64) (*Reservation, error) {
	bytes = max(0, bytes)
	s.mu.Lock() // until it is taken: else two who ask at once get the same room
	defer s.mu.Unlock()
	free, err := s.free()
	if err != nil {
		return nil, err
	}
	if bytes > 0 && bytes > free-keep {
		return nil, &full{message: fmt.Sprintf("%s are to come, and %s are free", bytesize.Format(bytes), bytesize.Format(max(0, free-keep)))}
	}
	s.reserved += bytes
	return &Reservation{store: s, left: bytes}, nil
}

// Came says that so many bytes are here now.
func (r *Reservation) Came(bytes int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	bytes = min(bytes, r.left)
	r.left -= bytes
	r.store.mu.Lock()
	r.store.reserved -= bytes
	r.store.mu.Unlock()
}

// Release gives up what is left.
func (r *Reservation) Release() {
	r.mu.Lock()
	left := r.left
	r.mu.Unlock()
	r.Came(left)
}

// full is an ErrNoSpace.
type full struct {
	message string
	cause   error
}

func (f *full) Error() string { return "the disk has no room: " + f.message }
func (f *full) Hint() string {
	return "palisade model gc removes what no model needs; what came is kept, and gone on with"
}

func (f *full) Unwrap() []error {
	if f.cause == nil {
		return []error{ErrNoSpace}
	}
	return []error{ErrNoSpace, f.cause}
}

// explain makes an ErrNoSpace of what a full disk says.
func explain(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return &full{message: err.Error(), cause: err}
	}
	return err
}
