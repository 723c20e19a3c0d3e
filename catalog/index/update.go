package index

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/palisade-run/palisade/catalog/signature"
)

// Request is a catalog to be added.
type Request struct {
	Name  string
	URL   string
	Dir   string
	Track string // of git: a branch or a tag
	Pin   string // a commit, tag or branch of git, of which the commit is kept, or a sha256: of the others
	Trust
	PublicKey string // text of a key that is trusted from now on; may be empty
	By        string
}

// Add takes a catalog in. Nothing is kept unless all of it came and may be believed.
func (x *Index) Add(ctx context.Context, q Request) (View, error) {
	if err := checkName(q.Name); err != nil {
		return View{}, err
	}
	p, err := ParsePlace(q.URL, q.Dir)
	if err != nil {
		return View{}, err
	}
	if q.Track != "" && p.Kind != Git {
		return View{}, invalid("only a git repository has branches and tags", "leave --revision out, or give the address of a repository")
	}
	forget := func() error { return nil }
	if q.PublicKey != "" {
		if forget, err = x.trustFor(ctx, q); err != nil {
			return View{}, err
		}
	}
	c := Catalog{Name: q.Name, URL: q.URL, Dir: p.Dir, Track: q.Track, Pin: q.Pin, Unsigned: q.Unsigned, AddedBy: q.By, AddedAt: x.Now().UTC()}
	err = x.alone(ctx, c.Name, func(ctx context.Context) error {
		if _, err := x.find(ctx, c.Name); err == nil {
			return &fault{kind: ErrExists, text: fmt.Sprintf("there is a catalog %q already", c.Name), hint: "palisade catalog update " + c.Name + ", or choose another name"}
		}
		_, err := x.take(ctx, c, wish{Trust: q.Trust})
		return err
	})
	if err != nil {
		return View{}, errors.Join(err, forget())
	}
	return x.Catalog(ctx, c.Name)
}

// trustFor trusts the key of a catalog that is to be added. forget takes that back, where the key was not trusted before: it
// would be believed for all that comes, and nobody would know since when.
func (x *Index) trustFor(ctx context.Context, q Request) (forget func() error, err error) {
	key, err := signature.ParseKey([]byte(q.PublicKey))
	if err != nil {
		return nil, err
	}
	if signature.Holds(x.TrustedKeys(ctx), key) {
		return func() error { return nil }, nil
	}
	if _, err := x.Trust(ctx, q.PublicKey, q.Name, q.By); err != nil {
		return nil, err
	}
	return func() error { return x.Untrust(context.WithoutCancel(ctx), key.ID(), false) }, nil
}

// Update is what an update brought, or would bring.
type Update struct {
	Catalog string
	From    string // revision; empty for a new catalog
	To      string // the same where nothing changed
	Pinned  bool   // it stays where it is
	Serial  int64  // of the new index; 0 where it has none
	Signed  string // ID of the key that signed it; empty: nobody that is trusted
	Changes []Change
	Broken  []string // recipes that came and cannot be used, with what is wrong
}

// Update asks a catalog's place what is new, and takes it. Whatever goes wrong, what is here stays in use.
func (x *Index) Update(ctx context.Context, name string, t Trust) (Update, error) {
	return x.update(ctx, name, wish{Trust: t})
}

// Compare is Update without taking anything.
func (x *Index) Compare(ctx context.Context, name string, t Trust) (Update, error) {
	return x.update(ctx, name, wish{Trust: t, dry: true})
}

// Pin keeps a catalog at a revision: the one in use where revision is empty, else that one, which is taken now.
func (x *Index) Pin(ctx context.Context, name, revision string) (Update, error) {
	return x.update(ctx, name, wish{pin: &revision})
}

// Unpin has a catalog follow its place again, from the next update on.
func (x *Index) Unpin(ctx context.Context, name string) error {
	return x.alone(ctx, name, func(ctx context.Context) error {
		l, err := x.find(ctx, name)
		if err != nil {
			return err
		}
		c := l.view.Catalog
		c.Pin = ""
		return x.Store.SaveCatalog(ctx, c)
	})
}

// wish is what is wanted of a catalog that is here.
type wish struct {
	Trust
	dry bool
	pin *string // the revision to stay at; empty: the one in use
}

func (x *Index) update(ctx context.Context, name string, w wish) (out Update, err error) {
	err = x.alone(ctx, name, func(ctx context.Context) error {
		l, err := x.find(ctx, name)
		if err != nil {
			return err
		}
		c := l.view.Catalog
		switch {
		case w.pin != nil && (*w.pin == "" || *w.pin == c.Revision):
			c.Pin = c.Revision
			out = Update{Catalog: c.Name, From: c.Revision, To: c.Revision, Pinned: true, Signed: l.view.SignedBy}
			return x.Store.SaveCatalog(ctx, c)
		case w.pin != nil && *w.pin == c.Previous:
			out, err = x.back(ctx, l)
			return err
		case w.pin != nil:
			c.Pin = *w.pin
		case w.dry: // what would come if it were to follow
			c.Pin = ""
		case c.Pin != "" && c.Pin == c.Revision && l.sound(c.Key):
			out = Update{Catalog: c.Name, From: c.Revision, To: c.Revision, Pinned: true, Signed: l.view.SignedBy}
			return nil
		}
		out, err = x.take(ctx, c, w)
		out.Pinned = l.view.Pin != "" || out.Pinned
		if err == nil || w.dry || ctx.Err() != nil {
			return err
		}
		c = l.view.Catalog
		c.CheckedAt, c.Problem = x.Now().UTC(), err.Error()
		return errors.Join(err, x.Store.SaveCatalog(ctx, c))
	})
	return out, err
}

// back returns to the revision before, which is still here, and stays there.
func (x *Index) back(ctx context.Context, l loaded) (Update, error) {
	c := l.view.Catalog
	c.Revision, c.Previous, c.UpdatedAt = c.Previous, c.Revision, x.Now().UTC()
	c.Pin = c.Revision
	was := x.snaps.load(c, x.TrustedKeys(ctx))
	switch {
	case was.view.Refused != "":
		return Update{}, &fault{kind: ErrPinned, text: "catalog " + c.Name + " cannot go back: " + was.view.Refused}
	case was.view.SignedBy != c.Key:
		return Update{}, &fault{kind: ErrOtherKey, text: "catalog " + c.Name + " had another signature then", hint: "remove it, and add it with --pin " + c.Pin}
	}
	out := Update{Catalog: c.Name, From: c.Previous, To: c.Revision, Pinned: true, Signed: was.view.SignedBy, Changes: Diff(l.entries, was.entries)}
	return out, x.Store.SaveCatalog(ctx, c)
}

// take fetches a catalog into a directory of its own, has it judged, and puts it in the place of what is here.
func (x *Index) take(ctx context.Context, c Catalog, w wish) (Update, error) {
	p, err := ParsePlace(c.URL, c.Dir)
	if err != nil {
		return Update{}, err
	}
	root, err := x.snaps.begin(c.Name)
	if err != nil {
		return Update{}, err
	}
	defer root.Close()
	defer os.RemoveAll(root.Name()) // it has another name by then, or is swept
	keys := x.TrustedKeys(ctx)
	g := gathering{sources: x.Sources, into: root, judge: func(index []byte, sigs signatures) error {
		s, err := believed(index, sigs, keys)
		if err != nil {
			return err
		}
		return admit(c, s, w.Trust)
	}}
	if here, err := os.OpenRoot(x.snaps.at(c.Name, c.Revision)); err == nil && c.Revision != "" {
		defer here.Close()
		g.here = here
	}
	revision := c.Track
	if c.Pin != "" {
		revision = c.Pin
	}
	if revision, err = g.gather(ctx, p, revision); err != nil {
		return Update{}, err
	}
	if c.Pin != "" && p.Kind != Git && c.Pin != revision {
		return Update{}, &fault{kind: ErrPinned, text: fmt.Sprintf("catalog %s is pinned to %s, and its place has %s", c.Name, c.Pin, revision),
			hint: "follow it again: palisade catalog unpin " + c.Name}
	}
	free, err := x.changes.write(ctx)
	if err != nil {
		return Update{}, err
	}
	defer free()
	keys = x.TrustedKeys(ctx) // one may have been taken back while it was fetched
	before := loaded{}
	if c.Revision != "" {
		before = x.snaps.load(c, keys)
	}
	next, err := x.accept(c, root, keys, w.Trust)
	if err != nil {
		return Update{}, err
	}
	next.Revision = revision
	if c.Pin != "" {
		next.Pin = revision
	}
	return x.settle(ctx, before, next, root, w)
}

// accept judges what lies in a directory, and returns the catalog as it will be.
func (x *Index) accept(c Catalog, root *os.Root, keys []signature.Key, t Trust) (Catalog, error) {
	s, err := read(root.FS(), keys)
	if err != nil {
		return c, err
	}
	if err := admit(c, s, t); err != nil {
		return c, err
	}
	if s.manifest != nil {
		beside, err := whole(root.FS(), *s.manifest)
		if err != nil {
			return c, err
		}
		for _, name := range beside { // nobody signed them
			if err := root.Remove(name); err != nil {
				return c, fmt.Errorf("leaving out %s: %w", name, err)
			}
		}
	}
	c.Key, c.Unsigned = s.key, s.key == ""
	if s.key != "" && s.manifest.Serial >= c.Serial {
		c.Serial, c.Digest = s.manifest.Serial, s.digest
	}
	return c, nil
}

// settle compares what came with what is here and, unless it is only asked for, puts it in its place.
func (x *Index) settle(ctx context.Context, before loaded, next Catalog, root *os.Root, w wish) (Update, error) {
	was := before.view.Catalog // the zero Catalog of one that is new
	came := loaded{view: View{Catalog: next}}
	if err := came.read(root.FS(), x.TrustedKeys(ctx)); err != nil {
		return Update{}, &fault{kind: ErrBroken, text: "catalog " + next.Name + " cannot be used", cause: err}
	}
	if len(came.entries) == 0 {
		hint := "recipes lie in directories of their names, each with a recipe.yaml; --path says where, and palisade catalog lint what is wrong"
		return Update{}, &fault{kind: ErrBroken, text: fmt.Sprintf("catalog %s has no recipe that can be used%s", next.Name, first(came)), hint: hint}
	}
	out := Update{Catalog: next.Name, From: was.Revision, To: next.Revision, Pinned: next.Pin != "", Signed: came.view.SignedBy,
		Changes: Diff(before.entries, came.entries)}
	if next.Key != "" {
		out.Serial = next.Serial
	}
	for _, p := range came.view.Problems {
		if p.Severity != "warning" {
			out.Broken = append(out.Broken, p.String())
		}
	}
	if w.dry {
		return out, nil
	}
	now := x.Now().UTC()
	next.CheckedAt, next.Problem = now, ""
	if next.Revision != was.Revision || !before.sound(next.Key) {
		if err := x.snaps.commit(root, next.Name, next.Revision); err != nil {
			return Update{}, err
		}
	}
	if next.Revision != was.Revision {
		next.Previous, next.UpdatedAt = was.Revision, now
	}
	if err := x.Store.SaveCatalog(ctx, next); err != nil {
		return Update{}, err
	}
	x.Log.Info("a catalog was taken", "catalog", next.Name, "from", was.Revision, "to", next.Revision, "recipes", len(came.entries), "key", next.Key)
	if err := x.sweep(ctx, next.Name); err != nil {
		x.Log.Warn("old copies of catalogs were not removed; it is tried again", "error", err)
	}
	return out, nil
}

// first is the first thing that is wrong with what came.
func first(l loaded) string {
	for _, p := range l.view.Problems {
		if p.Severity != "warning" {
			return ": " + strings.TrimSpace(p.String())
		}
	}
	return ""
}
