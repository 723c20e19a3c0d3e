package console

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/palisade-run/palisade/appliance/api"
)

// logInForm is what the page of the log-in shows.
type logInForm struct {
	Next, Name string
	Code       bool   // a code of the second factor is asked for
	Say        string // what is wrong, as a text of ours: "wrong"
	Wait       int    // seconds until the next try is taken
	Problem    *api.Problem
	Providers  []api.Provider
}

// turnedAway are the reasons for which a provider's user comes back to the log-in.
var turnedAway = []string{"unknown", "away", "broken", "stale", "cancelled", "refused", "domain", "disabled", "exists", "stranger"}

func (c *Console) logInPage(w http.ResponseWriter, r *http.Request) {
	if v, err := c.view(r); err == nil && v.Me.Name != "" {
		http.Redirect(w, r, localPath(r.URL.Query().Get("next")), http.StatusSeeOther) //nolint:gosec // a page of ours, see localPath
		return
	}
	f := logInForm{Next: localPath(r.URL.Query().Get("next"))}
	if kind := r.URL.Query().Get("problem"); kind != "" {
		f.Say = "provider_refused"
		for _, known := range turnedAway {
			if kind == known {
				f.Say = "provider_" + kind
			}
		}
	}
	c.showLogIn(w, r, http.StatusOK, f)
}

func (c *Console) showLogIn(w http.ResponseWriter, r *http.Request, status int, f logInForm) {
	if !f.Code {
		f.Providers = c.providers(r)
	}
	v := &View{Request: r, Language: c.language(r), console: c}
	c.show(w, v, Page{Name: "login", Still: true, Alone: true}, status, f)
}

// providers are those of OpenID Connect. A log-in without them is better than none.
func (c *Console) providers(r *http.Request) []api.Provider {
	bare, err := c.clientFor(r, "")
	if err != nil {
		return nil
	}
	all, err := bare.Providers(r.Context())
	if err != nil {
		c.Log.WarnContext(r.Context(), "the log-in shows no providers", "error", err)
	}
	return all
}

// logIn asks the API, and hands on the cookie that it sets.
func (c *Console) logIn(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		c.refuse(w, r, api.NewProblem(api.KindInvalid, http.StatusBadRequest, "the form could not be read: %v", err))
		return
	}
	f := logInForm{Next: localPath(r.PostFormValue("next")), Name: r.PostFormValue("name")}
	in := api.LogIn{Name: f.Name, Password: r.PostFormValue("password"), Code: strings.TrimSpace(r.PostFormValue("code"))}
	second := r.PostFormValue("step") == "code"
	if second {
		k, err := r.Cookie(stepCookie)
		one, good := step{}, false
		if err == nil {
			one, good = c.steps.open(k.Value, c.Now())
		}
		if !good {
			f.Say = "too_slow"
			c.showLogIn(w, r, http.StatusUnauthorized, f)
			return
		}
		f.Name, in.Name, in.Password = one.Name, one.Name, one.Password
	}
	resp, err := c.post(r, "/login", in)
	if err != nil {
		c.refuse(w, r, err)
		return
	}
	defer resp.Body.Close()
	for _, k := range resp.Header.Values("Set-Cookie") {
		w.Header().Add("Set-Cookie", k)
	}
	if resp.StatusCode == http.StatusOK {
		if second {
			setStep(w, r, "")
		}
		http.Redirect(w, r, f.Next, http.StatusSeeOther)
		return
	}
	f.Code = second
	if err := c.notLetIn(w, r, resp, in, &f); err != nil {
		c.refuse(w, r, err)
		return
	}
	c.showLogIn(w, r, resp.StatusCode, f)
}

// notLetIn fills the form with why the API refused, and begins the second step where that is what is left.
func (c *Console) notLetIn(w http.ResponseWriter, r *http.Request, resp *http.Response, in api.LogIn, f *logInForm) error {
	p := &api.Problem{}
	if err := json.NewDecoder(resp.Body).Decode(p); err != nil {
		p = problemOf(err)
	}
	if after := resp.Header.Get("Retry-After"); after != "" {
		w.Header().Set("Retry-After", after)
		f.Wait, _ = strconv.Atoi(after) // 0 where it is no number
	}
	switch p.Kind() {
	case api.KindCode:
		sealed, err := c.steps.seal(step{in.Name, in.Password, c.Now().Add(stepPatience)})
		if err != nil {
			return err
		}
		if f.Code {
			f.Say = "code_empty"
		}
		setStep(w, r, sealed)
		f.Code = true
	case api.KindUnauthorized:
		if f.Say = "wrong"; in.Code != "" {
			f.Say = "code_wrong"
		}
	case api.KindLocked:
		f.Say = "locked"
	default:
		f.Problem = p
	}
	return nil
}

func (c *Console) logOut(w http.ResponseWriter, r *http.Request) {
	resp, err := c.post(r, "/logout", nil)
	if err != nil {
		c.refuse(w, r, err)
		return
	}
	defer resp.Body.Close()
	for _, k := range resp.Header.Values("Set-Cookie") {
		w.Header().Add("Set-Cookie", k)
	}
	w.Header().Set("Clear-Site-Data", `"cache", "storage"`)
	http.Redirect(w, r, Prefix+"/login", http.StatusSeeOther)
}

// post asks the API for what sets cookies, which its client does not show.
func (c *Console) post(r *http.Request, path string, in any) (*http.Response, error) {
	raw, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(r.Context(), http.MethodPost, "http://palisade"+api.Prefix+path, bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	for _, name := range []string{"Origin", "Sec-Fetch-Site"} { // they say how the browser came, and so which cookie it gets
		if value := r.Header.Get(name); value != "" {
			req.Header.Set(name, value)
		}
	}
	return inProcess{c.API, r}.RoundTrip(req)
}
