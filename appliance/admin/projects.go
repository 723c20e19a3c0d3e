package admin

import (
	"context"
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/people"
	"github.com/palisade-run/palisade/sessions"
)

// Projects are those there are, and who has which part in them. *people.Projects is one.
type Projects interface {
	Parts
	List() []people.Project
	ProjectChanges
}

// ProjectChanges are what is done to projects.
type ProjectChanges interface {
	Create(ctx context.Context, name, title, by string) (people.Project, error)
	Retitle(ctx context.Context, name, title string) (people.Project, error)
	Remove(ctx context.Context, name string, has func(project string) ([]string, error)) error
	SetMember(ctx context.Context, m people.Membership, last bool) (people.Membership, error)
	RemoveMember(ctx context.Context, project, user string, last bool) error
	Forget(user string)
}

// project shows one as who asks has it.
func (s *server) project(ctx context.Context, p people.Project) api.Project {
	out := api.Project{
		Name: p.Name, Title: p.Title, Role: s.rights.grant(actorOf(ctx), p.Name).role.String(), Owners: []string{}, CreatedBy: p.CreatedBy, CreatedAt: timePtr(p.CreatedAt),
	}
	for _, m := range s.Projects.Members(p.Name) {
		out.Members++
		if m.Role == people.Owner {
			out.Owners = append(out.Owners, m.User)
		}
	}
	return out
}

// seen are the projects that who asks has a part in.
func (s *server) seen(ctx context.Context) []api.Project {
	items := []api.Project{}
	for _, p := range s.Projects.List() {
		if s.rights.Sees(actorOf(ctx), p.Name) {
			items = append(items, s.project(ctx, p))
		}
	}
	return items
}

// partsOf are the projects that somebody has a part in, as they are told of themselves.
func (s *server) partsOf(a Actor) []api.MyProject {
	out := []api.MyProject{}
	for _, p := range s.Projects.List() {
		if g := s.rights.grant(a, p.Name); g.meets(viewer) {
			out = append(out, api.MyProject{Name: p.Name, Title: p.Title, Role: g.role.String()})
		}
	}
	return out
}

func (s *server) listProjects(c *gin.Context) error {
	p := query(c, "limit", "cursor")
	if p.err != nil {
		return p.err
	}
	return respondPage(c, p, s.seen(c.Request.Context()), func(p api.Project) string { return p.Name })
}

func (s *server) createProject(c *gin.Context) error {
	var in api.ProjectCreate
	if err := firstError(query(c).err, func() error { return decode(c, &in) }); err != nil {
		return err
	}
	ctx := c.Request.Context()
	by := actorOf(ctx).Name
	if in.Owner != "" {
		name, err := s.knownUser("owner", in.Owner)
		if err != nil {
			return err
		}
		in.Owner = name
	}
	made, err := s.Projects.Create(ctx, in.Name, in.Title, by)
	if err != nil {
		return err
	}
	if in.Owner != "" {
		if _, err := s.Projects.SetMember(ctx, people.Membership{Project: made.Name, User: in.Owner, Role: people.Owner, AddedBy: by}, true); err != nil {
			return err
		}
	}
	c.Header("Location", api.Prefix+"/projects/"+made.Name)
	return respond(c, http.StatusCreated, s.project(ctx, made))
}

// knownUser is a user's name as it is kept, of one as somebody writes it; one that is no user's is refused.
func (s *server) knownUser(field, name string) (string, error) {
	u, err := s.Users.User(name)
	if err != nil {
		return "", badField(field, "an administrator makes users: palisade user create NAME", "there is no user %.80q", name)
	}
	return u.Name, nil
}

// findProject returns the project that the path names.
func (s *server) findProject(c *gin.Context) (people.Project, error) {
	if p := query(c); p.err != nil {
		return people.Project{}, p.err
	}
	p, there := s.Projects.Find(c.Param("name"))
	if !there {
		return p, people.NoProject(c.Param("name"))
	}
	return p, nil
}

func (s *server) getProject(c *gin.Context) error {
	p, err := s.findProject(c)
	if err != nil {
		return err
	}
	out := s.project(c.Request.Context(), p)
	has, err := s.contents(c.Request.Context(), p.Name)
	if err != nil {
		return err
	}
	out.Contents = &has
	return respond(c, http.StatusOK, out)
}

func (s *server) updateProject(c *gin.Context) error {
	p, err := s.findProject(c)
	var in api.ProjectUpdate
	if err := firstError(err, func() error { return decode(c, &in) }); err != nil {
		return err
	}
	ctx := c.Request.Context()
	if in.Title != nil {
		if p, err = s.Projects.Retitle(ctx, p.Name, *in.Title); err != nil {
			return err
		}
	}
	return respond(c, http.StatusOK, s.project(ctx, p))
}

func (s *server) removeProject(c *gin.Context) error {
	p, err := s.findProject(c)
	if err != nil {
		return err
	}
	ctx := c.Request.Context()
	if err := s.Projects.Remove(ctx, p.Name, func(project string) ([]string, error) {
		has, err := s.contents(ctx, project)
		return told(has), err
	}); err != nil {
		return err
	}
	if err := s.Limits.Forget(ctx, people.LimitProject, p.Name); err != nil {
		return err
	}
	return noContent(c)
}

// contents counts what a project has.
func (s *server) contents(ctx context.Context, project string) (api.ProjectContents, error) {
	has := api.ProjectContents{Services: len(s.Services.Services(project)), Sessions: 0}
	s.Sessions.EachSession(project, sessions.SessionFilter{Live: true}, func(*sessions.Session) { has.Sessions++ })
	folders, err := s.Folders.List(ctx, project)
	if err != nil {
		return has, err
	}
	trash, err := s.Folders.Trash(ctx, project)
	if err != nil {
		return has, err
	}
	has.Folders, has.Trash = len(folders), len(trash)
	if s.Models != nil {
		has.Models = len(s.Models.Models(project))
	}
	if s.Pipelines != nil {
		has.Pipelines = len(s.Pipelines.Pipelines(project))
	}
	for _, t := range s.Tokens.List(project, "") {
		if t.RevokedAt.IsZero() && s.Now().Before(t.ExpiresAt) {
			has.Tokens++
		}
	}
	return has, nil
}

// told is what a project has, as "2 services".
func told(has api.ProjectContents) (words []string) {
	for _, one := range []struct {
		n            int
		one, several string
	}{
		{has.Services, "service", "services"}, {has.Sessions, "session", "sessions"}, {has.Folders, "folder", "folders"},
		{has.Trash, "folder in the trash", "folders in the trash"}, {has.Models, "model", "models"}, {has.Pipelines, "pipeline", "pipelines"},
		{has.Tokens, "token that is good", "tokens that are good"},
	} {
		switch {
		case one.n == 1:
			words = append(words, "1 "+one.one)
		case one.n > 1:
			words = append(words, fmt.Sprintf("%d %s", one.n, one.several))
		}
	}
	return words
}

func (s *server) memberOut(m people.Membership) api.ProjectMember {
	out := api.ProjectMember{User: m.User, Role: m.Role.String(), AddedBy: m.AddedBy, AddedAt: m.AddedAt.UTC()}
	if u, err := s.Users.User(m.User); err == nil {
		out.DisplayName, out.Disabled = u.DisplayName, !u.Enabled()
	}
	return out
}

func (s *server) listMembers(c *gin.Context) error {
	p := query(c, "limit", "cursor")
	if p.err != nil {
		return p.err
	}
	items, at := []api.ProjectMember{}, map[string]int{}
	for i, m := range s.Projects.Members(c.Param("name")) {
		items = append(items, s.memberOut(m))
		at[m.User] = i
	}
	return respondPage(c, p, items, func(m api.ProjectMember) string { return fmt.Sprintf("%06d", at[m.User]) })
}

func (s *server) setMember(c *gin.Context) error {
	p, err := s.findProject(c)
	var in api.ProjectMemberSet
	if err := firstError(err, func() error { return decode(c, &in) }); err != nil {
		return err
	}
	role, err := people.ParseRole(in.Role)
	if err != nil {
		return err
	}
	user, err := s.knownUser("user", c.Param("user"))
	if err != nil {
		return err
	}
	ctx := c.Request.Context()
	a := actorOf(ctx)
	m, err := s.Projects.SetMember(ctx, people.Membership{Project: p.Name, User: user, Role: role, AddedBy: a.Name}, s.rights.grant(a, p.Name).admin)
	if err != nil {
		return err
	}
	return respond(c, http.StatusOK, s.memberOut(m))
}

func (s *server) removeMember(c *gin.Context) error {
	p, err := s.findProject(c)
	if err != nil {
		return err
	}
	ctx := c.Request.Context()
	if err := s.Projects.RemoveMember(ctx, p.Name, people.Fold(c.Param("user")), s.rights.grant(actorOf(ctx), p.Name).admin); err != nil {
		return err
	}
	return noContent(c)
}
