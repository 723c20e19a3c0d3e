package sessions

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/catalog/folders"
	"github.com/palisade-run/palisade/variants"
)

// SessionRequest asks for a session that belongs to a person.
type SessionRequest struct {
	Name      string // "" for one that is made up
	Project   string
	CreatedBy string
	Type      Type // TypeInteractive or TypeBatch
	Image     string
	Launch    variants.LaunchSpec // what it runs
	Mounts    []FolderMount       // folders by id or name, or a directory in one (ID/SUB), with their targets

	Resources    map[string]string // slot to amount as written
	ResourceOpts map[string]string // shmem
	Selector     map[string]string // labels of the nodes that may run it
	Priority     *int              // nil: DefaultPriority
	Preemptible  bool
	MinRuntime   time.Duration // not preempted before it has run so long
	StartsAt     time.Time     // zero: at once
	DependsOn    []string      // ids or names of sessions and of arrays that must have ended with success
	Task         Task
	Cluster      *ClusterRequest // nil: one container
}

// personalName is what a person may call a session.
var personalName = regexp.MustCompile(`^\w[\w-]{0,62}\w$`)

// CheckSessionName says what is wrong with a name for a session.
func CheckSessionName(name string) error {
	if !personalName.MatchString(name) {
		return fmt.Errorf("%w: name %q: 2 to 64 letters, digits, '_' and '-', beginning and ending with a letter, digit or '_'", ErrInvalid, name)
	}
	return nil
}

// CheckSession reports all that is wrong with a request and can be known now; Field is as the API calls it.
func (m *Manager) CheckSession(ctx context.Context, req SessionRequest) catalog.Problems {
	_, problems := m.draft(ctx, req)
	return problems
}

// draft is the session that a request asks for, with all that is wrong with it.
func (m *Manager) draft(ctx context.Context, req SessionRequest) (Session, catalog.Problems) {
	var ps catalog.Problems
	wrong := func(field string, err error) {
		if err != nil {
			message := strings.TrimPrefix(err.Error(), ErrInvalid.Error()+": ")
			ps = append(ps, catalog.Problem{Severity: catalog.SeverityError, Field: field, Message: message})
		}
	}
	now := time.Now().UTC()
	s := Session{
		ID: newID("ses"), Name: req.Name, Project: req.Project, Type: req.Type, CreatedBy: req.CreatedBy, CreatedAt: now, Image: req.Image,
		Launch: req.Launch, Task: req.Task, Status: StatusPending, Reason: "wanted by " + req.CreatedBy, Result: ResultUndefined,
		Demand: Demand{
			Priority: DefaultPriority, Selector: maps.Clone(req.Selector), Preemptible: req.Preemptible, MinRuntime: req.MinRuntime,
			StartsAt: req.StartsAt.UTC(),
		},
	}
	if s.Name == "" {
		s.Name = s.ID[:10]
	}
	set(&s.Demand.Priority, req.Priority)
	wrong("name", CheckSessionName(s.Name))
	wrong("image", m.checkImage(req.Image))
	wrong("priority", checkPriority(s.Demand.Priority))
	recipe := Recipe{Resources: req.Resources, ResourceOpts: req.ResourceOpts}
	limits, err := limitsOf(recipe)
	s.Limits = limits
	if err == nil {
		var asked Demand
		if asked, err = demandOf(Service{}, recipe); err == nil {
			s.Demand.Slots = asked.Slots
			err = everFits(m.Ledger.Pool(), s.Demand, m.Queueing.Options)
		}
	}
	wrong("resources", err)
	if err == nil {
		wrong("cluster_size", m.checkCluster(req, s.Demand.Slots))
	}
	for i, mount := range req.Mounts {
		field := fmt.Sprintf("mounts[%d]", i)
		wrong(field+".target", checkTarget(mount.Target))
		wrong(field+".target", targetTwice(req.Mounts[:i], mount.Target))
		found, err := m.mountsOf(ctx, folders.Who{Person: req.CreatedBy, Project: req.Project}, Recipe{Mounts: []FolderMount{mount}}, "")
		wrong(field+".folder", err)
		if err == nil {
			s.Mounts = append(s.Mounts, found...)
			wrong(field+".folder", s.Demand.atHome(found))
		}
	}
	s.Demand.DependsOn, err = m.dependencies(req.Project, req.DependsOn)
	wrong("depends_on", err)
	return s, ps
}

func (m *Manager) checkImage(image string) error {
	if strings.TrimSpace(image) == "" {
		return fmt.Errorf("%w: no image is named; on the process runtime it is %q", ErrInvalid, "host")
	}
	if c, ok := m.Runtime.(ImageChecker); ok {
		return c.CheckImage(image)
	}
	return nil
}

func targetTwice(before []FolderMount, target string) error {
	if slices.ContainsFunc(before, func(m FolderMount) bool { return m.Target == target }) {
		return fmt.Errorf("%w: two folders at %s", ErrInvalid, target)
	}
	return nil
}

// dependencies finds the ids of sessions that another waits for. They are there already, so there are no circles.
func (m *Manager) dependencies(project string, refs []string) ([]string, error) {
	var ids []string
	var wrong []error
	for _, ref := range refs {
		if of := m.arrayMembers(project, ref); of != nil {
			ids = append(ids, of...)
			continue
		}
		s, err := m.Session(project, ref)
		// All sessions are looked at for an array's name, and each of an array says what it waits for. A session that has ended is not
		// meant where an array was called the same since.
		if missing := errors.Is(err, ErrNotFound); missing || err == nil && s.ID != ref && !s.Alive() {
			array, made := m.arrayNamed(project, ref)
			if array != "" && (missing || made.After(s.CreatedAt)) {
				ids = append(ids, m.arrayMembers(project, array)...)
				continue
			}
		}
		switch {
		case errors.Is(err, ErrNotFound):
			err = fmt.Errorf("there is no session %q; name one by its id, or by its name", ref)
		case err == nil && s.Type == TypeInference:
			err = fmt.Errorf("session %s is a route of a service: it never ends with success", s.Name)
		case err == nil && s.IsSub():
			err = fmt.Errorf("session %s is one container of session %s: name that", s.Name, s.wholeName())
		case err == nil && !slices.Contains(ids, s.ID):
			ids = append(ids, s.ID)
		}
		wrong = append(wrong, err)
	}
	return ids, errors.Join(wrong...)
}

// arrayMembers are the ids of the sessions of an array; nil where there is none of that id.
func (m *Manager) arrayMembers(project, id string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var ids []string
	for _, r := range m.sessions {
		if s, _ := r.snapshot(); s.Project == project && s.Task.Array != nil && s.Task.Array.ID == id && s.main() {
			ids = append(ids, s.ID)
		}
	}
	slices.Sort(ids)
	return ids
}

// arrayNamed is the id of the newest array of a name, and when it was made; "" where there is none.
func (m *Manager) arrayNamed(project, name string) (id string, made time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.sessions {
		if s, _ := r.snapshot(); s.Project == project && s.ofArray(name) && s.CreatedAt.After(made) {
			id, made = s.Task.Array.ID, s.CreatedAt
		}
	}
	return id, made
}

// CreateSessions records sessions of people, all of them with all their containers or none; they go into the queue. All
// that can be known to be wrong is told now: ErrInvalid with catalog.Problems, or ErrExists where a live session of the
// project has the name. Of a session of several containers the main one is returned.
func (m *Manager) CreateSessions(ctx context.Context, requests []SessionRequest) ([]Session, error) {
	var drafts, made []Session
	for _, req := range requests {
		one, problems := m.draft(ctx, req)
		if problems.Err() != nil {
			return nil, fmt.Errorf("%w: this session cannot be created: %w", ErrInvalid, problems)
		}
		of := one.members(req.Cluster)
		made, drafts = append(made, of[0]), append(drafts, of...)
	}
	if err := m.take(ctx); err != nil {
		return nil, err
	}
	defer m.give()
	for i := range drafts {
		if err := m.nameIsFree(drafts[i].Project, drafts[i].Name, drafts[:i]); err != nil {
			return nil, err
		}
	}
	saving, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.Timeouts.Save)
	defer cancel()
	if err := m.Store.AddSessions(saving, drafts); err != nil {
		return nil, errors.Join(err, m.unmake(ctx, drafts))
	}
	m.mu.Lock()
	for _, s := range drafts {
		r := newRunner(m.runnerDeps(), s)
		m.enter(r)
		m.launch(r)
	}
	m.mu.Unlock()
	m.changed()
	return made, nil
}

// unmake takes rows away that may have been written though an error was told: the next daemon would run what its owner was
// told is not there, and has asked for again.
func (m *Manager) unmake(ctx context.Context, drafts []Session) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.Timeouts.Save)
	defer cancel()
	var failed error
	for _, s := range drafts {
		if err := m.Store.DeleteSession(ctx, s.ID); err != nil {
			failed = fmt.Errorf("taking back what may be recorded all the same: %w", err)
		}
	}
	return failed
}

// nameIsFree says whether a live session of the project, or one of the others, has a name. The caller holds writing.
func (m *Manager) nameIsFree(project, name string, others []Session) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	taken := slices.ContainsFunc(others, func(s Session) bool { return s.Project == project && s.Name == name })
	for _, r := range m.sessions {
		s, _ := r.snapshot()
		taken = taken || s.Alive() && s.Project == project && s.Name == name
	}
	if taken {
		return fmt.Errorf("session %q %w", name, ErrExists)
	}
	return nil
}

// SessionUpdate changes a session of a person; nil leaves as it is.
type SessionUpdate struct {
	Name     *string
	Priority *int // counts at once, in the queue and against preemption
	// Of an interactive one; 0: as the box has it. What the box has bounds them still.
	IdleTimeout *time.Duration
	MaxLifetime *time.Duration
}

// maxEnds is how far away the end of an interactive session may be set.
const maxEnds = 10 * 365 * 24 * time.Hour

// UpdateSession changes a live session of a person.
func (m *Manager) UpdateSession(ctx context.Context, project, ref string, up SessionUpdate) (Session, error) {
	if err := m.take(ctx); err != nil {
		return Session{}, err
	}
	defer m.give()
	r, err := m.personal(project, ref)
	if err != nil {
		return Session{}, err
	}
	was, _ := r.snapshot()
	if up.Priority != nil {
		if err := checkPriority(*up.Priority); err != nil {
			return Session{}, err
		}
	}
	if (up.IdleTimeout != nil || up.MaxLifetime != nil) && was.Type != TypeInteractive {
		return Session{}, fmt.Errorf("%w: only interactive sessions are ended for want of use or for their age; a batch session has a timeout", ErrInvalid)
	}
	for _, d := range []*time.Duration{up.IdleTimeout, up.MaxLifetime} {
		if d != nil && *d != 0 && (*d < time.Second || *d > maxEnds) {
			return Session{}, fmt.Errorf("%w: %s cannot be how long it may run or go unused: 1s to ten years, or 0 for what the box has", ErrInvalid, *d)
		}
	}
	if up.Name != nil && *up.Name != was.Name {
		if err := errors.Join(CheckSessionName(*up.Name), m.nameIsFree(was.Project, *up.Name, nil)); err != nil {
			return Session{}, err
		}
		if err := m.renameOthers(ctx, r, *up.Name); err != nil {
			return Session{}, err
		}
	}
	if err := r.edit(ctx, up); err != nil {
		return Session{}, err
	}
	m.mark("", r.id)
	m.changed()
	s, _ := r.snapshot()
	return s, nil
}

// personal finds a live session of a person; of one that has several containers the main one.
func (m *Manager) personal(project, ref string) (*runner, error) {
	r, err := m.runnerOf(project, ref)
	if err != nil {
		return nil, err
	}
	r = m.containersOf(r)[0]
	s, _ := r.snapshot()
	switch {
	case !s.Personal():
		return nil, fmt.Errorf("session %s is a route of a service, which is changed by its service: %w", s.Name, ErrForbidden)
	case !s.Alive():
		return nil, fmt.Errorf("session %s has ended: %w", s.Name, ErrForbidden)
	}
	return r, nil
}

// edit changes what its owner may change; it stays as it was where that cannot be written down. One at a time: the caller
// holds the manager's writing.
func (r *runner) edit(ctx context.Context, up SessionUpdate) error {
	r.mu.Lock()
	name, priority, idle, life := r.session.Name, r.session.Demand.Priority, r.session.Task.IdleTimeout, r.session.Task.MaxLifetime
	set(&r.session.Name, up.Name)
	set(&r.session.Demand.Priority, up.Priority)
	set(&r.session.Task.IdleTimeout, up.IdleTimeout)
	set(&r.session.Task.MaxLifetime, up.MaxLifetime)
	r.mu.Unlock()
	err := r.save(ctx)
	if err != nil {
		r.mu.Lock()
		r.session.Name, r.session.Demand.Priority, r.session.Task.IdleTimeout, r.session.Task.MaxLifetime = name, priority, idle, life
		r.mu.Unlock()
	}
	return err
}

// RestartSession ends what runs of a person's session and starts it again under the same id, at the same place.
func (m *Manager) RestartSession(_ context.Context, project, ref, by string) error {
	r, err := m.personal(project, ref)
	if err != nil {
		return err
	}
	s, _ := r.snapshot()
	if s.Status != StatusRunning {
		return fmt.Errorf("session %s is %s, and only one that is RUNNING is started again: %w", s.Name, s.Status, ErrForbidden)
	}
	if !m.whole(s) {
		return fmt.Errorf("session %s is started again as a whole, and some of its containers have ended: %w", s.Name, ErrForbidden)
	}
	select {
	case r.restart <- again{reason: "started again, as " + by + " wants it"}:
	default: // it was asked for before
	}
	return nil
}
