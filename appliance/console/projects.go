package console

import (
	"net/url"
	"strings"
	"sync"

	"github.com/palisade-run/palisade/appliance/api"
)

func projectsPages() []Page {
	return []Page{
		{Pattern: "/projects", Name: "projects/list", Section: "projects", Data: projectsData, Personal: true},
		{Pattern: "/projects/{name}", Name: "projects/show", Section: "projects", Data: projectData, Personal: true},
	}
}

func projectsActions() []Action {
	return []Action{
		{Pattern: "/projects", Do: createProject},
		{Pattern: "/projects/{name}/rename", Do: renameProject},
		{Pattern: "/projects/{name}/remove", Do: removeProject},
		{Pattern: "/projects/{name}/members", Do: setMember},
		{Pattern: "/projects/{name}/members/{user}/remove", Do: removeMember},
	}
}

// projectList is what the page of projects shows.
type projectList struct {
	Projects []api.Project
	Users    []string // names, for an administrator to choose an owner from
}

func projectsData(v *View) (any, error) {
	var out projectList
	var err error
	if out.Projects, err = v.API.Projects(v.Context()); err != nil {
		return nil, err
	}
	if v.Me.Admin {
		out.Users, err = userNames(v)
	}
	return out, err
}

// userNames are those who may log in.
func userNames(v *View) ([]string, error) {
	all, err := v.API.Users(v.Context())
	var names []string
	for i := range all {
		if !all[i].Disabled {
			names = append(names, all[i].Name)
		}
	}
	return names, err
}

// projectShown is what the page of a project shows.
type projectShown struct {
	Project  api.Project
	Members  []api.ProjectMember
	Contents []contentTile
	Users    []string // who has no part in it; for an administrator to choose from
	Owner    bool     // who looks may say who has which part
	Limits   limitsOnPage
}

// contentTile is how many of something are in a project.
type contentTile struct {
	What, Icon, Path string
	N                int
}

func projectData(v *View) (any, error) {
	name := v.PathValue("name")
	var out projectShown
	var failed [4]error
	var limits api.Limits
	var wait sync.WaitGroup
	wait.Go(func() { limits, failed[3] = v.API.ProjectLimits(v.Context(), name) })
	wait.Go(func() { out.Project, failed[0] = v.API.Project(v.Context(), name) })
	wait.Go(func() { out.Members, failed[1] = v.API.ProjectMembers(v.Context(), name) })
	if v.Me.Admin {
		wait.Go(func() { out.Users, failed[2] = userNames(v) })
	}
	wait.Wait()
	for _, err := range failed {
		if err != nil {
			return nil, err
		}
	}
	post := ""
	if v.Me.Admin {
		post = limitsPath("projects", name)
	}
	out.Limits = limitsOf(v, limits, post)
	has := map[string]bool{}
	for _, m := range out.Members {
		has[m.User] = true
	}
	var others []string
	for _, u := range out.Users {
		if !has[u] {
			others = append(others, u)
		}
	}
	out.Users, out.Owner = others, out.Project.Role == "owner"
	if c := out.Project.Contents; c != nil {
		out.Contents = []contentTile{
			{"services", "server", "/services", c.Services}, {"sessions", "terminal-2", "/sessions", c.Sessions}, {"models", "package", "/models", c.Models},
			{"folders", "folder", "/folders", c.Folders}, {"trash", "trash", "/folders", c.Trash}, {"pipelines", "topology-star-3", "/pipelines", c.Pipelines}, {"tokens", "key", "/tokens", c.Tokens},
		}
	}
	return out, nil
}

func createProject(v *View) (Outcome, error) {
	made, err := v.API.CreateProject(v.Context(), api.ProjectCreate{Name: strings.TrimSpace(v.Field("name")), Title: strings.TrimSpace(v.Field("title")), Owner: strings.TrimSpace(v.Field("owner"))})
	return Outcome{To: "/projects/" + url.PathEscape(made.Name)}, err
}

func renameProject(v *View) (Outcome, error) {
	title := strings.TrimSpace(v.Field("title"))
	_, err := v.API.UpdateProject(v.Context(), v.PathValue("name"), api.ProjectUpdate{Title: &title})
	return Outcome{Toast: v.Say("people.saved")}, err
}

func removeProject(v *View) (Outcome, error) {
	return Outcome{To: "/projects"}, v.API.RemoveProject(v.Context(), v.PathValue("name"))
}

func setMember(v *View) (Outcome, error) {
	user := strings.TrimSpace(v.Field("user"))
	if user == "" {
		return Outcome{}, fieldProblem("user", v.Say("people.who"))
	}
	_, err := v.API.SetProjectMember(v.Context(), v.PathValue("name"), user, api.ProjectMemberSet{Role: v.Field("role")})
	return Outcome{Toast: v.Say("people.saved")}, err
}

func removeMember(v *View) (Outcome, error) {
	return Outcome{Toast: v.Say("people.member_gone", v.PathValue("user"))}, v.API.RemoveProjectMember(v.Context(), v.PathValue("name"), v.PathValue("user"))
}
