package console

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/palisade-run/palisade/appliance/api"
)

// Page is one page. Its template is templates/NAME.html, which defines "title" and "content", and any number of "live-..."
// blocks: each of these makes one element whose id is the block's name. An open page gets them anew when they have
// changed. Its texts stand under one name in texts/*.yaml.
type Page struct {
	Pattern string // of net/http, below /console: "/services/{id}"
	Name    string // of the template: "services/show"
	Section string // the entry of the menu that is marked: "services"
	// Data is what the template shows. An error of the API becomes the page of that error.
	Data func(v *View) (any, error)
	// Still says that nothing on it changes by itself: no stream is opened.
	Still bool
	// Personal says that two people of the same parts in the same projects see different things in its live blocks. Where it
	// is not set, those are made once for all of them, with View.Shared.
	Personal bool
	// Alone says that it has no menu: it comes before everything else.
	Alone bool
}

// Action is a change that a form or a button asks for by POST.
type Action struct {
	Pattern string // of net/http, below /console: "/services/{id}/scale"
	Do      func(v *View) (Outcome, error)
}

// Outcome is what follows a change that went well.
type Outcome struct {
	To    string // the page to go to: "/services"; "": the page it came from, which shows it by itself
	Toast string // what is said for a moment; "": nothing
	// Fragment is a template of templates/fragments.html ("fragment-token") that is shown in the form's place with Data,
	// such as a secret that is shown once.
	Fragment string
	Data     any
	Cookies  []*http.Cookie // that the API has set, for the browser
}

// Raw is a handler for what is neither: a file, a stream. It is asked as whoever looks, like a page.
type Raw struct {
	Pattern string // with its method: "GET /usage.csv"
	Serve   func(v *View, w http.ResponseWriter) error
}

// View is one look at a page, or one change.
type View struct {
	*http.Request
	API      *api.Client // speaks as whoever looks, about Project
	Me       api.Me
	Project  string
	Language string
	// Shared: what is made is sent to all who see the same, so that nothing of the viewer's own may be in it.
	Shared  bool
	console *Console
}

// Say returns a text in the viewer's language; the key itself where there is none, which a test finds.
func (v *View) Say(key string, args ...any) string {
	text, err := v.console.texts.Say(v.Language, key, args...)
	if err != nil {
		v.console.Log.Error("a text is missing", "key", key)
		return key
	}
	return text
}

// Role of the viewer in the project: "admin", "owner", "member", "viewer"; "" where there is none.
func (v *View) Role() string {
	if v.Me.Admin {
		return "admin"
	}
	for _, p := range v.Me.Projects {
		if p.Name == v.Project {
			return p.Role
		}
	}
	return ""
}

// standing is what the viewer may, here and in all other projects: pages of the whole box name what is in those that one sees.
func (v *View) standing() string {
	parts := []string{v.Me.Scope}
	if v.Me.Admin {
		return strings.Join(append(parts, "admin"), " ")
	}
	for _, p := range v.Me.Projects {
		parts = append(parts, p.Name+":"+p.Role)
	}
	return strings.Join(parts, " ")
}

// ranks orders roles; what is shown goes by it, what may be done is the API's to say.
var ranks = map[string]int{"viewer": 1, "member": 2, "owner": 3, "admin": 4}

// May says whether the viewer's role is enough for what needs one: buttons that could only be refused are not shown.
func (v *View) May(need string) bool { return ranks[v.Role()] >= ranks[need] && ranks[need] > 0 }

// Field is a form's value.
func (v *View) Field(name string) string { return v.PostFormValue(name) }

// Parameter is a value of the page's query.
func (v *View) Parameter(name string) string { return v.URL.Query().Get(name) }

// With is the page's address with parameters set, or left out where their value is "".
func (v *View) With(pairs ...string) string {
	q := v.URL.Query()
	for i := 0; i+1 < len(pairs); i += 2 {
		if q.Set(pairs[i], pairs[i+1]); pairs[i+1] == "" {
			q.Del(pairs[i])
		}
	}
	return (&url.URL{Path: v.URL.Path, RawQuery: q.Encode()}).String()
}
