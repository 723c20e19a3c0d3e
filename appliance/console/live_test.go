package console

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/palisade-run/palisade/appliance/people"
)

func (b *bench) look(cookie *http.Cookie, path string) (*http.Request, *View) {
	b.t.Helper()
	r := httptest.NewRequest(http.MethodGet, Prefix+path, nil)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.AddCookie(cookie)
	v, err := b.console.view(r)
	if err != nil {
		b.t.Fatal(err)
	}
	return r, v
}

// TestWhoSeesTheSame: pages of the whole box name what is in the projects that one sees. They are made once for those alone who
// see the same ones, and nobody follows them who is thrown out of one.
func TestWhoSeesTheSame(t *testing.T) {
	b := newConsole(t)
	eve, bob, dan := b.partOf("eve", people.Viewer), b.partOf("bob", people.Viewer), b.partOf("dan", people.Viewer)
	if _, err := b.Project.Create(t.Context(), "secret", "", "root"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Project.SetMember(t.Context(), people.Membership{Project: "secret", User: "bob", Role: people.Viewer}, true); err != nil {
		t.Fatal(err)
	}
	page, one := b.look(eve, "/accelerators")
	_, two := b.look(bob, "/accelerators")
	_, three := b.look(dan, "/accelerators")
	if one.Project != two.Project || one.Role() != two.Role() {
		t.Fatalf("%+v %+v", one.Me, two.Me)
	}
	if one.standing() == two.standing() || one.standing() != three.standing() {
		t.Errorf("%q %q %q", one.standing(), two.standing(), three.standing())
	}
	if err := b.console.stillAs(page, one.standing()); err != nil {
		t.Error(err)
	}
	if err := b.Project.RemoveMember(t.Context(), "default", "eve", true); err != nil {
		t.Fatal(err)
	}
	if err := b.console.stillAs(page, one.standing()); err == nil {
		t.Error("who was thrown out of the project follows its pages")
	}
}

// TestOnlyPagesOfOursChoose: a link of another site chooses no project.
func TestOnlyPagesOfOursChoose(t *testing.T) {
	b := newConsole(t)
	for site, want := range map[string]int{"same-origin": 1, "none": 1, "": 1, "cross-site": 0, "same-site": 0} {
		r := httptest.NewRequest(http.MethodGet, Prefix+"/choose?project=other", nil)
		if site != "" {
			r.Header.Set("Sec-Fetch-Site", site)
		}
		if w := b.serve(r); w.Code != http.StatusSeeOther || len(w.Result().Cookies()) != want {
			t.Errorf("%q: %d %v", site, w.Code, w.Header())
		}
	}
}

// TestCookieBehindTLS: a page that came by TLS, at a proxy that says nothing, gets a cookie that goes by TLS alone.
func TestCookieBehindTLS(t *testing.T) {
	b := newConsole(t)
	b.user("ada", false)
	r := httptest.NewRequest(http.MethodPost, Prefix+"/login", strings.NewReader("name=ada&password=a+horse+that+nobody+knows"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", "https://"+r.Host)
	w := b.serve(r)
	if w.Code != http.StatusSeeOther || len(w.Result().Cookies()) != 1 {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
	if c := w.Result().Cookies()[0]; !c.Secure || !strings.HasPrefix(c.Name, "__Host-") {
		t.Errorf("%+v", c)
	}
}

// TestSharedPartsAreOfNobody: what is made once for all who see the same is the same whoever of them it is made for.
func TestSharedPartsAreOfNobody(t *testing.T) {
	b := newConsole(t)
	b.Pool.Simulate()
	b.service("demo", "host")
	b.watched()
	eve, dan := b.partOf("eve", people.Member), b.partOf("dan", people.Member)
	soon := url.Values{"name": {"eves-own"}, "scope": {"read"}, "expires": {"2"}}
	if w := b.as(eve, http.MethodPost, "/keys", soon); w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	shared := 0
	for _, p := range pages() {
		if p.Still || p.Personal {
			continue
		}
		path := strings.NewReplacer("{$}", "", "/services/{id}", "/services/demo", "{name}", "default").Replace(p.Pattern)
		if strings.Contains(path, "{") {
			continue // of what this box has not
		}
		var got [2]string
		for i, cookie := range []*http.Cookie{eve, dan} {
			_, v := b.look(cookie, path)
			v.Shared = true
			parts, err := b.console.partsInTime(v, p)
			if err != nil {
				continue // they may not see it
			}
			for _, one := range parts {
				got[i] += string(one.HTML)
			}
		}
		if got[0] != got[1] || strings.Contains(got[0], "eves-own") {
			t.Errorf("%s is of one viewer:\n%s\nand of the other:\n%s", path, got[0], got[1])
		}
		if got[0] != "" {
			shared++
		}
	}
	if shared < 8 {
		t.Errorf("%d pages were looked at", shared)
	}
	page := b.as(eve, http.MethodGet, "/", nil).Body.String()
	if !strings.Contains(page, `id="own-attention"`) || !strings.Contains(page, "eves-own") {
		t.Errorf("one's own keys are not told:\n%s", page)
	}
}
