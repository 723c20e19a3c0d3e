package admin_test

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/palisade-run/palisade/appliance/admin"
	"github.com/palisade-run/palisade/appliance/api"
)

// TestValuesOfEnvironments are for who may change a service: those who look at it see which names are set.
func TestValuesOfEnvironments(t *testing.T) {
	const value = "opens-a-door"
	w := newTown(t)
	if answer := w.as("owner", "POST", "/services?project=red", `{"name":"demo","image":"engine:1","environ":{"HF_TOKEN":"`+value+`"}}`); answer.Code != http.StatusCreated {
		t.Fatalf("%d %s", answer.Code, answer.Body)
	}
	routes, _ := admin.Routes()
	asked := 0
	for _, route := range routes {
		method, pattern, _ := strings.Cut(route, " ")
		if method != "GET" || strings.HasSuffix(pattern, "/watch") || !strings.HasPrefix(pattern, "/service") && pattern != "/live" && pattern != "/glance" {
			continue
		}
		path := placeholder.ReplaceAllString(strings.Replace(pattern, ":id", "demo", 1), "1") + "?project=red"
		for _, who := range []string{"viewer", "read"} {
			asked++
			if answer := w.as(who, "GET", path, ""); strings.Contains(answer.Body.String(), value) {
				t.Errorf("%s is shown it at %s: %s", who, path, answer.Body)
			}
		}
	}
	if asked < 20 {
		t.Errorf("%d were asked for", asked)
	}
	for who, sees := range map[string]bool{"viewer": false, "read": false, "member": true, "other": true, "owner": true, "admin": true, "socket": true} {
		for _, path := range []string{"/services/demo", "/services", "/services/demo/revisions"} {
			text := w.as(who, "GET", path+"?project=red", "").Body.String()
			if strings.Contains(text, value) != sees || !strings.Contains(text, "HF_TOKEN") {
				t.Errorf("%s at %s: %s", who, path, text)
			}
		}
	}
	// What stands for it is not taken for it.
	for _, path := range []string{"/services/demo", "/services?project=red"} {
		method, text := "PATCH", `{"environ":{"HF_TOKEN":"***"}}`
		if strings.Contains(path, "?") {
			method, text = "POST", `{"name":"other","image":"engine:1","environ":{"HF_TOKEN":"***"}}`
		}
		if answer := w.as("owner", method, strings.Replace(path, "demo", "demo?project=red", 1), text); answer.Code != http.StatusBadRequest || !strings.Contains(answer.Body.String(), "environ.HF_TOKEN") {
			t.Errorf("%s %s: %d %s", method, path, answer.Code, answer.Body)
		}
	}
	if text := w.as("owner", "GET", "/services/demo?project=red", "").Body.String(); !strings.Contains(text, value) {
		t.Errorf("it is overwritten: %s", text)
	}
	// And while it is followed.
	server := httptest.NewServer(w.Handler)
	defer server.Close()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+api.Prefix+"/services/demo/watch?project=red", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+w.secrets["read"])
	resp, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "data: ") {
	}
	if text := lines.Text(); strings.Contains(text, value) || !strings.Contains(text, "HF_TOKEN") {
		t.Errorf("followed: %s", text)
	}
}
