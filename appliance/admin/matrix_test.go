package admin_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/admin"
	"github.com/palisade-run/palisade/appliance/admin/keys"
	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/people"
)

// town is an appliance with people: those of the project red, and one of blue.
type town struct {
	*box
	secrets map[string]string // of API keys, by who has it
	given   string            // the password of fresh, which was drawn
}

func newTown(t *testing.T) *town {
	t.Helper()
	w := &town{box: newBox(t), secrets: map[string]string{}}
	for name, role := range map[string]people.Role{"viewer": people.Viewer, "member": people.Member, "other": people.Member, "owner": people.Owner, "foreign": people.None, "chief": people.None} {
		_, _, err := w.Users.Create(t.Context(), people.Wish{Name: name, Password: "a good long password", Keep: true, Admin: name == "chief"})
		if err != nil {
			t.Fatal(err)
		}
		if role != people.None {
			w.joins(name, "red", role)
		}
	}
	w.joins("foreign", "blue", people.Owner)
	var err error
	if _, w.given, err = w.Users.Create(t.Context(), people.Wish{Name: "fresh", Admin: true}); err != nil {
		t.Fatal(err)
	}
	w.key("read", keys.Wish{Name: "read", Owner: "member", Scope: keys.Read})
	ends := time.Now().Add(20 * time.Millisecond)
	w.key("expired", keys.Wish{Name: "expired", Owner: "member", Scope: keys.Admin, ExpiresAt: ends})
	<-time.After(time.Until(ends)) // the ring's clock is that of the box
	return w
}

func (w *town) joins(user, project string, r people.Role) {
	w.t.Helper()
	if _, err := w.Project.SetMember(w.t.Context(), people.Membership{Project: project, User: user, Role: r}, true); err != nil {
		w.t.Fatal(err)
	}
}

func (w *town) key(who string, wish keys.Wish) {
	w.t.Helper()
	_, secret, err := w.Keys.Issue(w.t.Context(), wish)
	if err != nil {
		w.t.Fatal(err)
	}
	w.secrets[who] = secret
}

// as sends a request of somebody.
func (w *town) as(who, method, path, body string) *httptest.ResponseRecorder {
	w.t.Helper()
	ctx := w.t.Context()
	switch {
	case who == "fresh":
		return w.asFresh(method, path, body)
	case who == "socket":
		ctx = admin.LocalPeer(ctx, "root")
	case who == "admin":
		ctx = admin.As(ctx, admin.ActorOf("", "chief", ""))
	case who != "nobody" && w.secrets[who] == "":
		ctx = admin.As(ctx, admin.ActorOf("", who, ""))
	}
	r := httptest.NewRequestWithContext(ctx, method, api.Prefix+path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if secret := w.secrets[who]; secret != "" {
		r.Header.Set("Authorization", "Bearer "+secret)
	}
	return w.serve(r)
}

// asFresh is as, for who has logged in at a browser and not yet changed the password. They log in each time: some of what they
// ask for ends that.
func (w *town) asFresh(method, path, body string) *httptest.ResponseRecorder {
	w.t.Helper()
	e, err := w.Users.LogIn(w.t.Context(), people.Try{Name: "fresh", Password: w.given, From: people.From{Address: "192.0.2.8"}})
	if err != nil {
		w.t.Fatal(err)
	}
	return w.serve(browser(method, path, body, &http.Cookie{Name: "palisade_session", Value: e.Secret}))
}

// outcome says in a letter of testdata/permissions.txt whether somebody was let in.
func outcome(w *httptest.ResponseRecorder) string {
	var p api.Problem
	_ = json.Unmarshal(w.Body.Bytes(), &p) // not every answer is one
	switch {
	case w.Code == http.StatusUnauthorized && w.Header().Get("WWW-Authenticate") != "":
		return "-"
	case w.Code == http.StatusForbidden:
		return "x"
	case w.Code == http.StatusNotFound && admin.NoPart(p.Detail):
		return "?"
	}
	return "y"
}

// meant reads testdata/permissions.txt: what each route answers to each who asks, by route.
func meant(t *testing.T) (who []string, want map[string][]string) {
	t.Helper()
	f, err := os.Open("testdata/permissions.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want = map[string][]string{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		words := strings.Fields(lines.Text())
		switch {
		case len(words) > 2 && words[0] == "#" && words[1] == "nobody" && words[2] == "expired":
			who = words[1:]
		case len(words) == 0 || words[0] == "#" || strings.HasPrefix(words[0], "#"):
		case len(words) != 2+len(who):
			t.Fatalf("%q: %d answers, want %d", lines.Text(), len(words)-2, len(who))
		default:
			want[words[0]+" "+words[1]] = words[2:]
		}
	}
	return who, want
}

var placeholder = regexp.MustCompile(`:\w+`)

// TestMatrix asks for every route as everybody, and compares with what is written down by hand.
func TestMatrix(t *testing.T) {
	w := newTown(t)
	who, want := meant(t)
	routes, _ := admin.Routes()
	seen := map[string]bool{}
	for _, route := range routes {
		seen[route] = true
		if want[route] == nil {
			t.Errorf("%s has no line in testdata/permissions.txt: write down who may", route)
			continue
		}
		method, pattern, _ := strings.Cut(route, " ")
		for i, name := range who {
			path := pattern
			switch {
			case strings.HasPrefix(path, "/sessions/:id"):
				path = strings.Replace(path, ":id", w.session("member", "red"), 1)
			case strings.HasPrefix(path, "/projects/:name"):
				path = strings.Replace(path, ":name", "red", 1)
			}
			path = placeholder.ReplaceAllString(path, "nothing") + "?project=red"
			body := ""
			if method != "GET" && method != "HEAD" {
				body = "{}"
			}
			if route == "POST /sessions/:id/commit" {
				body = `{"image":"mine:1"}`
			}
			switch route {
			case "GET /sessions/:id/exec":
				path += "&command=true"
			case "GET /sessions/:id/tunnel":
				path += "&port=1"
			}
			answer := w.as(name, method, path, body)
			got := outcome(answer)
			if method == "HEAD" && answer.Code == http.StatusNotFound { // it has no words, and nothing is there at all
				got = want[route][i]
			}
			if got != want[route][i] {
				t.Errorf("%-8s %s: %s (%d), want %s: %.300s", name, route, got, answer.Code, want[route][i], answer.Body)
			}
			// There are no pipelines in this appliance.
			if answer.Code == http.StatusInternalServerError && !strings.HasPrefix(pattern, "/pipelines") && !strings.HasPrefix(pattern, "/jobs") {
				t.Errorf("%s %s: %s", name, route, answer.Body)
			}
		}
	}
	for route := range want {
		if !seen[route] {
			t.Errorf("testdata/permissions.txt has %s, which is no route", route)
		}
	}
}

// session makes one of somebody's.
func (w *town) session(user, project string) string {
	w.t.Helper()
	answer := w.as(user, "POST", "/sessions?project="+project, `{"image":"python:3"}`)
	var made api.SessionsCreated
	if err := json.Unmarshal(answer.Body.Bytes(), &made); err != nil || len(made.Items) != 1 {
		w.t.Fatalf("%d %s", answer.Code, answer.Body)
	}
	return made.Items[0].ID
}

// TestAProjectInTheBodyIsAskedFor: naming it there is no way around.
func TestAProjectInTheBodyIsAskedFor(t *testing.T) {
	w := newTown(t)
	routes, body := admin.Routes()
	for _, route := range routes {
		if !body[route] {
			continue
		}
		method, pattern, _ := strings.Cut(route, " ")
		path := placeholder.ReplaceAllString(pattern, "nothing")
		if strings.HasPrefix(path, "/folders/nothing") { // it is cloned out of a project of one's own
			w.as("foreign", "POST", "/folders?project=blue", `{"name":"nothing"}`)
			path += "?project=blue"
			if answer := w.as("foreign", method, path, `{"name":"x1","project":"red"}`); answer.Code < 400 {
				t.Errorf("%s: %d %s", route, answer.Code, answer.Body)
			}
			continue
		}
		for name, want := range map[string]string{"foreign": "?", "nobody": "-"} {
			answer := w.as(name, method, path, `{"project":"red"}`)
			if got := outcome(answer); got != want {
				t.Errorf("%s %s: %d %s", name, route, answer.Code, answer.Body)
			}
		}
		if got := outcome(w.as("viewer", method, path, `{"project":"red"}`)); got != "x" && !strings.Contains(route, "validate") {
			t.Errorf("a viewer, %s: %s", route, got)
		}
	}
}

// TestNobodyClonesOutOfAProjectOfOthers: that the query names no project is no way into the default one.
func TestNobodyClonesOutOfAProjectOfOthers(t *testing.T) {
	w := newTown(t)
	w.do("POST", "/folders", `{"name":"hidden"}`, 201, nil)
	for _, ref := range []string{"hidden", "hidden@default"} {
		if answer := w.as("foreign", "POST", "/folders/"+ref+"/clone", `{"name":"mine","project":"blue"}`); answer.Code != http.StatusNotFound {
			t.Errorf("%s: %d %s", ref, answer.Code, answer.Body)
		}
	}
	w.as("foreign", "POST", "/folders?project=blue", `{"name":"own"}`)
	if answer := w.as("foreign", "POST", "/folders/own/clone", `{"name":"mine","project":"blue"}`); answer.Code != http.StatusOK {
		t.Errorf("one's own: %d %s", answer.Code, answer.Body)
	}
}

// TestWhatIsSharedWithAPersonIsTheirs: a key of the box that is called as they are is nobody, and one of a single project opens
// that alone.
func TestWhatIsSharedWithAPersonIsTheirs(t *testing.T) {
	w := newTown(t)
	w.key("box", keys.Wish{Name: "member", Scope: keys.Write, Project: "red"})
	w.key("one", keys.Wish{Name: "one", Owner: "member", Scope: keys.Write, Project: "red"})
	w.key("all", keys.Wish{Name: "all", Owner: "member", Scope: keys.Write})
	w.do("POST", "/folders", `{"name":"hidden"}`, 201, nil)
	w.do("PUT", "/folders/hidden/shares", `{"person":"member","permission":"ro"}`, 200, nil)
	for who, want := range map[string]int{"member": 200, "all": 200, "box": 404, "one": 404} {
		if answer := w.as(who, "GET", "/folders/hidden@default?project=red", ""); answer.Code != want {
			t.Errorf("%s: %d %s", who, answer.Code, answer.Body)
		}
	}
}

// TestImagesDoNotTellOfOtherProjects: all see which images there are, and nobody what others do with them.
func TestImagesDoNotTellOfOtherProjects(t *testing.T) {
	w := newTown(t)
	w.do("POST", "/images/pull", `{"image":"busybox"}`, 200, nil)
	w.do("POST", "/services?project=red", `{"name":"secretplan","image":"busybox"}`, 201, nil)
	for who, want := range map[string]bool{"foreign": false, "viewer": true, "chief": true} {
		text := w.as(who, "GET", "/images", "").Body.String()
		if !strings.Contains(text, "busybox") || strings.Contains(text, "secretplan") != want || strings.Contains(text, "another project") == want {
			t.Errorf("%s: %s", who, text)
		}
	}
}

// TestWhatIsForeignIsNotThere: an id of another project's thing is answered as one that nothing has.
func TestWhatIsForeignIsNotThere(t *testing.T) {
	w := newTown(t)
	id := func(path, body string) string {
		t.Helper()
		answer := w.as("foreign", "POST", path+"?project=blue", body)
		var made struct {
			ID, Name string
			Items    []struct{ ID string }
			Token    struct{ ID string }
			Key      struct{ ID string }
		}
		if err := json.Unmarshal(answer.Body.Bytes(), &made); err != nil || answer.Code > 299 {
			t.Fatalf("%s: %d %s", path, answer.Code, answer.Body)
		}
		for _, one := range made.Items {
			return one.ID
		}
		return made.ID + made.Token.ID + made.Key.ID
	}
	folder := id("/folders", `{"name":"bluefolder"}`)
	foreign := map[string]string{
		"/services/": id("/services", `{"name":"blueservice","image":"engine:1"}`), "/sessions/": id("/sessions", `{"image":"python:3","name":"bluesession"}`),
		"/folders/": folder, "/tokens/": id("/tokens", `{"name":"bluetoken","duration":"1d"}`), "/keys/": id("/keys", `{"name":"bluekey"}`),
	}
	named := map[string]string{"/services/": "blueservice", "/sessions/": "bluesession", "/folders/": "bluefolder", "/tokens/": "bluetoken", "/keys/": "bluekey"}
	request := regexp.MustCompile(`"request_id":"[^"]*"`)
	routes, _ := admin.Routes()
	asked := 0
	for _, route := range routes {
		method, pattern, _ := strings.Cut(route, " ")
		for begin, there := range foreign {
			if !strings.HasPrefix(pattern, begin+":") {
				continue
			}
			unknown := there[:len(there)-4] + "zzzz"
			for _, refs := range [][2]string{{there, unknown}, {named[begin], "q" + named[begin][1:]}} {
				var answers []string
				for _, ref := range refs {
					_, rest, _ := strings.Cut(strings.TrimPrefix(pattern, begin), "/")
					path := begin + ref
					if rest != "" {
						path += "/" + placeholder.ReplaceAllString(rest, "nothing")
					}
					body := ""
					if method != "GET" && method != "HEAD" {
						body = `{}`
						if strings.HasSuffix(route, "/commit") {
							body = `{"image":"mine:1"}`
						}
					}
					answer := w.as("owner", method, path+"?project=red&path=x", body)
					text := strings.ReplaceAll(fmt.Sprint(answer.Code, " ", answer.Body), ref, "REF")
					answers = append(answers, request.ReplaceAllString(text, ""))
				}
				if asked++; answers[0] != answers[1] {
					t.Errorf("%s: of another project %s\n\tunknown %s", route, answers[0], answers[1])
				}
			}
		}
	}
	if asked < 100 {
		t.Errorf("%d were asked for", asked)
	}
	// And what is kept for oneself is seen by nobody else of the project.
	w.key("mine", keys.Wish{Name: "mine", Owner: "member", Scope: keys.Admin})
	if answer := w.as("owner", "GET", "/keys", ""); strings.Contains(answer.Body.String(), `"mine"`) {
		t.Errorf("an owner sees others' keys: %s", answer.Body)
	}
	if answer := w.as("admin", "GET", "/keys", ""); !strings.Contains(answer.Body.String(), `"mine"`) {
		t.Errorf("an administrator does not: %s", answer.Body)
	}
}
