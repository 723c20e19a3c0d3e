package folders

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/palisade-run/palisade/catalog/bytesize"
)

// ErrQuota says that a folder, or all of a project, would hold more than it may.
var ErrQuota = errors.New("quota exceeded")

// Bound is how much a folder, or a project, may hold and does.
type Bound struct {
	Limit int64 // bytes; 0: none
	Held  int64 // with what is on its way
}

// Over reports whether it holds more than it may.
func (b Bound) Over() bool { return b.Limit > 0 && b.Held > b.Limit }

// Bounds are those of a folder and of its project, as they stand.
func (fo *Keeper) Bounds(ctx context.Context, f Folder) (folder, project Bound, err error) {
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

// Quotas are bytes that all folders of a project, or all that a person has made, may hold; "*" is of each that has none
// of its own, 0 no bound.
type Quotas struct{ Projects, People map[string]int64 }

// SetQuotas puts others in the place of Settings.Quotas, at any time. What is there already stays.
func (fo *Keeper) SetQuotas(q Quotas) { fo.quotas.Store(&q) }

func (fo *Keeper) projectQuota(project string) int64 {
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

func (fo *Keeper) personQuota(person string) int64 {
	if q := fo.quotas.Load(); q != nil && person != "" {
		return folderQuota(q.People, person)
	}
	return 0
}

// personBound is that of who made a folder, as it stands.
func (fo *Keeper) personBound(ctx context.Context, f Folder) (b Bound, err error) {
	if b.Limit = fo.personQuota(f.CreatedBy); b.Limit > 0 {
		b.Held, err = fo.heldBy(ctx, func(o *Folder) bool { return o.CreatedBy == f.CreatedBy })
	}
	return b, err
}

// HeldBy is what all folders of a project hold (person: all that a person has made), with what is on its way.
func (fo *Keeper) HeldBy(ctx context.Context, name string, person bool) (int64, error) {
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

func (fo *Keeper) held(ctx context.Context, f Folder) (int64, error) {
	if _, err := fo.Use(ctx, f, fo.fresh(f)); err != nil {
		return 0, err
	}
	a := fo.accountOf(f.ID)
	fo.counts.Lock()
	defer fo.counts.Unlock()
	return a.total(), nil
}

// heldBy is what all folders of somebody hold, those in the trash too. One whose disk is away counts nothing.
func (fo *Keeper) heldBy(ctx context.Context, whose func(*Folder) bool) (int64, error) {
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
func (fo *Keeper) OverQuota(ctx context.Context, f Folder) (string, error) {
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
func (fo *Keeper) LastOver(id string) string {
	fo.counts.Lock()
	defer fo.counts.Unlock()
	if a := fo.accounts[id]; a != nil {
		return a.over
	}
	return ""
}

func (fo *Keeper) overQuota(ctx context.Context, f Folder) (string, error) {
	folder, project, err := fo.Bounds(ctx, f)
	switch {
	case err != nil:
		return "", err
	case folder.Over():
		return fmt.Sprintf("folder %s holds %s, and may hold %s", f.Name, bytesize.Format(folder.Held), bytesize.Format(folder.Limit)), nil
	case project.Over():
		return fmt.Sprintf("the folders of project %s hold %s, and may hold %s", f.Project, bytesize.Format(project.Held), bytesize.Format(project.Limit)), nil
	}
	person, err := fo.personBound(ctx, f)
	if err == nil && person.Over() {
		return fmt.Sprintf("the folders that %s has made hold %s, and may hold %s", f.CreatedBy, bytesize.Format(person.Held), bytesize.Format(person.Limit)), nil
	}
	return "", err
}

// charge is what an upload under way adds to its folder.
type charge struct {
	fo     *Keeper
	folder Folder
	key    string
	off    bool // neither the folder, nor its project, nor who made it is bounded
}

// charge makes room for an upload, in a folder where that is bounded. It must be settled or given back.
func (fo *Keeper) charge(f Folder, key string) *charge {
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
				message: fmt.Sprintf("%s may hold %s and holds %s: %s more do not fit", b.whose, bytesize.Format(b.Limit), bytesize.Format(b.Held), bytesize.Format(bytes)),
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
