package admin_test

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/people"
)

// authenticator shows the code of a second factor, so many steps from now.
func authenticator(t *testing.T, secret string, steps int64) string {
	t.Helper()
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(secret)
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha1.New, key)
	_ = binary.Write(mac, binary.BigEndian, time.Now().Unix()/30+steps)
	sum := mac.Sum(nil)
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[sum[19]&15:])&0x7fffffff%1_000_000)
}

// person is somebody at a browser.
type person struct {
	*box
	cookie *http.Cookie
}

func (p *person) do(method, path, body string, status int, out any) {
	p.t.Helper()
	var cookies []*http.Cookie
	if p.cookie != nil {
		cookies = append(cookies, p.cookie)
	}
	w := p.serve(browser(method, path, body, cookies...))
	if w.Code != status {
		p.t.Fatalf("%s %s = %d %s, want %d", method, path, w.Code, w.Body, status)
	}
	for _, c := range w.Result().Cookies() {
		p.cookie = c
	}
	if out != nil {
		if err := json.Unmarshal(w.Body.Bytes(), out); err != nil {
			p.t.Fatal(err)
		}
	}
}

func (p *person) logIn(name, password, code string, status int) {
	p.t.Helper()
	p.cookie = nil
	body, err := json.Marshal(api.LogIn{Name: name, Password: password, Code: code})
	if err != nil {
		p.t.Fatal(err)
	}
	p.do("POST", "/login", string(body), status, nil)
}

// TestALife goes through all that somebody does with a log-in, and looks at what is kept of it: who and what, and nothing that
// would let anybody else in.
func TestALife(t *testing.T) {
	b := newBox(t)
	var made api.UserMade
	b.do("POST", "/users", `{"name":"ada","display_name":"Ada","admin":true}`, 201, &made)
	p := &person{box: b}
	secrets := []string{made.Password}
	p.logIn("ada", "wrong wrong wrong", "", 401)
	p.logIn("ada", made.Password, "", 200)
	var me api.Me
	p.do("GET", "/me", "", 200, &me)
	if !me.MustChange || !me.Admin || me.Name != "ada" || me.Session == "" || me.EndsAt == nil {
		t.Errorf("%+v", me)
	}
	before := p.cookie
	p.do("PUT", "/me/password", `{"password":"wrong wrong wrong","new_password":"`+birds+`"}`, 400, nil)
	p.do("PUT", "/me/password", `{"password":"`+made.Password+`","new_password":"`+birds+`"}`, 204, nil)
	if p.cookie.Value == before.Value {
		t.Error("the session has the secret that it had before")
	}
	if w := b.serve(browser("GET", "/me", "", before)); w.Code != 401 {
		t.Errorf("the secret of before is good still: %d", w.Code)
	}
	var factor, codes api.TOTP
	p.do("POST", "/me/totp", `{}`, 400, nil)
	p.do("POST", "/me/totp", `{"password":"wrong wrong wrong"}`, 400, nil)
	p.do("POST", "/me/totp", `{"password":"`+birds+`"}`, 200, &factor)
	if !strings.HasPrefix(factor.Picture, "<svg ") || !strings.Contains(factor.URL, factor.Secret) {
		t.Errorf("%+v", factor)
	}
	p.do("POST", "/me/totp", `{"code":"000000"}`, 400, nil)
	code := authenticator(t, factor.Secret, 0)
	p.do("POST", "/me/totp", `{"code":"`+code+`"}`, 200, &codes)
	if len(codes.RecoveryCodes) != 10 {
		t.Errorf("%+v", codes)
	}
	var first api.TOTP
	p.do("POST", "/me/recovery-codes", `{"password":"wrong wrong wrong"}`, 400, nil)
	p.do("POST", "/me/recovery-codes", `{"password":"`+birds+`"}`, 200, &first)
	codes, first = first, codes
	secrets = append(secrets, first.RecoveryCodes[0])
	secrets = append(secrets, birds, factor.Secret, code, codes.RecoveryCodes[0], codes.RecoveryCodes[1], "wrong wrong wrong")
	p.do("GET", "/me", "", 200, &me)
	if !me.TOTP || me.Recovery != 10 || me.MustChange {
		t.Errorf("%+v", me)
	}

	phone := &person{box: b}
	phone.logIn("ada", birds, "", 401)
	phone.logIn("ada", birds, code, 401) // it was good once
	phone.logIn("ada", birds, codes.RecoveryCodes[0], 200)
	var own api.Page[api.LogInSession]
	p.do("GET", "/me/sessions", "", 200, &own)
	if len(own.Items) != 2 || !own.Items[0].Current && !own.Items[1].Current {
		t.Errorf("%+v", own)
	}
	p.do("DELETE", "/me/sessions", "", 204, nil)
	phone.do("GET", "/me", "", 401, nil)
	phone.logIn("ada", birds, codes.RecoveryCodes[1], 200)
	phone.do("GET", "/me", "", 200, &me)
	p.do("DELETE", "/me/sessions/"+me.Session, "", 204, nil)
	p.do("DELETE", "/me/sessions/"+me.Session, "", 404, nil)
	phone.do("GET", "/me", "", 401, nil)
	p.do("DELETE", "/me/totp", `{"password":"`+birds+`"}`, 204, nil)
	p.do("POST", "/logout", "", 204, nil)
	phone.logIn("ada", birds, "", 200)
	b.do("POST", "/users", `{"name":"bob","admin":true,"password":"`+birds+`"}`, 201, &made)
	if made.Password != "" {
		t.Error("a password that was given is shown")
	}
	b.do("PATCH", "/users/ada", `{"disabled":true}`, 200, nil)
	phone.do("GET", "/me", "", 401, nil)
	b.do("PATCH", "/users/ada", `{"disabled":false}`, 200, nil)
	b.do("POST", "/users/ada/reset", `{}`, 200, &made)
	secrets = append(secrets, made.Password)
	b.do("DELETE", "/users/ada", "", 204, nil)

	kept := b.log.String()
	var story []string
	for _, r := range b.audited("limit=200") {
		story = append(story, fmt.Sprintf("%s by %s: %s %s %d", r.Actor, r.Via, r.Action, r.Target, r.Status))
		line, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		kept += string(line)
	}
	for _, secret := range append(secrets, before.Value, p.cookie.Value) {
		if secret != "" && strings.Contains(kept, secret) {
			t.Errorf("%q is in the record or in the log", secret)
		}
	}
	want := []string{
		"me by socket: createUser users/ada 201", "ada by console: enterUser login 401", "ada by console: enterUser login/ada 200",
		"ada by console: changePassword me/password 400", "ada by console: changePassword me/password 204",
		"ada by console: setUpTOTP me/totp 400", "ada by console: setUpTOTP me/totp 200", "ada by console: renewRecoveryCodes me/recovery-codes 200", "ada by console: leaveUser logout 204",
		"me by socket: updateUser users/ada 200", "me by socket: resetUser users/ada/reset 200", "me by socket: removeUser users/ada 204",
	}
	for _, line := range want {
		if !strings.Contains(strings.Join(story, "\n"), line) {
			t.Errorf("%q is not in the record:\n%s", line, strings.Join(story, "\n"))
		}
	}
}

// TestWhoMustChangeThePassword gets to nothing else before: not to a second factor, even where one is needed.
func TestWhoMustChangeThePassword(t *testing.T) {
	b := newBox(t)
	b.Users.Config.RequireTOTP = people.RequireAll
	var made api.UserMade
	b.do("POST", "/users", `{"name":"ada","admin":true}`, 201, &made)
	p := &person{box: b}
	p.logIn("ada", made.Password, "", 200)
	given := `{"password":"` + made.Password + `"}`
	for _, r := range []struct{ method, path, body string }{
		{"GET", "/services", ""}, {"POST", "/folders", `{"name":"x"}`}, {"GET", "/users", ""}, {"POST", "/me/totp", given}, {"GET", "/me/sessions", ""}, {"DELETE", "/me/sessions", ""},
		{"POST", "/keys", `{"name":"x","scope":"admin"}`}, {"POST", "/me/recovery-codes", given}, {"GET", "/openapi.yaml", ""},
	} {
		w := b.serve(browser(r.method, r.path, r.body, p.cookie))
		if refused := problem(t, w); w.Code != 403 || refused.Kind() != api.KindPassword || refused.Hint == "" {
			t.Errorf("%s %s: %d %s", r.method, r.path, w.Code, w.Body)
		}
	}
	p.do("GET", "/me", "", 200, nil)
	p.do("PUT", "/me/password", `{"password":"`+made.Password+`","new_password":"`+birds+`"}`, 204, nil)
	w := b.serve(browser("GET", "/services", "", p.cookie))
	if refused := problem(t, w); refused.Kind() != api.KindFactor {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	p.do("POST", "/logout", "", 204, nil)
}

// TestWhoMustHaveASecondFactor gets to nothing else before.
func TestWhoMustHaveASecondFactor(t *testing.T) {
	b := newBox(t)
	b.Users.Config.RequireTOTP = people.RequireAdmin
	withUser(t, b, "ada")
	p := &person{box: b}
	p.logIn("ada", birds, "", 200)
	var me api.Me
	p.do("GET", "/me", "", 200, &me)
	if !me.MustTOTP {
		t.Errorf("%+v", me)
	}
	w := b.serve(browser("GET", "/services", "", p.cookie))
	if refused := problem(t, w); w.Code != 403 || refused.Kind() != api.KindFactor || refused.Hint == "" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	var factor api.TOTP
	p.do("POST", "/me/totp", `{"password":"`+birds+`"}`, 200, &factor)
	p.do("POST", "/me/totp", `{"code":"`+authenticator(t, factor.Secret, 0)+`"}`, 200, nil)
	p.do("GET", "/services", "", 200, nil)
}

// TestTenThousandTries leave few records, and are told when to come again.
func TestTenThousandTries(t *testing.T) {
	b := newBox(t)
	withUser(t, b, "ada")
	looked := 0
	for i := range 10_000 {
		name := "ada"
		if i%2 == 1 {
			name = fmt.Sprintf("user%d", i)
		}
		w := b.serve(browser("POST", "/login", `{"name":"`+name+`","password":"guess `+strconv.Itoa(i)+`"}`))
		switch w.Code {
		case 401:
			looked++
		case 429:
			if after, err := strconv.Atoi(w.Header().Get("Retry-After")); err != nil || after < 1 {
				t.Fatalf("Retry-After %q", w.Header().Get("Retry-After"))
			}
		default:
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	if looked > 100 {
		t.Errorf("%d passwords were looked at", looked)
	}
	if n := len(b.audited("limit=1000")); n > 200 {
		t.Errorf("%d records", n)
	}
	elsewhere := browser("POST", "/login", `{"name":"ada","password":"`+birds+`"}`)
	elsewhere.RemoteAddr = "203.0.113.5:1"
	if w := b.serve(elsewhere); w.Code != 200 {
		t.Errorf("the owner, from elsewhere: %d %s", w.Code, w.Body)
	}
}

// TestWatchingEndsWithTheLogIn: what is looked at for long is not looked at by who was logged out.
func TestWatchingEndsWithTheLogIn(t *testing.T) {
	b := newBox(t)
	withUser(t, b, "ada")
	withUser(t, b, "bob")
	b.do("POST", "/services", `{"name":"demo","image":"host"}`, 201, nil)
	p := &person{box: b}
	p.logIn("ada", birds, "", 200)
	server := httptest.NewServer(b.Handler)
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+api.Prefix+"/services/demo/watch", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.AddCookie(&http.Cookie{Name: p.cookie.Name, Value: p.cookie.Value})
	resp, err := server.Client().Do(r)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp, err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	if !lines.Scan() || lines.Text() != "event: service" {
		t.Fatal(lines.Text())
	}
	b.do("PATCH", "/users/ada", `{"disabled":true}`, 200, nil)
	for lines.Scan() { // until it ends
	}
	if ctx.Err() != nil {
		t.Error("it goes on")
	}
}

// TestOwnThingsAreOfBrowsers: a key, or the socket, is no browser of somebody's.
func TestOwnThingsAreOfBrowsers(t *testing.T) {
	b := newBox(t)
	for _, r := range []struct{ method, path, body string }{
		{"PUT", "/me/password", `{"password":"x","new_password":"y"}`}, {"POST", "/me/totp", `{}`}, {"POST", "/me/recovery-codes", `{"password":"x"}`}, {"DELETE", "/me/totp", `{"password":"x"}`},
		{"GET", "/me/sessions", ""}, {"DELETE", "/me/sessions", ""}, {"DELETE", "/me/sessions/x", ""},
	} {
		if w := b.serve(b.request(r.method, r.path, r.body)); w.Code != 409 || problem(t, w).Hint == "" {
			t.Errorf("%s %s: %d %s", r.method, r.path, w.Code, w.Body)
		}
	}
	b.do("POST", "/users/nobody/reset", `{}`, 404, nil)
	b.do("PATCH", "/users/nobody", `{"totp":true}`, 400, nil)
	b.do("POST", "/users", `{"name":"x y"}`, 400, nil)
	b.do("POST", "/login", `{"name":"ada"}`, 400, nil)
	b.do("POST", "/login", `{"name":"ada","password":"`+strings.Repeat("x", 5000)+`"}`, 400, nil)
}
