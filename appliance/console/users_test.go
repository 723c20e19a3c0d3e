package console

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestUsers(t *testing.T) {
	b := newConsole(t)
	b.user("boss", true)
	keys := []string{">people.", ">profile.", "ZgotmplZ"}
	for _, language := range []string{"en", "ko"} {
		has(t, b.get("/users?q=%3Cscript%3E", language, 200), []string{`class="empty-title"`, "&lt;script&gt;"}, append(keys, "<script>\""))
	}
	made := b.post("/users", url.Values{"name": {"grace"}, "display_name": {`"><script>alert(1)</script>`}, "email": {"grace@example.com"}}, 200).Body.String()
	password := between(t, made, `id="password-once">`, "</code>")
	has(t, b.post("/users", url.Values{"name": {"No Name"}}, 400).Body.String(), []string{`role="alert"`}, nil)
	b.post("/users", url.Values{"name": {"grace"}}, 409)
	for _, language := range []string{"en", "ko"} {
		has(t, b.get("/users", language, 200), []string{`id="user-grace"`, "&lt;script&gt;alert"}, append(keys, password, "<script>alert"))
		has(t, b.get("/users/grace", language, 200), []string{`id="remove-user"`, `id="live-user-browsers"`, "actor=grace", `value="default"`}, append(keys, password, "<script>alert"))
	}
	b.get("/users/nobody", "en", 404)

	// What it says is so: the password lets in, once.
	w := b.enter(url.Values{"name": {"grace"}, "password": {password}})
	cookie(t, w, "palisade_session")
	again := between(t, b.post("/users/grace/reset", url.Values{}, 200).Body.String(), `id="password-once">`, "</code>")
	if again == password || b.enter(url.Values{"name": {"grace"}, "password": {password}}).Code != http.StatusUnauthorized {
		t.Error("the password from before the reset is good")
	}
	has(t, b.get("/users/grace", "en", 200), nil, []string{again})
	b.post("/users/grace/update", url.Values{"display_name": {"Grace"}, "email": {"g@example.com"}}, 204)
	b.post("/users/grace/projects", url.Values{"project": {"default"}, "role": {"viewer"}}, 204)
	b.post("/users/grace/projects", url.Values{"project": {"default"}, "role": {"king"}}, 400)
	b.post("/users/grace/set", url.Values{"what": {"admin"}, "on": {"true"}}, 204)
	b.post("/users/grace/set", url.Values{"what": {"everything"}}, 400)
	has(t, b.get("/users/grace", "en", 200), []string{">Grace</h1>", "g@example.com", "/console/projects/default/members/grace/remove", "No administrator any more"}, nil)
	b.post("/users/grace/set", url.Values{"what": {"admin"}, "on": {"false"}}, 204)
	b.post("/users/grace/set", url.Values{"what": {"disabled"}, "on": {"true"}}, 204)
	has(t, b.get("/users/grace", "en", 200), []string{"Enable", "disabled"}, nil)
	b.post("/users/grace/set", url.Values{"what": {"disabled"}, "on": {"false"}}, 204)
	b.enter(url.Values{"name": {"grace"}, "password": {again}})
	has(t, b.get("/users/grace", "en", 200), []string{`id="end-all"`}, nil)
	b.post("/users/grace/sessions/nothing/end", nil, 404)
	b.post("/users/grace/sessions/end", nil, 204)
	has(t, b.get("/users/grace", "en", 200), []string{"Logged in nowhere"}, []string{`id="end-all"`})
	if w := b.post("/users/grace/remove", nil, 204); w.Header().Get("HX-Redirect") != "/console/users" {
		t.Error(w.Header())
	}
	b.get("/users/grace", "en", 404)
}

func TestProjects(t *testing.T) {
	b := newConsole(t)
	keys := []string{">people.", ">profile.", "ZgotmplZ", "<script>alert"}
	ada, vera := b.user("ada", false), b.user("vera", false)
	if w := b.post("/projects", url.Values{"name": {"lab"}, "title": {"<script>alert(1)</script>"}, "owner": {"ada"}}, 204); w.Header().Get("HX-Redirect") != "/console/projects/lab" {
		t.Fatal(w.Header())
	}
	b.post("/projects", url.Values{"name": {"lab"}}, 409)
	b.post("/projects", url.Values{"name": {"lib"}, "owner": {"nobody"}}, 400)
	for _, language := range []string{"en", "ko"} {
		has(t, b.get("/projects", language, 200), []string{`id="project-lab"`, `id="project-default"`, `id="create-project"`, "&lt;script&gt;"}, keys)
		has(t, b.get("/projects/lab", language, 200), []string{`id="member-ada"`, `id="remove-project"`, `id="live-contents"`}, keys)
		has(t, b.get("/projects/default", language, 200), []string{`class="empty-title"`}, append(keys, `id="remove-project"`))
	}
	b.get("/projects/none", "en", 404)

	// An owner says who has which part, and makes and removes no project.
	page := b.as(ada, http.MethodGet, "/projects/lab", nil).Body.String()
	has(t, page, []string{`id="add-member"`}, []string{`id="remove-project"`, `href="/console/users`})
	has(t, b.as(ada, http.MethodGet, "/projects", nil).Body.String(), []string{`id="project-lab"`}, []string{`id="project-default"`, `id="create-project"`})
	for form, status := range map[string]int{"user=vera&role=viewer": 204, "user=&role=viewer": 400, "user=vera&role=king": 400, "user=nobody&role=viewer": 400} {
		q, err := url.ParseQuery(form)
		if err != nil {
			t.Fatal(err)
		}
		if w := b.as(ada, http.MethodPost, "/projects/lab/members", q); w.Code != status {
			t.Errorf("%s: %d %s", form, w.Code, w.Body)
		}
	}
	b.as(ada, http.MethodPost, "/projects/lab/rename", url.Values{"title": {"The lab"}})
	has(t, b.as(vera, http.MethodGet, "/projects/lab", nil).Body.String(), []string{">The lab</h1>", `id="member-vera"`}, []string{`id="add-member"`, "<form class=\"people-role\"", `id="rename"`})
	for _, path := range []string{
		"/projects", "/projects/lab/members", "/projects/lab/rename", "/projects/lab/remove", "/projects/lab/members/ada/remove",
		"/users", "/users/ada/set", "/users/ada/reset", "/users/ada/remove", "/users/ada/sessions/end", "/users/ada/update", "/users/ada/projects",
	} {
		form := url.Values{"name": {"mine"}, "user": {"vera"}, "role": {"owner"}, "title": {"x"}, "what": {"admin"}, "on": {"true"}, "project": {"lab"}}
		if w := b.as(vera, http.MethodPost, path, form); w.Code != http.StatusForbidden {
			t.Errorf("a viewer posts to %s: %d %s", path, w.Code, w.Body)
		}
	}
	for path, status := range map[string]int{"/users": 403, "/users/ada": 403, "/projects/default": 404} {
		if w := b.as(vera, http.MethodGet, path, nil); w.Code != status {
			t.Errorf("a viewer at %s: %d", path, w.Code)
		}
	}
	if w := b.as(ada, http.MethodPost, "/projects/lab/members/vera/remove", nil); w.Code != http.StatusNoContent {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := b.as(vera, http.MethodGet, "/projects/lab", nil); w.Code != http.StatusNotFound {
		t.Errorf("who was taken out sees it: %d", w.Code)
	}

	// What has something stays, and says what.
	b.post("/folders?project=lab", url.Values{"name": {"papers"}}, 204)
	if said := b.post("/projects/lab/remove", nil, 409).Body.String(); !strings.Contains(said, "1 folder") {
		t.Error(said)
	}
	b.post("/projects", url.Values{"name": {"empty"}}, 204)
	b.post("/projects/empty/remove", nil, 204)
	b.post("/projects/default/remove", nil, 409)
}
