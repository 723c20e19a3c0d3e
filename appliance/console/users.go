package console

import (
	"net/url"
	"strings"
	"sync"

	"github.com/palisade-run/palisade/appliance/api"
)

func usersPages() []Page {
	return []Page{
		{Pattern: "/users", Name: "users/list", Section: "users", Data: usersData},
		{Pattern: "/users/{name}", Name: "users/show", Section: "users", Data: userData, Personal: true},
	}
}

func usersActions() []Action {
	return []Action{
		{Pattern: "/users", Do: createUser},
		{Pattern: "/users/{name}/update", Do: updateUser},
		{Pattern: "/users/{name}/set", Do: setUser},
		{Pattern: "/users/{name}/reset", Do: resetUser},
		{Pattern: "/users/{name}/remove", Do: removeUser},
		{Pattern: "/users/{name}/projects", Do: addUserPart},
		{Pattern: "/users/{name}/sessions/end", Do: endUserSessions},
		{Pattern: "/users/{name}/sessions/{id}/end", Do: endUserSession},
	}
}

// mostUsers is how many a page shows; who looks for others searches.
const mostUsers = 200

// userList is what the page of users shows.
type userList struct {
	Users            []api.User
	Search           string
	All, Found       int
	Admins, Disabled int
}

func usersData(v *View) (any, error) {
	all, err := v.API.Users(v.Context())
	if err != nil {
		return nil, err
	}
	out := userList{Search: strings.TrimSpace(v.Parameter("q")), All: len(all)}
	word := strings.ToLower(out.Search)
	for _, u := range all {
		if u.Admin {
			out.Admins++
		}
		if u.Disabled {
			out.Disabled++
		}
		if !strings.Contains(strings.ToLower(u.Name+"\n"+u.DisplayName+"\n"+u.Email), word) {
			continue
		}
		if out.Found++; out.Found <= mostUsers {
			out.Users = append(out.Users, u)
		}
	}
	return out, nil
}

// userShown is what the page of a user shows.
type userShown struct {
	User     api.User
	Browsers []browser
	Others   []string // projects that the user has no part in
	Self     bool
	Limits   limitsOnPage
}

func userData(v *View) (any, error) {
	name := v.PathValue("name")
	var out userShown
	var browsers []api.LogInSession
	var projects []api.Project
	var failed [4]error
	var limits api.Limits
	var wait sync.WaitGroup
	wait.Go(func() { limits, failed[3] = v.API.UserLimits(v.Context(), name) })
	wait.Go(func() { out.User, failed[0] = v.API.User(v.Context(), name) })
	wait.Go(func() { browsers, failed[1] = v.API.UserSessions(v.Context(), name) })
	wait.Go(func() { projects, failed[2] = v.API.Projects(v.Context()) })
	wait.Wait()
	for _, err := range failed {
		if err != nil {
			return nil, err
		}
	}
	has := map[string]bool{}
	for _, p := range out.User.Projects {
		has[p.Name] = true
	}
	for i := range projects {
		if !has[projects[i].Name] {
			out.Others = append(out.Others, projects[i].Name)
		}
	}
	out.Limits = limitsOf(v, limits, limitsPath("users", name))
	out.Browsers, out.Self = browsersOf(browsers), out.User.Name == v.Me.Name
	return out, nil
}

// passwordOnce is a password that was just drawn: it is shown this once.
type passwordOnce struct {
	Name, Password string
	New            bool // the user is
}

func createUser(v *View) (Outcome, error) {
	made, err := v.API.CreateUser(v.Context(), api.UserCreate{
		Name: strings.TrimSpace(v.Field("name")), DisplayName: strings.TrimSpace(v.Field("display_name")), Email: strings.TrimSpace(v.Field("email")), Admin: v.Field("admin") == "true",
	})
	if err != nil {
		return Outcome{}, err
	}
	return Outcome{Fragment: "fragment-password", Data: passwordOnce{made.User.Name, made.Password, true}}, nil
}

func updateUser(v *View) (Outcome, error) {
	title, email := strings.TrimSpace(v.Field("display_name")), strings.TrimSpace(v.Field("email"))
	_, err := v.API.UpdateUser(v.Context(), v.PathValue("name"), api.UserUpdate{DisplayName: &title, Email: &email})
	return Outcome{Toast: v.Say("people.saved")}, err
}

// setUser turns on or off what the form names.
func setUser(v *View) (Outcome, error) {
	var in api.UserUpdate
	on := v.Field("on") == "true"
	switch v.Field("what") {
	case "admin":
		in.Admin = &on
	case "disabled":
		in.Disabled = &on
	case "totp":
		in.TOTP = new(false)
	default:
		return Outcome{}, fieldProblem("what", v.Say("people.no_such"))
	}
	_, err := v.API.UpdateUser(v.Context(), v.PathValue("name"), in)
	return Outcome{Toast: v.Say("people.saved")}, err
}

func resetUser(v *View) (Outcome, error) {
	made, err := v.API.ResetUser(v.Context(), v.PathValue("name"), api.UserReset{TOTP: v.Field("totp") == "true"})
	return Outcome{Fragment: "fragment-password", Data: passwordOnce{made.User.Name, made.Password, false}}, err
}

func removeUser(v *View) (Outcome, error) {
	return Outcome{To: "/users"}, v.API.RemoveUser(v.Context(), v.PathValue("name"))
}

func addUserPart(v *View) (Outcome, error) {
	_, err := v.API.SetProjectMember(v.Context(), v.Field("project"), v.PathValue("name"), api.ProjectMemberSet{Role: v.Field("role")})
	return Outcome{To: "/users/" + url.PathEscape(v.PathValue("name"))}, err
}

func endUserSessions(v *View) (Outcome, error) {
	return Outcome{Toast: v.Say("people.all_ended")}, v.API.EndUserSessions(v.Context(), v.PathValue("name"))
}

func endUserSession(v *View) (Outcome, error) {
	return Outcome{Toast: v.Say("profile.ended")}, v.API.EndUserSession(v.Context(), v.PathValue("name"), v.PathValue("id"))
}
