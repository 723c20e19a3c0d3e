package people

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

// DefaultProject is always there.
const DefaultProject = "default"

// mostTitle is the longest title, in letters.
const mostTitle = 120

var projectRule = regexp.MustCompile(`^\w[\w.-]{0,62}\w$`)

// Project is that in which people work together. One that was removed is remembered, for what it did was done under its name;
// made again, it is the same one.
type Project struct {
	Name      string
	Title     string // what people read; may be empty
	CreatedBy string
	CreatedAt time.Time
	RemovedAt time.Time // zero: it is there
}

// ProjectStore keeps the rows of projects and their members.
type ProjectStore interface {
	Projects(ctx context.Context) ([]Project, error) // those that were removed are among them
	// SaveProject inserts or updates, by name. With one that is removed go its members and its limits, all or nothing.
	SaveProject(ctx context.Context, p Project) error
	Members(ctx context.Context) ([]Membership, error)
	SaveMember(ctx context.Context, m Membership) error // ErrNotFound where the user or the project was removed
	DeleteMember(ctx context.Context, project, user string) error
}

// Projects are all there are, with their members, in memory. They are safe for concurrent use: who asks never waits for the
// rows' store, and changes wait for one another.
type Projects struct {
	store ProjectStore
	now   func() time.Time

	changing sync.Mutex
	mu       sync.RWMutex
	all      map[string]Project
	members  map[string]map[string]Membership // by project and user
}

// OpenProjects reads them, and makes the default one where it is not there.
func OpenProjects(ctx context.Context, store ProjectStore, now func() time.Time) (*Projects, error) {
	rows, err := store.Projects(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading projects: %w", err)
	}
	members, err := store.Members(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the members of projects: %w", err)
	}
	ps := &Projects{store: store, now: now, all: map[string]Project{}, members: map[string]map[string]Membership{}}
	for _, p := range rows {
		ps.all[p.Name] = p
	}
	for _, m := range members {
		ps.put(m)
	}
	if p := ps.all[DefaultProject]; p.Name == "" || !p.RemovedAt.IsZero() {
		p = Project{Name: DefaultProject, Title: p.Title, CreatedAt: now().UTC()}
		if err := store.SaveProject(ctx, p); err != nil {
			return nil, fmt.Errorf("making the project %s: %w", DefaultProject, err)
		}
		ps.all[DefaultProject] = p
	}
	return ps, nil
}

func (ps *Projects) put(m Membership) {
	if ps.members[m.Project] == nil {
		ps.members[m.Project] = map[string]Membership{}
	}
	ps.members[m.Project][m.User] = m
}

// List returns those that are there, by name.
func (ps *Projects) List() []Project {
	ps.mu.RLock()
	defer ps.mu.RUnlock()
	var out []Project
	for _, p := range ps.all {
		if p.RemovedAt.IsZero() {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b Project) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Find returns one that is there.
func (ps *Projects) Find(name string) (Project, bool) {
	ps.mu.RLock()
	defer ps.mu.RUnlock()
	p, there := ps.all[name]
	return p, there && p.RemovedAt.IsZero()
}

// Create makes a project, or brings back one that was removed. ErrExists, ErrInvalid.
func (ps *Projects) Create(ctx context.Context, name, title, by string) (Project, error) {
	if !projectRule.MatchString(name) {
		return Project{}, &Fault{
			Kind: ErrInvalid, Text: fmt.Sprintf("%.80q is no name of a project", name),
			Advice: "2 to 64 letters, digits, '_', '-' and '.', beginning and ending with a letter, digit or '_'",
		}
	}
	if err := checkTitle(title); err != nil {
		return Project{}, err
	}
	ps.changing.Lock()
	defer ps.changing.Unlock()
	if _, there := ps.Find(name); there {
		return Project{}, &Fault{Kind: ErrExists, Text: fmt.Sprintf("there is a project %q already", name), Advice: "see: palisade project show " + name}
	}
	p := Project{Name: name, Title: title, CreatedBy: by, CreatedAt: ps.now().UTC()}
	return p, ps.save(ctx, p)
}

func checkTitle(title string) error {
	if utf8.RuneCountInString(title) > mostTitle || !utf8.ValidString(title) || strings.ContainsFunc(title, unicode.IsControl) {
		return &Fault{Kind: ErrInvalid, Text: fmt.Sprintf("a title is one line of at most %d letters", mostTitle)}
	}
	return nil
}

// save keeps a project. The caller holds changing.
func (ps *Projects) save(ctx context.Context, p Project) error {
	if err := ps.store.SaveProject(ctx, p); err != nil {
		return fmt.Errorf("keeping project %s: %w", p.Name, err)
	}
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.all[p.Name] = p
	return nil
}

// Retitle gives a project another title.
func (ps *Projects) Retitle(ctx context.Context, name, title string) (Project, error) {
	if err := checkTitle(title); err != nil {
		return Project{}, err
	}
	ps.changing.Lock()
	defer ps.changing.Unlock()
	p, there := ps.Find(name)
	if !there {
		return p, ps.missing(name)
	}
	p.Title = title
	return p, ps.save(ctx, p)
}

// Remove ends a project, its members' part in it, and what was kept of its limits. has says what it still has, in words, such as "2 services"; then it is
// not removed. ErrState, ErrNotFound.
func (ps *Projects) Remove(ctx context.Context, name string, has func(project string) (what []string, err error)) error {
	ps.changing.Lock()
	defer ps.changing.Unlock()
	p, there := ps.Find(name)
	switch {
	case !there:
		return ps.missing(name)
	case name == DefaultProject:
		return &Fault{Kind: ErrState, Text: "the project default is always there"}
	}
	what, err := has(name)
	if err != nil {
		return err
	}
	if len(what) > 0 {
		return &Fault{
			Kind: ErrState, Text: fmt.Sprintf("project %s still has %s", name, strings.Join(what, ", ")),
			Advice: "remove those first; with --project " + name + " the lists show them",
		}
	}
	p.RemovedAt = ps.now().UTC()
	if err := ps.save(ctx, p); err != nil {
		return err
	}
	ps.mu.Lock()
	defer ps.mu.Unlock()
	delete(ps.members, name)
	return nil
}

// missing says that a project is not there. It tells no names of others: who asks may not know them.
func (ps *Projects) missing(name string) error { return NoProject(name) }

// NoProject is ErrNotFound of a project: also for who may not know that there is one.
func NoProject(name string) error {
	return &Fault{
		Kind: ErrNotFound, Text: fmt.Sprintf("there is no project %.80q", name),
		Advice: "palisade project list shows yours; an administrator makes one: palisade project create " + cmp.Or(name, "NAME"),
	}
}
