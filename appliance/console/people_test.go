package console

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/admin"
	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/people"
)

const horse = "a horse that nobody knows"

// enter posts the log-in's form with what cookies there are.
func (b *bench) enter(form url.Values, cookies ...*http.Cookie) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, Prefix+"/login", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, k := range cookies {
		r.AddCookie(k)
	}
	return b.serve(r)
}

// plain posts a form as a browser without scripts does.
func (b *bench) plain(cookie *http.Cookie, path string, form url.Values) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, Prefix+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.AddCookie(cookie)
	return b.serve(r)
}

// cookie returns the one of a name that an answer sets.
func cookie(t *testing.T, w *httptest.ResponseRecorder, name string) *http.Cookie {
	t.Helper()
	for _, k := range w.Result().Cookies() {
		if k.Name == name {
			return k
		}
	}
	t.Fatalf("no cookie %s: %d %v %s", name, w.Code, w.Header(), w.Body)
	return nil
}

// part gives somebody a role in a project.
func (b *bench) part(project, user, role string) {
	b.t.Helper()
	r := httptest.NewRequestWithContext(admin.LocalPeer(b.t.Context(), "root"), http.MethodPut, api.Prefix+"/projects/"+project+"/members/"+user, strings.NewReader(`{"role":"`+role+`"}`))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	b.Handler.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		b.t.Fatalf("%d %s", w.Code, w.Body)
	}
}

// codeOf is what an authenticator shows.
func codeOf(t *testing.T, secret string, at time.Time) string {
	t.Helper()
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(secret)
	if err != nil {
		t.Fatal(err)
	}
	h := hmac.New(sha1.New, key)
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(at.Unix()/30)))
	sum := h.Sum(nil)
	o := sum[19] & 15
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[o:o+4])&0x7fffffff%1000000)
}

func TestGivenPasswordIsChangedFirst(t *testing.T) {
	b := newConsole(t)
	if _, _, err := b.Users.Create(t.Context(), people.Wish{Name: "ada", Admin: true, Password: horse}); err != nil {
		t.Fatal(err)
	}
	in := b.enter(url.Values{"name": {"ada"}, "password": {horse}, "next": {"/console/services?a=b"}})
	old := cookie(t, in, "palisade_session")
	for _, path := range []string{"/", "/services", "/profile", "/second-factor", "/audit.jsonl"} {
		w := b.as(old, http.MethodGet, path, nil)
		if to := w.Header().Get("Location"); w.Code != http.StatusSeeOther || !strings.HasPrefix(to, "/console/password?next=%2Fconsole%2F") {
			t.Errorf("%s: %d %s", path, w.Code, to)
		}
	}
	if w := b.as(old, http.MethodPost, "/folders", url.Values{"name": {"x"}}); w.Header().Get("HX-Redirect") != "/console/password" {
		t.Errorf("a change before the password's: %d %v", w.Code, w.Header())
	}
	if w := b.as(old, http.MethodGet, "/live/services", nil); w.Code != http.StatusForbidden {
		t.Errorf("a stream before the password's change: %d", w.Code)
	}
	for _, language := range []string{"en", "ko"} {
		r := httptest.NewRequest(http.MethodGet, Prefix+"/password?next=//evil.example/", nil)
		r.AddCookie(old)
		r.Header.Set("Accept-Language", language)
		has(t, b.serve(r).Body.String(), []string{`id="change-password"`, `name="next" value="/console/"`}, []string{`"//evil`, `class="navbar`, ">profile."})
	}
	for field, form := range map[string]url.Values{
		"again":        {"password": {horse}, "new_password": {"a pony that all know"}, "again": {"a pony"}},
		"password":     {"password": {"wrong"}, "new_password": {"a pony that all know"}, "again": {"a pony that all know"}},
		"new_password": {"password": {horse}, "new_password": {"short"}, "again": {"short"}},
	} {
		w := b.plain(old, "/password", form)
		if w.Code != http.StatusBadRequest || !strings.Contains(between(t, w.Body.String(), `id="`+field+`"`, ">"), "aria-invalid") {
			t.Errorf("%s: %d %s", field, w.Code, w.Body)
		}
		has(t, w.Body.String(), []string{`class="field-wrong"`}, []string{horse, "a pony"})
	}
	w := b.plain(old, "/password", url.Values{"password": {horse}, "new_password": {"a pony that all know"}, "again": {"a pony that all know"}, "next": {"/console/services?a=b"}})
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/console/services?a=b" {
		t.Fatalf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	if w := b.as(cookie(t, w, "palisade_session"), http.MethodGet, "/services", nil); w.Code != http.StatusOK {
		t.Errorf("after the change: %d", w.Code)
	}
	if w := b.as(old, http.MethodGet, "/services", nil); !strings.HasPrefix(w.Header().Get("Location"), "/console/login") {
		t.Errorf("the cookie from before the change: %d %v", w.Code, w.Header())
	}
}

func TestSecondFactor(t *testing.T) {
	b := newConsole(t)
	k := b.user("ada", true)
	page := b.as(k, http.MethodGet, "/second-factor?next=/console/profile", nil).Body.String()
	has(t, page, []string{`id="prove"`, `id="password"`}, []string{`id="qr"`, `id="totp-secret"`, `class="navbar`})
	has(t, b.plain(k, "/second-factor", url.Values{"password": {"wrong"}}).Body.String(), []string{`class="field-wrong"`, `id="prove"`}, []string{`id="totp-secret"`})
	page = b.plain(k, "/second-factor", url.Values{"password": {horse}, "next": {"/console/profile"}}).Body.String()
	has(t, page, []string{`src="data:image/svg&#43;xml;base64,`, `id="confirm-factor"`}, []string{"ZgotmplZ", `class="navbar`})
	secret := between(t, page, `id="totp-secret">`, "</code>")
	has(t, b.plain(k, "/second-factor", url.Values{"code": {"000000"}}).Body.String(), []string{"Begin again"}, []string{secret})
	w := b.plain(k, "/second-factor", url.Values{"code": {codeOf(t, secret, time.Now())}, "next": {"/console/profile"}})
	codes := strings.Fields(between(t, w.Body.String(), `id="recovery">`, "</pre>"))
	if w.Code != http.StatusOK || len(codes) != 10 {
		t.Fatalf("%d %v %s", w.Code, codes, w.Body)
	}
	k = cookie(t, w, "palisade_session")
	has(t, b.as(k, http.MethodGet, "/recovery-codes", nil).Body.String(), []string{`id="prove"`}, []string{`id="recovery"`})
	has(t, b.plain(k, "/recovery-codes", url.Values{"password": {"wrong"}}).Body.String(), []string{`class="field-wrong"`}, []string{`id="recovery"`})
	others := strings.Fields(between(t, b.plain(k, "/recovery-codes", url.Values{"password": {horse}}).Body.String(), `id="recovery">`, "</pre>"))
	if len(others) != 10 || others[0] == codes[0] {
		t.Fatalf("%v", others)
	}
	codes = others
	page = b.as(k, http.MethodGet, "/profile", nil).Body.String()
	has(t, page, []string{`id="factor-off"`, "this one", `id="live-ssh-keys"`}, []string{codes[0], secret, `id="factor-on"`})
	if w := b.as(k, http.MethodGet, "/second-factor", nil); w.Header().Get("Location") != "/console/profile" {
		t.Errorf("a second one: %d %s", w.Code, w.Body)
	}

	// The log-in asks for the code on a page of its own, in which the password does not stand.
	w = b.enter(url.Values{"name": {"ada"}, "password": {horse}, "next": {"/console/services"}})
	if w.Code != http.StatusUnauthorized {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	step := cookie(t, w, stepCookie)
	if !step.HttpOnly || step.SameSite != http.SameSiteStrictMode || step.Path != "/console/login" || strings.Contains(step.Value, horse) {
		t.Errorf("%+v", step)
	}
	has(t, w.Body.String(), []string{`id="code"`, `name="next" value="/console/services"`}, []string{horse, `id="password"`})
	w = b.enter(url.Values{"step": {"code"}, "code": {"123"}}, step)
	has(t, w.Body.String(), []string{`id="code"`, "code is not right"}, []string{horse})
	for _, bad := range []*http.Cookie{{Name: stepCookie, Value: "x"}, {Name: "other", Value: step.Value}, {Name: stepCookie, Value: step.Value + "AAAA"}} {
		has(t, b.enter(url.Values{"step": {"code"}, "code": {codes[0]}}, bad).Body.String(), []string{`id="password"`, "too long"}, nil)
	}
	w = b.enter(url.Values{"step": {"code"}, "code": {codes[0]}, "next": {"/console/services"}}, step)
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/console/services" || cookie(t, w, stepCookie).MaxAge >= 0 {
		t.Fatalf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	k = cookie(t, w, "palisade_session")
	has(t, b.as(k, http.MethodPost, "/profile/second-factor/off", url.Values{"password": {"wrong"}}).Body.String(), []string{`data-field="password"`}, nil)
	w = b.as(k, http.MethodPost, "/profile/second-factor/off", url.Values{"password": {horse}})
	if w.Header().Get("HX-Redirect") != "/console/profile" {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	has(t, b.as(cookie(t, w, "palisade_session"), http.MethodGet, "/profile", nil).Body.String(), []string{`id="factor-on"`}, []string{`id="factor-off"`})
}

func TestSealedStep(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s, err := newSteps()
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := s.seal(step{"ada", horse, now.Add(stepPatience)})
	if err != nil {
		t.Fatal(err)
	}
	if one, good := s.open(sealed, now.Add(stepPatience)); !good || one.Name != "ada" || one.Password != horse {
		t.Errorf("%+v %v", one, good)
	}
	if _, good := s.open(sealed, now.Add(stepPatience+1)); good {
		t.Error("a step is good after its end")
	}
	other, err := newSteps()
	if err != nil {
		t.Fatal(err)
	}
	if _, good := other.open(sealed, now); good {
		t.Error("a step of another process is good")
	}
}

func TestLockedLogInCountsDown(t *testing.T) {
	b := newConsole(t)
	b.user("ada", true)
	for range 10 {
		w := b.enter(url.Values{"name": {"ada"}, "password": {"wrong"}})
		if w.Code == http.StatusTooManyRequests {
			if w.Header().Get("Retry-After") == "" {
				t.Error(w.Header())
			}
			has(t, w.Body.String(), []string{`data-countdown="`, "Too many wrong tries"}, nil)
			return
		}
	}
	t.Error("ten wrong passwords lock nothing")
}

func TestLogInPage(t *testing.T) {
	b := newConsole(t)
	for _, language := range []string{"en", "ko"} {
		for query, want := range map[string]string{"": `id="login"`, "?problem=domain&provider=x": `id="login-problem"`, "?problem=%3Cscript%3E": `id="login-problem"`} {
			r := httptest.NewRequest(http.MethodGet, Prefix+"/login"+query, nil)
			r.Header.Set("Accept-Language", language)
			has(t, b.serve(r).Body.String(), []string{want, "palisade user reset"}, []string{"<script>&", "ZgotmplZ", ">login."})
		}
	}
}

// TestWhyAProviderTurnedAway: each reason has words of its own in each language, and one that is made up has those of a refusal.
func TestWhyAProviderTurnedAway(t *testing.T) {
	b := newConsole(t)
	for _, language := range []string{"en", "ko"} {
		seen := map[string]string{}
		for _, kind := range append([]string{"%3Cb%3Eevil"}, turnedAway...) {
			r := httptest.NewRequest(http.MethodGet, Prefix+"/login?provider=corp&problem="+kind, nil)
			r.Header.Set("Accept-Language", language)
			words := between(t, after(t, b.serve(r).Body.String(), `id="login-problem"`), `<div class="alert-heading mb-0">`, "</div>")
			if words == "" || strings.Contains(words, "login.") || strings.Contains(words, "evil") {
				t.Errorf("%s: %q", kind, words)
			}
			if other := seen[words]; other != "" && (kind != "refused" || other != "%3Cb%3Eevil") {
				t.Errorf("%s says what %s says: %q", kind, other, words)
			}
			seen[words] = kind
		}
	}
}

func TestProfile(t *testing.T) {
	b := newConsole(t)
	for _, language := range []string{"en", "ko"} {
		has(t, b.get("/profile", language, 200), []string{`id="live-ssh-keys"`, `id="live-own-keys"`}, []string{">profile.", ">people.", "ZgotmplZ", `id="to-password"`})
	}
	b.get("/password", "en", 409) // the box's own socket has none
	k := b.user("ada", false)
	b.part("default", "ada", "member")
	if _, err := b.Users.LogIn(t.Context(), people.Try{Name: "ada", Password: horse, From: people.From{Address: "192.0.2.7", Agent: "<script>alert(1)</script>"}}); err != nil {
		t.Fatal(err)
	}
	page := b.as(k, http.MethodGet, "/profile", nil).Body.String()
	has(t, page, []string{"192.0.2.7", "&lt;script&gt;", `id="end-others"`, `id="to-password"`}, []string{"<script>alert"})
	if w := b.as(k, http.MethodPost, "/profile/sessions/nothing/end", nil); w.Code != http.StatusNotFound {
		t.Errorf("%d", w.Code)
	}
	if w := b.as(k, http.MethodPost, "/profile/sessions/end-others", nil); w.Code != http.StatusNoContent {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	page = b.as(k, http.MethodGet, "/profile", nil).Body.String()
	has(t, page, []string{"this one"}, []string{"192.0.2.7", `id="end-others"`})

	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHH8o6H4kzIYdEBQ0x5dZ3xVb5vKfZzJ0oV2yWz8u1aB ada@<desk>"
	if w := b.as(k, http.MethodPost, "/profile/ssh-keys", url.Values{"key": {"no key"}}); w.Code != http.StatusBadRequest {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := b.as(k, http.MethodPost, "/profile/ssh-keys", url.Values{"key": {key}, "name": {"desk"}, "all_projects": {"true"}}); w.Code != http.StatusNoContent {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	page = b.as(k, http.MethodGet, "/profile", nil).Body.String()
	has(t, page, []string{"desk", "SHA256:"}, []string{"<desk>"})
	id := between(t, after(t, page, `id="live-ssh-keys"`), `people-row" id="`, `"`)
	if w := b.as(k, http.MethodPost, "/profile/ssh-keys/"+id+"/remove", nil); w.Code != http.StatusNoContent {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	has(t, b.as(k, http.MethodGet, "/profile", nil).Body.String(), []string{`class="empty-title"`}, []string{"SHA256:"})

	// Who ends the own log-in is at the log-in again.
	own := between(t, after(t, page, `id="live-browsers"`), `people-row" id="`, `"`)
	if w := b.as(k, http.MethodPost, "/profile/sessions/"+own+"/end", nil); w.Header().Get("HX-Redirect") != "/console/login" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if w := b.as(k, http.MethodGet, "/profile", nil); w.Header().Get("Location") != "/console/login?next=%2Fconsole%2Fprofile" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

// after is what follows a mark, which must be there.
func after(t *testing.T, text, mark string) string {
	t.Helper()
	_, rest, found := strings.Cut(text, mark)
	if !found {
		t.Fatalf("%s is not in %s", mark, text)
	}
	return rest
}
