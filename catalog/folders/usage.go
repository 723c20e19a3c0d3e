package folders

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Use is what lies in a folder.
type Use struct {
	Bytes       int64 // of plain files, as long as they say they are; one with several names counts once
	Files       int64 // all that is no directory
	Directories int64
	At          time.Time // when it was counted
	Incomplete  bool      // counting was given up: there is at least so much
}

// Bounds of counting what is in one folder.
const (
	countMost = 5_000_000 // entries
	countLong = 30 * time.Second
)

// inode tells one file that has several names from another.
type inode struct{ device, number uint64 }

// inodeOf is nothing for a file with one name.
func inodeOf(info fs.FileInfo) inode {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Nlink < 2 {
		return inode{}
	}
	return inode{uint64(st.Dev), st.Ino} //nolint:unconvert // another type elsewhere
}

// maxNested is how many directories may lie in one another.
const maxNested = 256

// count looks through a directory. It gives up when ctx ends or there is too much, and says so in Incomplete. coming says
// whether a part of that name is an upload's under way, which is counted by who brings it.
func count(ctx context.Context, dir string, now time.Time, coming func(part string) bool) (Use, error) {
	u := Use{At: now}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return u, err
	}
	defer root.Close()
	seen := map[inode]bool{}
	left := []string{"."} // not one within another: each would be open as long as those in it
	for len(left) > 0 {
		here := left[len(left)-1]
		left = left[:len(left)-1]
		below, err := entriesOf(root, here, func(e fs.DirEntry) bool {
			switch {
			case ctx.Err() != nil || u.Files+u.Directories > countMost:
				u.Incomplete = true
				return false
			case here == "." && e.Name() == partsDir:
				return true
			case e.IsDir():
				u.Directories++
				return true
			case here == partsDir && coming(e.Name()):
				return true
			}
			u.Files++
			if !e.Type().IsRegular() {
				return true
			}
			info, err := e.Info()
			if err != nil {
				return true // gone since
			}
			if id := inodeOf(info); id != (inode{}) {
				if seen[id] {
					return true
				}
				seen[id] = true
			}
			u.Bytes = addUp(u.Bytes, info.Size())
			return true
		})
		gone := errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, fs.ErrPermission)
		if err != nil && (here == "." || !gone) {
			return u, err
		}
		if strings.Count(here, "/") >= maxNested {
			u.Incomplete = u.Incomplete || len(below) > 0
			continue
		}
		if u.Incomplete {
			break
		}
		left = append(left, below...)
	}
	return u, nil
}

// entriesOf tells visit of all that is in a directory, until that says false, and returns the directories in it.
func entriesOf(root *os.Root, dir string, visit func(fs.DirEntry) bool) (below []string, err error) {
	d, err := openDir(root, dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	for {
		entries, err := d.ReadDir(1000) // as many as there are: a folder may have millions
		for _, e := range entries {
			if !visit(e) {
				return below, nil
			}
			if e.IsDir() {
				below = append(below, filepath.Join(dir, e.Name()))
			}
		}
		if errors.Is(err, io.EOF) {
			return below, nil
		}
		if err != nil {
			return below, err
		}
	}
}

// addUp does not go over: a sparse file may say that it has exabytes.
func addUp(a, b int64) int64 {
	if b > math.MaxInt64-a {
		return math.MaxInt64
	}
	return a + b
}

// account is what is known of what one folder holds.
type account struct {
	counting sync.Mutex // one count of a folder at a time

	use   Use    // with what uploads have changed since; At zero: never counted
	stale bool   // something was done that makes a count necessary
	over  string // what was said last of its quota
	// coming is what uploads under way will add, by upload.
	coming map[string]int64
	// apart is a folder that is not among the rows yet.
	apart *Folder
}

func (a *account) total() int64 {
	sum := a.use.Bytes
	for _, n := range a.coming {
		sum = max(0, addUp(sum, n))
	}
	return sum
}

// How old a count may be: what nobody but uploads writes changes through them alone, and they are counted as they come.
const (
	freshInUse = 5 * time.Second
	freshIdle  = 10 * time.Minute
)

// accountOf returns a folder's account. Its fields are read and written under fo.counts.
func (fo *Keeper) accountOf(id string) *account {
	fo.counts.Lock()
	defer fo.counts.Unlock()
	if fo.accounts == nil {
		fo.accounts = map[string]*account{}
	}
	a := fo.accounts[id]
	if a == nil {
		a = &account{coming: map[string]int64{}}
		fo.accounts[id] = a
	}
	return a
}

// Use is what a folder holds, counted anew where the last count is older than maxAge.
func (fo *Keeper) Use(ctx context.Context, f Folder, maxAge time.Duration) (Use, error) {
	a := fo.accountOf(f.ID)
	a.counting.Lock() // whoever waits here finds a fresh count
	defer a.counting.Unlock()
	fo.counts.Lock()
	use, fresh := a.use, !a.stale && !a.use.At.IsZero() && time.Since(a.use.At) <= maxAge
	before := a.use.Bytes
	if !fresh {
		a.stale = false
	}
	fo.counts.Unlock()
	if fresh {
		return use, nil
	}
	bounded, cancel := context.WithTimeout(ctx, countLong)
	defer cancel()
	if fo.Away(f) {
		return fo.useElsewhere(bounded, f, maxAge, a)
	}
	use, err := count(bounded, f.Path, time.Now(), func(part string) bool {
		fo.counts.Lock()
		defer fo.counts.Unlock()
		_, known := a.coming[part]
		return known
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = f.gone()
	}
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx) // who asked went away: what was seen until then is no count
	}
	fo.counts.Lock()
	defer fo.counts.Unlock()
	if err != nil {
		a.stale = true
		return use, fmt.Errorf("counting what folder %s holds: %w", f.Name, err)
	}
	// What was uploaded while this looked may have been seen, or not: at the worst it counts twice until the next count.
	use.Bytes = max(0, addUp(use.Bytes, max(0, a.use.Bytes-before)))
	a.use = use
	return use, nil
}

// fresh is how old a count of a folder may be when something is decided by it.
func (fo *Keeper) fresh(f Folder) time.Duration {
	if _, used := fo.inUse(f.ID); used || f.Imported {
		return freshInUse
	}
	return freshIdle
}

// changed says that something was taken away or moved: the next who asks counts.
func (fo *Keeper) changed(id string) {
	a := fo.accountOf(id)
	fo.counts.Lock()
	defer fo.counts.Unlock()
	a.stale = true
}
