package index

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/recipe"
	"github.com/palisade-run/palisade/catalog/signature"
)

// Deps are what an Index stands on.
type Deps struct {
	Store   Store
	Dir     string                                    // where copies of catalogs are kept
	Shipped func() []recipe.Entry                     // the recipes that come with Palisade
	Sources func(scheme string) (fetch.Source, error) // for git and http
	Log     *slog.Logger
	Now     func() time.Time
}

// Index is all catalogs. What they hold is read when it is first asked for, for a start of the daemon must not wait for
// thousands of recipes; from then on it is published anew with every change.
type Index struct {
	Deps
	snaps   snapshots
	changes changes
	first   sync.Mutex // held by whoever reads for the first time
	now     atomic.Pointer[published]
}

// published is what everybody sees at one moment; it never changes.
type published struct {
	catalogs   []loaded // by name
	keys       []TrustedKey
	collection *recipe.Collection
}

// New makes the index. Nothing is read yet.
func New(d Deps) *Index {
	return &Index{Deps: d, snaps: snapshots{d.Dir}, changes: newChanges()}
}

// Run reads all catalogs, so that the first who asks need not wait, and removes what no catalog uses.
func (x *Index) Run(ctx context.Context) {
	x.seen(ctx)
	free, err := x.changes.write(ctx)
	if err != nil {
		return
	}
	defer free()
	if err := x.sweep(ctx, ""); err != nil && ctx.Err() == nil {
		x.Log.Warn("old copies of catalogs were not removed; it is tried again at the next start", "error", err)
	}
}

// Collection is every recipe that can be used now, of the catalog that ships and of those that were added.
func (x *Index) Collection(ctx context.Context) *recipe.Collection { return x.seen(ctx).collection }

// Catalogs are all that were added, by name.
func (x *Index) Catalogs(ctx context.Context) []View {
	views := []View{}
	for _, l := range x.seen(ctx).catalogs {
		views = append(views, l.view)
	}
	return views
}

// Catalog finds one by its name.
func (x *Index) Catalog(ctx context.Context, name string) (View, error) {
	l, err := x.find(ctx, name)
	return l.view, err
}

func (x *Index) find(ctx context.Context, name string) (loaded, error) {
	all := x.seen(ctx).catalogs
	if i := slices.IndexFunc(all, func(l loaded) bool { return l.view.Name == name }); i >= 0 {
		return all[i], nil
	}
	names := []string{}
	for _, l := range all {
		names = append(names, l.view.Name)
	}
	hint := "add one: palisade catalog add NAME URL"
	if len(names) > 0 {
		hint = "there are " + strings.Join(names, ", ")
	}
	return loaded{}, &fault{kind: ErrNotFound, text: fmt.Sprintf("there is no catalog %q", name), hint: hint}
}

// seen is what is published; the first who asks reads it. Where that cannot be read, the next who asks tries again: a store that
// was away for a moment must not take all catalogs and keys away until the next start.
func (x *Index) seen(ctx context.Context) *published {
	if p := x.now.Load(); p != nil {
		return p
	}
	x.first.Lock()
	defer x.first.Unlock()
	if p := x.now.Load(); p != nil {
		return p
	}
	p, err := x.read(context.WithoutCancel(ctx)) // others wait for this reading too, whoever asked first
	if err != nil {
		x.Log.Error("catalogs that were added cannot be read; only the one that ships is in use", "error", err)
		return &published{collection: recipe.NewCollection(x.Shipped())}
	}
	if !x.now.CompareAndSwap(nil, p) { // a change was published meanwhile, which is newer
		return x.now.Load()
	}
	return p
}

// publish reads everything anew.
func (x *Index) publish(ctx context.Context) error {
	p, err := x.read(ctx)
	if err == nil {
		x.now.Store(p)
	}
	return err
}

// read reads everything, save catalogs that are as they were.
func (x *Index) read(ctx context.Context) (*published, error) {
	all, err := x.Store.Catalogs(ctx)
	if err != nil {
		return nil, err
	}
	keys, err := x.Store.CatalogKeys(ctx)
	if err != nil {
		return nil, err
	}
	parsed, entries := parse(keys), x.Shipped()
	p, before := &published{keys: keys}, x.now.Load()
	for _, c := range all {
		l, same := before.same(c, keys)
		if !same {
			l = x.snaps.load(c, parsed)
		}
		if !same && l.view.Refused != "" {
			x.Log.Warn("nothing of a catalog is used", "catalog", c.Name, "why", l.view.Refused)
		}
		p.catalogs = append(p.catalogs, l)
		entries = append(entries, l.entries...)
	}
	p.collection = recipe.NewCollection(entries)
	return p, nil
}

// same is a catalog as it was read before, where reading it again would give the same.
func (p *published) same(c Catalog, keys []TrustedKey) (loaded, bool) {
	if p == nil || !slices.Equal(p.keys, keys) {
		return loaded{}, false
	}
	for _, l := range p.catalogs {
		v := l.view
		if v.Name == c.Name && v.Revision == c.Revision && v.Key == c.Key && v.Refused == "" && !l.damaged {
			l.view.Catalog = c
			return l, true
		}
	}
	return loaded{}, false
}

// Remove forgets a catalog and its copies. What was installed from it stays. What is being fetched for it is broken off.
func (x *Index) Remove(ctx context.Context, name string) error {
	if _, err := x.find(ctx, name); err != nil {
		return err
	}
	x.changes.end(name, &fault{kind: ErrNotFound, text: fmt.Sprintf("catalog %s was removed meanwhile", name), hint: "see: palisade catalog sources"})
	return x.alone(ctx, name, func(ctx context.Context) error {
		if _, err := x.find(ctx, name); err != nil {
			return err
		}
		return x.written(ctx, func(ctx context.Context) error {
			if err := x.Store.DeleteCatalog(ctx, name); err != nil {
				return err
			}
			return x.sweep(ctx, name)
		})
	})
}

// Keys are the trusted keys, oldest first.
func (x *Index) Keys(ctx context.Context) []TrustedKey { return slices.Clone(x.seen(ctx).keys) }

// TrustedKeys are the same, to verify with.
func (x *Index) TrustedKeys(ctx context.Context) []signature.Key { return parse(x.seen(ctx).keys) }

// Trust believes a key from now on. Trusting one again changes its name.
func (x *Index) Trust(ctx context.Context, text, name, by string) (TrustedKey, error) {
	key, err := signature.ParseKey([]byte(text))
	if err != nil {
		return TrustedKey{}, err
	}
	if name = strings.TrimSpace(name); len(name) > 100 || strings.ContainsAny(name, "\r\n\t") {
		return TrustedKey{}, invalid("the name of a key is one line of at most 100 bytes", "")
	}
	kept := TrustedKey{ID: key.ID(), Name: name, Text: key.String(), AddedBy: by, AddedAt: x.Now().UTC()}
	return kept, x.written(ctx, func(ctx context.Context) error {
		for _, k := range x.seen(ctx).keys {
			if k.ID != kept.ID {
				continue
			}
			if other, err := signature.ParseKey([]byte(k.Text)); err == nil && !other.Equal(key) {
				return &fault{kind: ErrExists, text: "another key with the ID " + k.ID + " is trusted already",
					hint: "IDs are easily made alike: be sure whose key this is, then: palisade catalog untrust " + k.ID}
			}
			kept.AddedBy, kept.AddedAt = k.AddedBy, k.AddedAt
		}
		return x.Store.SaveCatalogKey(ctx, kept)
	})
}

// Untrust believes a key no more. Where catalogs are signed with it, force is needed: nothing of them is used then.
func (x *Index) Untrust(ctx context.Context, ref string, force bool) error {
	return x.written(ctx, func(ctx context.Context) error {
		key, err := x.key(ctx, ref)
		if err != nil {
			return err
		}
		var users []string
		for _, l := range x.seen(ctx).catalogs {
			if l.view.Key == key.ID {
				users = append(users, l.view.Name)
			}
		}
		if len(users) > 0 && !force {
			return &fault{kind: ErrInUse, text: fmt.Sprintf("%s signs %s", key.ID, strings.Join(users, ", ")),
				hint: "nothing of them would be used any more; if you mean it: --force"}
		}
		return x.Store.DeleteCatalogKey(ctx, key.ID)
	})
}

// key finds a trusted key by its ID, with its kind or without, or by its name.
func (x *Index) key(ctx context.Context, ref string) (TrustedKey, error) {
	var found []TrustedKey
	for _, k := range x.seen(ctx).keys {
		_, short, _ := strings.Cut(k.ID, ":")
		if k.ID == ref || strings.EqualFold(short, ref) || k.Name == ref && ref != "" {
			found = append(found, k)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return TrustedKey{}, &fault{kind: ErrNotFound, text: fmt.Sprintf("no key %q is trusted", ref), hint: "see: palisade catalog keys"}
	default:
		return TrustedKey{}, invalid(fmt.Sprintf("several keys are called %q", ref), "give the ID: palisade catalog keys")
	}
}
