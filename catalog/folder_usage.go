package catalog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// ErrQuota says that a folder, or all of a project, would hold more than it may.
var ErrQuota = errors.New("quota exceeded")

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
func (fo *Folders) accountOf(id string) *account {
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
func (fo *Folders) Use(ctx context.Context, f Folder, maxAge time.Duration) (Use, error) {
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
func (fo *Folders) fresh(f Folder) time.Duration {
	if _, used := fo.inUse(f.ID); used || f.Imported {
		return freshInUse
	}
	return freshIdle
}

// Bound is how much a folder, or a project, may hold and does.
type Bound struct {
	Limit int64 // bytes; 0: none
	Held  int64 // with what is on its way
}

// Over reports whether it holds more than it may.
func (b Bound) Over() bool { return b.Limit > 0 && b.Held > b.Limit }

// Bounds are those of a folder and of its project, as they stand.
func (fo *Folders) Bounds(ctx context.Context, f Folder) (folder, project Bound, err error) {
	if err := fo.readUploads(ctx); err != nil { // those of an earlier daemon count, too
		return folder, project, err
	}
	folder.Limit, project.Limit = f.Quota, fo.projectQuota(f.Project)
	if folder.Limit > 0 {
		if folder.Held, err = fo.held(ctx, f); err != nil {
			return folder, project, err
		}
	}
	if project.Limit > 0 {
		project.Held, err = fo.heldBy(ctx, func(o *Folder) bool { return o.Project == f.Project })
	}
	return folder, project, err
}

// FolderQuotas are bytes that all folders of a project, or all that a person has made, may hold; "*" is of each that has none
// of its own, 0 no bound.
type FolderQuotas struct{ Projects, People map[string]int64 }

// SetQuotas puts others in the place of Settings.Quotas, at any time. What is there already stays.
func (fo *Folders) SetQuotas(q FolderQuotas) { fo.quotas.Store(&q) }

func (fo *Folders) projectQuota(project string) int64 {
	if q := fo.quotas.Load(); q != nil {
		return folderQuota(q.Projects, project)
	}
	return folderQuota(fo.Settings.Quotas, project)
}

func folderQuota(of map[string]int64, name string) int64 {
	if q, ok := of[name]; ok {
		return q
	}
	return of["*"]
}

func (fo *Folders) personQuota(person string) int64 {
	if q := fo.quotas.Load(); q != nil && person != "" {
		return folderQuota(q.People, person)
	}
	return 0
}

// personBound is that of who made a folder, as it stands.
func (fo *Folders) personBound(ctx context.Context, f Folder) (b Bound, err error) {
	if b.Limit = fo.personQuota(f.CreatedBy); b.Limit > 0 {
		b.Held, err = fo.heldBy(ctx, func(o *Folder) bool { return o.CreatedBy == f.CreatedBy })
	}
	return b, err
}

// HeldBy is what all folders of a project hold (person: all that a person has made), with what is on its way.
func (fo *Folders) HeldBy(ctx context.Context, name string, person bool) (int64, error) {
	if err := fo.readUploads(ctx); err != nil {
		return 0, err
	}
	return fo.heldBy(ctx, func(f *Folder) bool {
		if person {
			return f.CreatedBy == name
		}
		return f.Project == name
	})
}

func (fo *Folders) held(ctx context.Context, f Folder) (int64, error) {
	if _, err := fo.Use(ctx, f, fo.fresh(f)); err != nil {
		return 0, err
	}
	a := fo.accountOf(f.ID)
	fo.counts.Lock()
	defer fo.counts.Unlock()
	return a.total(), nil
}

// heldBy is what all folders of somebody hold, those in the trash too. One whose disk is away counts nothing.
func (fo *Folders) heldBy(ctx context.Context, whose func(*Folder) bool) (int64, error) {
	all, err := fo.store.Folders(ctx)
	if err != nil {
		return 0, fmt.Errorf("listing folders: %w", err)
	}
	fo.counts.Lock()
	var sum int64
	for id, a := range fo.accounts {
		if a.apart != nil && whose(a.apart) && !slices.ContainsFunc(all, func(f Folder) bool { return f.ID == id }) {
			sum = addUp(sum, a.total())
		}
	}
	fo.counts.Unlock()
	for _, f := range all {
		if !whose(&f) {
			continue
		}
		n, err := fo.held(ctx, f)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return 0, err
		}
		sum = addUp(sum, n)
	}
	return sum, nil
}

// OverQuota says in a sentence that a folder, or its project, holds more than it may; "" where it does not.
func (fo *Folders) OverQuota(ctx context.Context, f Folder) (string, error) {
	sentence, err := fo.overQuota(ctx, f)
	if err == nil {
		a := fo.accountOf(f.ID)
		fo.counts.Lock()
		defer fo.counts.Unlock()
		a.over = sentence
	}
	return sentence, err
}

// LastOver is what OverQuota said last of a folder.
func (fo *Folders) LastOver(id string) string {
	fo.counts.Lock()
	defer fo.counts.Unlock()
	if a := fo.accounts[id]; a != nil {
		return a.over
	}
	return ""
}

func (fo *Folders) overQuota(ctx context.Context, f Folder) (string, error) {
	folder, project, err := fo.Bounds(ctx, f)
	switch {
	case err != nil:
		return "", err
	case folder.Over():
		return fmt.Sprintf("folder %s holds %s, and may hold %s", f.Name, bytesWords(folder.Held), bytesWords(folder.Limit)), nil
	case project.Over():
		return fmt.Sprintf("the folders of project %s hold %s, and may hold %s", f.Project, bytesWords(project.Held), bytesWords(project.Limit)), nil
	}
	person, err := fo.personBound(ctx, f)
	if err == nil && person.Over() {
		return fmt.Sprintf("the folders that %s has made hold %s, and may hold %s", f.CreatedBy, bytesWords(person.Held), bytesWords(person.Limit)), nil
	}
	return "", err
}

// charge is what an upload under way adds to its folder.
type charge struct {
	fo     *Folders
	folder Folder
	key    string
	off    bool // neither the folder, nor its project, nor who made it is bounded
}

// charge makes room for an upload, in a folder where that is bounded. It must be settled or given back.
func (fo *Folders) charge(f Folder, key string) *charge {
	return &charge{fo: fo, folder: f, key: key, off: f.Quota <= 0 && fo.projectQuota(f.Project) <= 0 && fo.personQuota(f.CreatedBy) <= 0}
}

// set says what the upload will add, which is refused with ErrQuota where that is more than there is room for.
func (c *charge) set(ctx context.Context, bytes int64) error {
	if c.off || bytes == 0 {
		c.take(bytes) // a bound may come while it is under way, and a count must know its part
		return nil
	}
	// One at a time: two that both fit into what is left would not fit together.
	c.fo.charging.Lock()
	defer c.fo.charging.Unlock()
	folder, project, err := c.fo.Bounds(ctx, c.folder)
	if err != nil {
		return err
	}
	person, err := c.fo.personBound(ctx, c.folder)
	if err != nil {
		return err
	}
	a := c.fo.accountOf(c.folder.ID)
	c.fo.counts.Lock()
	defer c.fo.counts.Unlock()
	more := bytes - a.coming[c.key]
	for _, b := range []struct {
		Bound
		whose string
		hint  string
	}{
		{folder, "folder " + c.folder.Name, "remove what is no longer needed, or raise its bound: palisade folder quota " + c.folder.Name + " SIZE"},
		{project, "project " + c.folder.Project, "remove folders that are no longer needed (palisade folder trash --purge for those in the trash), or have an administrator raise it: palisade project limits " + c.folder.Project + " --storage SIZE"},
		{person, "user " + c.folder.CreatedBy, "remove folders of yours that are no longer needed, or have an administrator raise it: palisade user limits " + c.folder.CreatedBy + " --storage SIZE"},
	} {
		if b.Limit > 0 && more > 0 && addUp(b.Held, more) > b.Limit {
			return &fault{
				kind: ErrQuota, hint: b.hint,
				message: fmt.Sprintf("%s may hold %s and holds %s: %s more do not fit", b.whose, bytesWords(b.Limit), bytesWords(b.Held), bytesWords(bytes)),
			}
		}
	}
	a.coming[c.key] = bytes
	return nil
}

// take counts what is let in anyway, such as what an earlier daemon let in.
func (c *charge) take(bytes int64) {
	a := c.fo.accountOf(c.folder.ID)
	c.fo.counts.Lock()
	defer c.fo.counts.Unlock()
	a.coming[c.key] = bytes
}

// settle ends the charge: that much was really added.
func (c *charge) settle(added int64) {
	c.fo.counts.Lock()
	defer c.fo.counts.Unlock()
	a := c.fo.accounts[c.folder.ID]
	if a == nil {
		return // the folder is gone, or nothing was charged
	}
	delete(a.coming, c.key)
	a.use.Bytes = max(0, addUp(a.use.Bytes, added)) // before the first count, too: that may be under way
}

// inherit takes over what was charged for an upload that another goes on with.
func (c *charge) inherit(from *charge) {
	c.fo.counts.Lock()
	defer c.fo.counts.Unlock()
	a := c.fo.accounts[c.folder.ID]
	if a == nil {
		return
	}
	if n, ok := a.coming[from.key]; ok {
		a.coming[c.key] = n
		delete(a.coming, from.key)
	}
}

// changed says that something was taken away or moved: the next who asks counts.
func (fo *Folders) changed(id string) {
	a := fo.accountOf(id)
	fo.counts.Lock()
	defer fo.counts.Unlock()
	a.stale = true
}

// bytesWords prints 1.5 GiB.
func bytesWords(n int64) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n), 0
	for value >= 1024 && unit < 6 {
		value, unit = value/1024, unit+1
	}
	text := strings.TrimSuffix(fmt.Sprintf("%.1f", value), ".0")
	return text + " " + []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}[unit]
}
