package config

import (
	"strings"
	"testing"
	"time"
)

func TestEffective(t *testing.T) {
	c := Default()
	c.Listen, c.Router.Domain = "0.0.0.0:443", "models.example"
	c.Database = "postgres://palisade:planted-secret@db/palisade?sslmode=require&sslpassword=planted-secret"
	c.Restart.Patience = 90 * time.Second
	got := map[string]Setting{}
	for _, s := range Effective(c, Overrides{Listen: "0.0.0.0:443"}) {
		if strings.Contains(s.Value, "planted-secret") {
			t.Errorf("%+v tells a secret", s)
		}
		got[s.Name] = s
	}
	for name, want := range map[string]Setting{
		"listen":        {Value: "0.0.0.0:443", From: FromFlag},
		"router.domain": {Value: "models.example", From: FromFile},
		"runtime":       {Value: "auto", From: FromDefault},
		"log.level":     {Value: "INFO", From: FromDefault},
		"database":      {Value: "postgres://palisade:***@db/palisade?sslmode=require&sslpassword=***", From: FromFile, Hidden: true},
		"tls.mode":      {Value: "auto", From: FromDefault},
	} {
		want.Name = name
		if got[name] != want {
			t.Errorf("%+v, want %+v", got[name], want)
		}
	}
	if len(got) < 50 {
		t.Errorf("only %d settings", len(got))
	}
}

func TestHide(t *testing.T) {
	for _, c := range []struct{ name, value, want string }{
		{"oidc.client_secret", "planted", "***"}, {"people.password_length", "12", "12"}, {"a.token_ttl", "15m0s", "15m0s"}, {"x", "", ""},
		{"database", "host=db password=planted dbname=x", "host=db password=*** dbname=x"}, {"database", "password='pl anted'", "password=***"},
		{"traces.endpoint", "https://user:planted@collector/v1", "https://user:***@collector/v1"}, {"list", `[{"client_secret":"planted","name":"a"}]`, `[{"client_secret":"***","name":"a"}]`},
		{"url", "https://plain/", "https://plain/"}, {"tls.key", "/etc/palisade/key.pem", "/etc/palisade/key.pem"},
	} {
		if got, _ := hide(c.name, c.value); got != c.want {
			t.Errorf("hide(%s, %s) = %s, want %s", c.name, c.value, got, c.want)
		}
	}
}
