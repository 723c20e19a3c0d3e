package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	xssh "golang.org/x/crypto/ssh"

	"github.com/palisade-run/palisade/appliance/ssh/authorized"
	"github.com/palisade-run/palisade/sessions"
)

// Sessions are what people come for. *sessions.Manager is one.
type Sessions interface {
	Sessions(project string, f sessions.SessionFilter) []sessions.Session
	Session(project, ref string) (sessions.Session, error)
	Exec(ctx context.Context, project, ref string, cmd sessions.ExecSpec) (sessions.Exit, error)
	Dial(ctx context.Context, project, ref string, port int) (net.Conn, error)
}

// Keys are those that let people in. *authorized.Book is one.
type Keys interface {
	Find(public xssh.PublicKey) (authorized.Key, bool)
	Used(ctx context.Context, id string) error
}

// World is what connections reach.
type World struct {
	Sessions Sessions
	Keys     Keys
	// Accessed is told that somebody is connected with a session, until what it returns is called. May be nil.
	Accessed func(session string) (left func())
	// May tells what who comes with a key may with a session, as things stand. Nil: everything.
	May func(key authorized.Key, s sessions.Session) Part
	// Good tells whether who comes with a key may come at all. Nil: all may.
	Good func(key authorized.Key) bool
}

// Part is what somebody may with a session.
type Part int

// The parts.
const (
	Nothing Part = iota // it is not there for them
	Looks               // they may know of it
	Enters
)

// may is what who comes with a key may with a session.
func (w *World) may(key authorized.Key, s sessions.Session) Part {
	if w.May == nil {
		return Enters
	}
	return w.May(key, s)
}

// find is a key that lets somebody in now.
func (w *World) find(public xssh.PublicKey) (authorized.Key, bool) {
	key, known := w.Keys.Find(public)
	return key, known && (w.Good == nil || w.Good(key))
}

// shown are the sessions that who comes with a key may know of: all others are not there for them.
type shown struct {
	all Sessions
	may func(s sessions.Session) Part
}

func (v shown) Sessions(project string, f sessions.SessionFilter) []sessions.Session {
	return slices.DeleteFunc(v.all.Sessions(project, f), func(s sessions.Session) bool { return v.may(s) == Nothing })
}

// Session finds one among those, as the manager does among all: one that is not for them hides none that is.
func (v shown) Session(project, ref string) (sessions.Session, error) {
	found, err := v.all.Session(project, ref)
	if err != nil || v.may(found) != Nothing {
		return found, err
	}
	for _, live := range []bool{true, false} {
		for _, s := range v.Sessions(project, sessions.SessionFilter{Live: live}) {
			if s.Name == ref {
				return s, nil
			}
		}
	}
	return sessions.Session{}, fmt.Errorf("session %q %w", ref, sessions.ErrNotFound)
}

// looked are sessions to be found.
type looked interface {
	Sessions(project string, f sessions.SessionFilter) []sessions.Session
	Session(project, ref string) (sessions.Session, error)
}

// forOwners says that a session is somebody else's.
func forOwners(s sessions.Session) error {
	return &refusal{
		what: fmt.Sprintf("session %s is %s's: who enters it is they or an owner of project %s", s.Name, s.CreatedBy, s.Project),
		hint: "the owners are: palisade project members " + s.Project,
	}
}

// defaultProject is the one of a name that several projects have.
const defaultProject = "default"

// resolve finds the session that a person means who comes with a key: by its id, by NAME, or by NAME.PROJECT.
//
//  1. In the key's own project, or among all where it opens all: there the one that lives, and where several projects have
//     one of that name, that of the project "default".
//  2. What stands after the last dot is a project, where the key opens that.
//  3. There is none: the error says what there is.
func resolve(w looked, key authorized.Key, name string) (sessions.Session, error) {
	found, err := inProject(w, key.Project, name)
	if err == nil || !errors.Is(err, sessions.ErrNotFound) {
		return found, err
	}
	if dot := strings.LastIndexByte(name, '.'); dot > 0 && dot < len(name)-1 {
		short, project := name[:dot], name[dot+1:]
		if !key.Opens(project) {
			return sessions.Session{}, &refusal{
				what: fmt.Sprintf("the key %s opens the sessions of project %s alone", key.Name, key.Project),
				hint: "add another key for that project: palisade ssh-key add --project " + project,
			}
		}
		if found, second := w.Session(project, short); second == nil {
			return found, nil
		}
	}
	return sessions.Session{}, missing(w, key, name)
}

func inProject(w looked, project, name string) (sessions.Session, error) {
	if project != "" {
		return w.Session(project, name)
	}
	var live []sessions.Session
	for _, s := range w.Sessions("", sessions.SessionFilter{Live: true}) {
		if s.Name == name && s.ID != name {
			live = append(live, s)
		}
	}
	if len(live) < 2 {
		return w.Session("", name)
	}
	var all []string
	for _, s := range live {
		if s.Project == defaultProject {
			return s, nil
		}
		all = append(all, s.Name+"."+s.Project)
	}
	slices.Sort(all)
	return sessions.Session{}, &refusal{what: fmt.Sprintf("several projects have a session %s", name), hint: "say which: " + strings.Join(all, ", ")}
}

// missing says that there is no such session, and what there is.
func missing(w looked, key authorized.Key, name string) error {
	r := &refusal{what: fmt.Sprintf("there is no session %q", name), hint: "see: palisade ps"}
	var live []string
	for _, s := range w.Sessions(key.Project, sessions.SessionFilter{Live: true}) {
		if s.Personal() {
			live = append(live, s.Name)
		}
	}
	slices.Sort(live)
	var routes []string
	if name != "" {
		for _, s := range w.Sessions(key.Project, sessions.SessionFilter{Live: true, Service: name}) {
			routes = append(routes, s.ID)
		}
	}
	switch {
	case len(routes) > 0:
		r.what, r.hint = fmt.Sprintf("%q is a service", name), "name one of its routes: "+strings.Join(routes, ", ")
	case len(live) == 0:
		r.hint = "none lives now; palisade session create makes one"
	case len(live) <= 10:
		r.hint = "there are: " + strings.Join(live, ", ")
	}
	return r
}

// refusal is why a person who may come in gets nothing.
type refusal struct{ what, hint string }

func (r *refusal) Error() string { return r.what }

// Hint says what to do.
func (r *refusal) Hint() string { return r.hint }

// runs returns why nothing can be done in a session; nil: it runs.
func runs(s sessions.Session) error {
	if s.Status == sessions.StatusRunning || s.Status == sessions.StatusTerminating {
		return nil
	}
	what := fmt.Sprintf("session %s does not run: it is %s", s.Name, s.Status)
	if s.Reason != "" {
		what += ", " + s.Reason
	}
	hint := "see: palisade session info " + s.ID
	if !s.Alive() {
		hint = "take a new one: palisade session create " + s.Image + " --name " + s.Name
	}
	return &refusal{what, hint}
}
