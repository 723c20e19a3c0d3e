package admin

import (
	"net/http/httptest"
	"testing"
)

func TestOwnPage(t *testing.T) {
	const ours = "https://models.example.com"
	for _, tt := range []struct {
		name, method, site, origin, upgrade string
		want                                bool
	}{
		{name: "our page reads", method: "GET", site: "same-origin", want: true},
		{name: "our page changes", method: "POST", site: "same-origin", origin: "http://box.lan:8080", want: true},
		{name: "our page, through a proxy that calls the box otherwise", method: "POST", site: "same-origin", origin: "https://elsewhere.example", want: true},
		{name: "our page opens a line", method: "GET", site: "same-origin", origin: "http://box.lan:8080", upgrade: "websocket", want: true},
		{name: "typed", method: "GET", site: "none", want: true},
		{name: "an app on another port reads", method: "GET", site: "same-site"},
		{name: "an app on another port changes", method: "POST", site: "same-site", origin: "http://box.lan:8081"},
		{name: "a page of the net", method: "GET", site: "cross-site"},
		{name: "a page in a sandbox", method: "POST", site: "cross-site", origin: "null"},
		{name: "what nobody says", method: "GET", site: "anything"},
		{name: "a line from an app", method: "GET", site: "same-site", origin: "http://box.lan:8081", upgrade: "websocket"},
		{name: "a line without a page", method: "GET", site: "none", upgrade: "WebSocket"},
		{name: "old: our page changes", method: "PUT", origin: "http://box.lan:8080", want: true},
		{name: "old: our page by its public name", method: "PUT", origin: "https://models.example.com", want: true},
		{name: "old: not by its public name in the clear", method: "PUT", origin: "http://models.example.com"},
		{name: "old: an app changes", method: "DELETE", origin: "http://box.lan:8081"},
		{name: "old: a sandbox changes", method: "POST", origin: "null"},
		{name: "the console, which has looked itself", method: "POST", want: true},
		{name: "old: reads", method: "GET", want: true},
		{name: "old: an app reads as scripts do", method: "GET", origin: "http://box.lan:8081"},
		{name: "old: our line", method: "GET", origin: "http://BOX.lan:8080", upgrade: "websocket", want: true},
		{name: "old: a line of an app", method: "GET", origin: "http://box.lan:8081", upgrade: "websocket"},
		{name: "old: a line of nobody", method: "GET", upgrade: "websocket"},
		{name: "old: what is no origin", method: "GET", origin: "box.lan:8080", upgrade: "websocket"},
	} {
		r := httptest.NewRequest(tt.method, "http://box.lan:8080/api/v1/me", nil)
		for name, value := range map[string]string{"Sec-Fetch-Site": tt.site, "Origin": tt.origin, "Upgrade": tt.upgrade} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		if err := ownPage(r, ours); (err == nil) != tt.want {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
