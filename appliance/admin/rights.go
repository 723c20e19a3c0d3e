package admin

import (
	"strings"

	"github.com/palisade-run/palisade/appliance/admin/keys"
	"github.com/palisade-run/palisade/appliance/people"
	"github.com/palisade-run/palisade/sessions"
)

// Parts are the projects that there are, and who has which part in them. *people.Projects is one.
type Parts interface {
	Find(name string) (people.Project, bool)
	RoleOf(user, project string) people.Role
	Members(project string) []people.Membership
	Parts(user string) []people.Membership
}

// Accounted are the users. *people.Book is one.
type Accounted interface {
	User(name string) (people.User, error)
}

// Rights say what somebody may. All doors ask them: the API, apps, and SSH. They look into memory alone.
type Rights struct {
	Keys  Keys
	Users Accounted
	Parts Parts
}

// grant is what somebody may in a project.
type grant struct {
	known bool // it is somebody
	whole bool // nothing keeps them from all that they themselves may: no key that may less than its owner
	admin bool
	role  people.Role
}

// meets reports whether a grant is enough for a need. It is the one rule.
func (g grant) meets(n need) bool {
	switch r := n.role(); r {
	case open:
		return true
	case anyone:
		return g.known
	case self:
		return g.known && g.whole
	case viewer, member, owner:
		return g.known && (g.admin || g.role >= roleOf(r))
	case admin:
		return g.known && g.admin
	}
	return false
}

// roleOf is the role that a need from viewer to owner is about.
func roleOf(n need) people.Role { return people.Viewer + people.Role(n-viewer) }

// bound is a grant as a key of a scope has it, that opens all projects or not the one that is asked for.
func (g grant) bound(scope keys.Scope, one, here bool) grant {
	if scope != keys.Admin || one {
		g.admin, g.whole = false, false
	}
	if one && !here {
		g.role = people.None
	}
	switch scope {
	case keys.Admin:
	case keys.Write:
		g.role = min(g.role, people.Member)
	case keys.Read:
		g.role = min(g.role, people.Viewer)
	default:
		g.role = people.None
	}
	return g
}

// grant is what somebody may in a project, whether there is one of that name or not.
//  1. Nobody may nothing.
//  2. Who is an administrator, or comes from the box itself, may everything.
//  3. Of all others it counts which part they have.
//  4. A key may no more than its scope, and in no project but its own where it has one.
func (r Rights) grant(a Actor, project string) grant {
	if a.Via == "" { // 1
		return grant{}
	}
	g := grant{known: true, whole: true}
	switch {
	case a.User.Name == "", a.User.Admin: // 2
		g.admin, g.role = true, people.Owner
	default: // 3
		g.role = r.Parts.RoleOf(a.User.Name, project)
	}
	if a.Via == viaKey { // 4
		g = g.bound(a.Scope, a.Project != "", a.Project == project)
	}
	return g
}

// The ways by which somebody comes, beside byCookie.
const (
	viaSocket = "socket"
	viaKey    = "key"
)

// Again is somebody who was known before, as they stand now. false: they may not come any more.
func (r Rights) Again(a Actor) (Actor, bool) {
	switch {
	case a.Key != "":
		k, good := r.Keys.Find(a.Key)
		if !good {
			return Actor{}, false
		}
		return r.ofKey(k)
	case a.User.Name != "":
		u, err := r.Users.User(a.User.Name)
		if err != nil || !u.Enabled() {
			return Actor{}, false
		}
		a.User, a.Name, a.Admin = u, u.Name, u.Admin
		return a, true
	}
	return a, a.Via == viaSocket
}

// ofKey is who comes with a key; false: the user who answers for it may not any more.
func (r Rights) ofKey(k keys.Key) (Actor, bool) {
	a := Actor{Name: k.Name, Via: viaKey, Key: k.ID, Scope: k.Scope, Project: k.Project}
	if k.Owner != "" {
		u, err := r.Users.User(k.Owner)
		if err != nil || !u.Enabled() {
			return Actor{}, false
		}
		a.Name, a.User = u.Name, u
	}
	a.Admin = r.grant(a, "").admin
	return a, true
}

// Enters reports whether somebody may enter, end or copy a session: who has made it, while they are a member of its project,
// and the project's owners. One with secrets of the box in its environment would show them: those who made it do not enter it
// by that alone.
func (r Rights) Enters(a Actor, v sessions.Session) bool {
	g := r.grant(a, v.Project)
	return g.meets(owner) || g.meets(member) && r.made(a, v.CreatedBy) && !holdsSecrets(v.Launch.Env)
}

// Sees reports whether somebody may look at a project.
func (r Rights) Sees(a Actor, project string) bool { return r.grant(a, project).meets(viewer) }

// made reports whether something that bears a name was made by who asks. A key of the box itself is nobody else for having the
// name of a user.
func (r Rights) made(a Actor, by string) bool {
	if a.Via == viaKey && a.User.Name == "" {
		if _, err := r.Users.User(a.Name); err == nil {
			return false
		}
	}
	return by != "" && by == a.Name
}

// holdsSecrets reports whether an environment names secrets of the box.
func holdsSecrets(env map[string]string) bool {
	for _, value := range env {
		if strings.HasPrefix(value, sessions.SecretPrefix) {
			return true
		}
	}
	return false
}
