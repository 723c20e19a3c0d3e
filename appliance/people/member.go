package people

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Membership is somebody's part in a project.
type Membership struct {
	Project string
	User    string // the user's name
	Role    Role
	AddedBy string
	AddedAt time.Time
}

// Members of a project, owners first, then by name.
func (ps *Projects) Members(project string) []Membership {
	ps.mu.RLock()
	defer ps.mu.RUnlock()
	var out []Membership
	for _, m := range ps.members[project] {
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b Membership) int { return cmp.Or(cmp.Compare(b.Role, a.Role), strings.Compare(a.User, b.User)) })
	return out
}

// RoleOf is the role of a user in a project; None also where there is no such project.
func (ps *Projects) RoleOf(user, project string) Role {
	ps.mu.RLock()
	defer ps.mu.RUnlock()
	return ps.members[project][user].Role
}

// Parts are the projects that a user has a part in, by name.
func (ps *Projects) Parts(user string) []Membership {
	ps.mu.RLock()
	defer ps.mu.RUnlock()
	var out []Membership
	for _, members := range ps.members {
		if m, is := members[user]; is {
			out = append(out, m)
		}
	}
	slices.SortFunc(out, func(a, b Membership) int { return strings.Compare(a.Project, b.Project) })
	return out
}

// SetMember gives a user a role in a project, or another one. last permits that it has no owner then.
func (ps *Projects) SetMember(ctx context.Context, m Membership, last bool) (Membership, error) {
	if m.Role < Viewer || m.Role > Owner {
		return Membership{}, &Fault{Kind: ErrInvalid, Text: fmt.Sprintf("%q is no role", m.Role), Advice: "one of " + strings.Join(Roles(), ", ")}
	}
	ps.changing.Lock()
	defer ps.changing.Unlock()
	if _, there := ps.Find(m.Project); !there {
		return Membership{}, ps.missing(m.Project)
	}
	if had := ps.member(m.Project, m.User); had.User != "" {
		if m.Role < Owner && !last && ps.lastOwner(had) {
			return Membership{}, orphaned(had)
		}
		if had.Role == m.Role {
			return had, nil
		}
	}
	m.AddedAt = ps.now().UTC()
	if err := ps.store.SaveMember(ctx, m); err != nil {
		return Membership{}, fmt.Errorf("keeping %s's part in project %s: %w", m.User, m.Project, err)
	}
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.put(m)
	return m, nil
}

func (ps *Projects) member(project, user string) Membership {
	ps.mu.RLock()
	defer ps.mu.RUnlock()
	return ps.members[project][user]
}

// lastOwner reports whether a project would have no owner without this one.
func (ps *Projects) lastOwner(m Membership) bool {
	return m.Role == Owner && !slices.ContainsFunc(ps.Members(m.Project), func(o Membership) bool { return o.Role == Owner && o.User != m.User })
}

func orphaned(m Membership) error {
	return &Fault{
		Kind: ErrState, Text: fmt.Sprintf("%s is the last owner of project %s", m.User, m.Project),
		Advice: "make somebody else an owner first, or ask an administrator",
	}
}

// RemoveMember ends a user's part in a project. last permits that it has no owner then.
func (ps *Projects) RemoveMember(ctx context.Context, project, user string, last bool) error {
	ps.changing.Lock()
	defer ps.changing.Unlock()
	if _, there := ps.Find(project); !there {
		return ps.missing(project)
	}
	m := ps.member(project, user)
	switch {
	case m.User == "":
		return &Fault{Kind: ErrNotFound, Text: fmt.Sprintf("%.80q has no part in project %s", user, project), Advice: "who has: palisade project members " + project}
	case !last && ps.lastOwner(m):
		return orphaned(m)
	}
	return ps.drop(ctx, project, user)
}

// Forget leaves a user out of all projects: the user was removed, and of their parts nothing is kept.
func (ps *Projects) Forget(user string) {
	ps.changing.Lock()
	defer ps.changing.Unlock()
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for _, members := range ps.members {
		delete(members, user)
	}
}

// drop takes a member out. The caller holds changing.
func (ps *Projects) drop(ctx context.Context, project, user string) error {
	if err := ps.store.DeleteMember(ctx, project, user); err != nil {
		return fmt.Errorf("ending %s's part in project %s: %w", user, project, err)
	}
	ps.mu.Lock()
	defer ps.mu.Unlock()
	delete(ps.members[project], user)
	return nil
}
