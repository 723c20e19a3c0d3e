package config

import (
	"strings"
	"testing"
)

func TestAppsHaveAnOriginOfTheirOwn(t *testing.T) {
	for _, tt := range []struct {
		listen, apps, want string
		wanted             bool
	}{
		{"127.0.0.1:8080", "", "127.0.0.1:8081", false},
		{":443", "", ":444", false},
		{"[::1]:8080", "", "[::1]:8081", false},
		{"127.0.0.1:0", "", "127.0.0.1:0", false},
		{"127.0.0.1:65535", "", "127.0.0.1:65534", false},
		{"127.0.0.1:8080", "10.0.0.1:9000", "10.0.0.1:9000", true},
		{"127.0.0.1:8080", "off", "", true},
		{"nonsense", "", "", false},
	} {
		c := Config{Listen: tt.listen, Apps: Apps{Listen: tt.apps}}
		if got, wanted := c.AppsListen(); got != tt.want || wanted != tt.wanted {
			t.Errorf("%+v: %q %v", tt, got, wanted)
		}
	}
	for _, tt := range []struct{ listen, advertise, apps, url, want string }{
		{"127.0.0.1:8080", "", "", "http://127.0.0.1:8080", "the address of the appliance itself"},
		{"0.0.0.0:443", "https://Models.example.com", "off", "https://models.example.com:443", "the address of the appliance itself"},
		{"0.0.0.0:443", "https://models.example.com", "off", "https://apps.example.com", ""},
		{"0.0.0.0:443", "https://models.example.com", "", "https://models.example.com:444", ""},
		{"127.0.0.1:8080", "", "off", "http://10.0.0.1", "told apart by their name"},
		{"127.0.0.1:8080", "", "off", "", ""},
		{"127.0.0.1:8080", "", "127.0.0.1:8080", "", "is the address of listen"},
	} {
		c := Config{Listen: tt.listen, Advertise: tt.advertise, Apps: Apps{Listen: tt.apps, URL: tt.url}}
		var said []string
		for _, p := range c.checkApps() {
			said = append(said, p.Message)
		}
		if got := strings.Join(said, "; "); (tt.want == "") != (got == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%+v: %q", tt, got)
		}
	}
}
