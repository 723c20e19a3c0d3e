package oidc_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/people"
	"github.com/palisade-run/palisade/appliance/people/oidc"
	"github.com/palisade-run/palisade/appliance/people/oidc/dextest"
)

const back = "http://127.0.0.1:1/api/v1/login/oidc/corp/callback" // nobody need listen there: what dex sends is looked at

// clock is a time that a test sets forward.
type clock struct{ ahead time.Duration }

func (c *clock) now() time.Time { return time.Now().Add(c.ahead) }

func newDoor(t *testing.T, c *clock, all ...people.Provider) *oidc.Door {
	t.Helper()
	key := make([]byte, 32)
	rand.Read(key)
	d, err := oidc.New(oidc.Around{
		Providers: all, Key: key, Client: oidc.NewClient(), Now: c.now,
		Secret: func(_ context.Context, name string) (string, error) {
			if name != "DEX_SECRET" {
				return "", fmt.Errorf("there is no secret %s", name)
			}
			return "shared-secret\n", nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func kindOf(err error) oidc.Kind {
	if f, is := errors.AsType[*oidc.Fault](err); is {
		return f.Kind
	}
	return ""
}

// TestDex: a log-in by a real provider, and how it comes to nothing.
func TestDex(t *testing.T) {
	p := dextest.New(t, back)
	corp := people.Provider{
		Name: "corp", Issuer: p.Issuer, ClientID: "palisade", ClientSecretRef: "DEX_SECRET", Scopes: []string{"profile", "email", "groups"}, AdminGroups: []string{"staff"},
	}
	c := &clock{}
	door := newDoor(t, c, corp)
	if _, _, err := door.Begin(t.Context(), "corp", back, "/console/x"); kindOf(err) != oidc.Away {
		t.Errorf("while it is away: %v", err)
	}
	if _, _, err := door.Begin(t.Context(), "other", back, ""); kindOf(err) != oidc.Unknown {
		t.Errorf("one that there is not: %v", err)
	}
	p.Start()
	begin := func(d *oidc.Door) (to, keep string) {
		t.Helper()
		to, keep, err := d.Begin(t.Context(), "corp", back, "/console/services?x=1")
		if err != nil {
			t.Fatal(err)
		}
		return to, keep
	}
	arrive := func(to, email string) url.Values {
		t.Helper()
		q, err := p.LogIn(to, email, "three birds")
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	to, keep := begin(door)
	if u, _ := url.Parse(to); u.Query().Get("code_challenge_method") != "S256" || u.Query().Get("nonce") == "" || strings.Contains(keep, u.Query().Get("state")) {
		t.Errorf("%s, and kept %s", to, keep)
	}
	if _, err := p.LogIn(to, "ada@example.org", "wrong"); err == nil {
		t.Error("a wrong password is taken")
	}
	q := arrive(to, "ada@example.org")
	in, err := door.End(t.Context(), "corp", keep, q)
	if err != nil {
		t.Fatal(err)
	}
	o := in.Outside
	if o.Name != "ada" || o.Subject == "" || o.Issuer != p.Issuer || o.Email != "ada@example.org" || o.DisplayName != "Ada Lovelace" || in.Next != "/console/services?x=1" {
		t.Errorf("%+v", in)
	}
	if o.Admin == nil || !*o.Admin || len(in.Groups) != 2 {
		t.Errorf("%+v %v", o.Admin, in.Groups)
	}
	if _, err := door.End(t.Context(), "corp", keep, q); kindOf(err) != oidc.Stale {
		t.Errorf("the same once more: %v", err)
	}
	t.Run("a code that was changed before", func(t *testing.T) {
		again := newDoor(t, c, corp) // it does not know that the state was used: the provider knows of the code
		to, keep := begin(again)
		fresh := arrive(to, "ada@example.org")
		fresh.Set("code", q.Get("code"))
		if _, err := again.End(t.Context(), "corp", keep, fresh); kindOf(err) != oidc.Stale {
			t.Errorf("%v", err)
		}
	})
	t.Run("bound to the browser", func(t *testing.T) {
		to, keep := begin(door)
		_, others := begin(door)
		q := arrive(to, "ada@example.org")
		wrong := url.Values{"state": {"x" + q.Get("state")[1:]}, "code": q["code"]}
		for name, try := range map[string]func() error{
			"another browser's": func() error { _, err := door.End(t.Context(), "corp", others, q); return err },
			"no browser's":      func() error { _, err := door.End(t.Context(), "corp", "", q); return err },
			"one made up":       func() error { _, err := door.End(t.Context(), "corp", strings.Repeat("A", 200), q); return err },
			"another state":     func() error { _, err := door.End(t.Context(), "corp", keep, wrong); return err },
			"another provider":  func() error { _, err := door.End(t.Context(), "corp2", keep, q); return err },
			"another door":      func() error { _, err := newDoor(t, c, corp).End(t.Context(), "corp", keep, q); return err },
			"too late": func() error {
				c.ahead = oidc.Life
				defer func() { c.ahead = 0 }()
				_, err := door.End(t.Context(), "corp", keep, q)
				return err
			},
		} {
			if err := try(); kindOf(err) != oidc.Stale {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := door.End(t.Context(), "corp", keep, q); err != nil {
			t.Errorf("and yet its own is good: %v", err)
		}
	})
	t.Run("the person did not want to", func(t *testing.T) {
		to, keep := begin(door)
		u, err := url.Parse(to)
		if err != nil {
			t.Fatal(err)
		}
		state := u.Query().Get("state")
		if _, err := door.End(t.Context(), "corp", keep, url.Values{"state": {state}, "error": {"access_denied"}, "error_description": {"<b>no</b>"}}); kindOf(err) != oidc.Cancelled || strings.Contains(err.Error(), "<b>") {
			t.Errorf("%v", err)
		}
	})
	t.Run("who may not come", func(t *testing.T) {
		only := corp
		only.AllowedDomains = []string{"example.org"}
		d := newDoor(t, c, only)
		for email, want := range map[string]oidc.Kind{"eve@evil.example": oidc.Domain, "ada@example.org": ""} {
			to, keep := begin(d)
			if _, err := d.End(t.Context(), "corp", keep, arrive(to, email)); kindOf(err) != want || want == "" && err != nil {
				t.Errorf("%s: %v", email, err)
			}
		}
	})
	t.Run("a wrong secret", func(t *testing.T) {
		wrong := corp
		wrong.ClientSecretRef, wrong.ClientSecretFile = "", filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(wrong.ClientSecretFile, []byte("other"), 0o600); err != nil {
			t.Fatal(err)
		}
		d := newDoor(t, c, wrong)
		to, keep := begin(d)
		if _, err := d.End(t.Context(), "corp", keep, arrive(to, "ada@example.org")); kindOf(err) != oidc.Broken {
			t.Errorf("%v", err)
		}
		wrong.ClientSecretRef, wrong.ClientSecretFile = "GONE", ""
		if _, _, err := newDoor(t, c, wrong).Begin(t.Context(), "corp", back, ""); kindOf(err) != oidc.Broken {
			t.Errorf("%v", err)
		}
	})
	t.Run("it goes in the middle, and comes back with other keys", func(t *testing.T) {
		to, keep := begin(door)
		q := arrive(to, "ada@example.org")
		p.Stop()
		if _, err := door.End(t.Context(), "corp", keep, q); kindOf(err) != oidc.Away {
			t.Errorf("%v", err)
		}
		p.Start() // all of it was in memory: keys and codes too
		if _, err := door.End(t.Context(), "corp", keep, q); kindOf(err) != oidc.Stale {
			t.Errorf("%v", err)
		}
		to, keep = begin(door)
		if _, err := door.End(t.Context(), "corp", keep, arrive(to, "ada@example.org")); err != nil {
			t.Errorf("by its new keys: %v", err)
		}
	})
}
