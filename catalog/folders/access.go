package folders

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/palisade-run/palisade/catalog/spelling"
)

// ErrDenied says that a folder is not shared that far.
var ErrDenied = errors.New("not permitted")

// Permission is what somebody may do with a folder. Each includes those before it.
type Permission string

// The permissions.
const (
	NoPermission Permission = ""
	ReadOnly     Permission = "ro"
	ReadWrite    Permission = "rw"    // and write, but delete nothing
	WriteDelete  Permission = "wd"    // and delete and rename what is in it
	Owner        Permission = "owner" // and the folder itself: share, rename, bound, remove
)

func (p Permission) level() int {
	return slices.Index([]Permission{NoPermission, ReadOnly, ReadWrite, WriteDelete, Owner}, p)
}

// Allows reports whether p includes want.
func (p Permission) Allows(want Permission) bool { return p.level() >= want.level() }

// Who asks for a folder: a person, and the project that they work in.
type Who struct{ Person, Project string }

// Grant shares a folder with a person, or with all who work in a project: one of the two is "".
type Grant struct {
	FolderID   string
	Person     string
	Project    string
	Permission Permission // ReadOnly, ReadWrite or WriteDelete
	CreatedBy  string
	CreatedAt  time.Time
}

// Access decides what somebody may do with a folder, by these rules and no others:
//  1. Those of the folder's own project own it; but a sealed one they only read.
//  2. Else the widest of what was granted to the person and to the project counts.
//  3. Else it is not there for them.
func Access(f Folder, grants []Grant, w Who) Permission {
	switch {
	case f.Project == w.Project && f.Sealed:
		return ReadOnly
	case f.Project == w.Project:
		return Owner
	}
	widest := NoPermission
	for _, g := range grants {
		toThem := g.Person != "" && g.Person == w.Person || g.Project != "" && g.Project == w.Project
		if g.FolderID == f.ID && toThem && g.Permission.level() > widest.level() {
			widest = g.Permission
		}
	}
	return widest
}

// Reached is a folder as somebody has it.
type Reached struct {
	Folder
	Permission Permission
	Away       bool // its home is another box: see Keeper.Away
}

// Ref names the folder for somebody who works in a project: a folder of another one has that behind an @.
func (f Folder) Ref(project string) string {
	if f.Project == project {
		return f.Name
	}
	return f.Name + "@" + f.Project
}

// Reachable lists the folders that somebody has, their project's first, each kind by name.
func (fo *Keeper) Reachable(ctx context.Context, w Who) ([]Reached, error) {
	all, err := fo.List(ctx, "")
	if err != nil {
		return nil, err
	}
	grants, err := fo.store.Grants(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing who shares folders: %w", err)
	}
	out := []Reached{}
	for _, f := range all {
		if p := Access(f, grants, w); p != NoPermission {
			out = append(out, Reached{f, p, fo.Away(f)})
		}
	}
	slices.SortStableFunc(out, func(a, b Reached) int { return cmp.Compare(foreign(a, w), foreign(b, w)) })
	return out, nil
}

func foreign(r Reached, w Who) int {
	if r.Project == w.Project {
		return 0
	}
	return 1
}

// Reach finds the folder that somebody means, by its id, its name, or NAME@PROJECT: their project's first, then those that
// are shared with them. ErrNotFound; ErrInvalid where a name means several; ErrDenied where they may not do what they want
// with it, which is the folder's least permission for that.
func (fo *Keeper) Reach(ctx context.Context, w Who, ref string, want Permission) (Reached, error) {
	all, err := fo.Reachable(ctx, w)
	if err != nil {
		return Reached{}, err
	}
	var found []Reached
	names := make([]string, len(all))
	for i, r := range all {
		names[i] = r.Ref(w.Project)
		own := r.Project == w.Project
		switch {
		case r.ID == ref, r.Name+"@"+r.Project == ref, own && r.Name == ref:
			return permitted(r, want)
		case r.Name == ref:
			found = append(found, r)
		}
	}
	switch len(found) {
	case 1:
		return permitted(found[0], want)
	case 0:
		hint := spelling.DidYouMean(ref, names)
		if hint == "" {
			hint = "palisade folder list shows what there is"
		}
		return Reached{}, &fault{kind: ErrNotFound, message: fmt.Sprintf("there is no folder %q", spelling.Short(ref)), hint: hint}
	}
	refs := make([]string, len(found))
	for i, r := range found {
		refs[i] = r.Ref(w.Project)
	}
	return Reached{}, &fault{kind: ErrInvalid, message: fmt.Sprintf("several projects share a folder %s with you", ref), hint: "name one of them: " + strings.Join(refs, ", ")}
}

// permitted refuses what goes beyond what somebody may do.
func permitted(r Reached, want Permission) (Reached, error) {
	if r.Permission.Allows(want) {
		return r, nil
	}
	if r.Sealed {
		return Reached{}, r.sealedFault()
	}
	wanted := map[Permission]string{
		ReadWrite: "writing there needs", WriteDelete: "deleting and renaming there needs", Owner: "that is for its owners, project " + r.Project + ";",
	}[want]
	needs := string(want)
	if want == Owner {
		needs = "work there with --project " + r.Project
	}
	return Reached{}, &fault{
		kind: ErrDenied, message: fmt.Sprintf("folder %s is shared with you as %s: %s %s", r.Name, r.Permission, wanted, needs),
		hint: "ask somebody of project " + r.Project + ": palisade folder share " + r.Name,
	}
}

// Share lets a person, or all of a project, use a folder; a grant that is there already is replaced.
func (fo *Keeper) Share(ctx context.Context, f Folder, g Grant) (Grant, error) {
	switch {
	case (g.Person == "") == (g.Project == ""):
		return Grant{}, &fault{kind: ErrInvalid, message: "a folder is shared with a person or with a project", hint: "name one of the two"}
	case g.Permission != ReadOnly && g.Permission != ReadWrite && g.Permission != WriteDelete:
		return Grant{}, &fault{kind: ErrInvalid, message: fmt.Sprintf("unknown permission %q", g.Permission), hint: "ro (read), rw (and write) or wd (and delete)"}
	case g.Project == f.Project:
		return Grant{}, &fault{kind: ErrInvalid, message: fmt.Sprintf("folder %s is project %s's own", f.Name, f.Project), hint: "all who work in that project have it"}
	case len(g.Person) > 128 || len(g.Project) > 64 || strings.ContainsFunc(g.Person+g.Project, unicode.IsControl):
		return Grant{}, &fault{kind: ErrInvalid, message: fmt.Sprintf("%q is no name", spelling.Short(g.Person+g.Project))}
	}
	g.FolderID, g.CreatedAt = f.ID, time.Now().UTC().Truncate(time.Microsecond)
	if err := fo.store.SaveGrant(ctx, g); err != nil {
		return Grant{}, fmt.Errorf("sharing folder %s: %w", f.Name, err)
	}
	return g, nil
}

// Unshare takes a grant back. Sessions that have the folder keep it until they end. ErrNotFound.
func (fo *Keeper) Unshare(ctx context.Context, f Folder, person, project string) error {
	err := fo.store.DeleteGrant(ctx, f.ID, person, project)
	if errors.Is(err, ErrNotFound) {
		whom := "person " + person
		if person == "" {
			whom = "project " + project
		}
		return &fault{kind: ErrNotFound, message: fmt.Sprintf("folder %s is not shared with %s", f.Name, whom), hint: "palisade folder info " + f.Name + " shows with whom it is"}
	}
	if err != nil {
		return fmt.Errorf("sharing folder %s no longer: %w", f.Name, err)
	}
	return nil
}

// Grants lists with whom a folder is shared: projects first, then people, each by name.
func (fo *Keeper) Grants(ctx context.Context, f Folder) ([]Grant, error) {
	all, err := fo.store.Grants(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing who shares folder %s: %w", f.Name, err)
	}
	out := slices.DeleteFunc(all, func(g Grant) bool { return g.FolderID != f.ID })
	slices.SortFunc(out, func(a, b Grant) int {
		return cmp.Or(cmp.Compare(a.Person, b.Person), cmp.Compare(a.Project, b.Project))
	})
	return out, nil
}
