package daemon

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/vault"
	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/fetch/hub/hubtest"
	"github.com/palisade-run/palisade/catalog/fetch/web"
	"github.com/palisade-run/palisade/catalog/install"
)

// safe keeps a vault's rows for one test.
type safe map[string]vault.Row

func (s safe) SaveSecret(_ context.Context, r vault.Row) error { s[r.Name] = r; return nil }
func (s safe) Secret(_ context.Context, name string) (vault.Row, bool, error) {
	r, ok := s[name]
	return r, ok, nil
}
func (s safe) Secrets(context.Context) (out []vault.Row, _ error) {
	for _, r := range s {
		out = append(out, r)
	}
	return out, nil
}
func (s safe) DeleteSecret(_ context.Context, name string) (bool, error) {
	_, ok := s[name]
	delete(s, name)
	return ok, nil
}

func testPlaces(t *testing.T, hub string) (*places, *vault.Vault) {
	t.Helper()
	dir := t.TempDir()
	v, err := vault.Open(t.Context(), safe{}, filepath.Join(dir, "key"), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return newPlaces(placesOptions{data: dir, hub: hub, vault: v, http: web.New(web.Options{})}), v
}

func TestEveryKindOfPlaceHasASource(t *testing.T) {
	p, _ := testPlaces(t, "")
	for _, text := range []string{"hf:acme/tiny", "ngc:acme/tiny:1", "oci:ghcr.io/acme/tiny:1", "s3://acme/tiny", "git+https://example.com/tiny.git", "https://example.com/tiny.gguf", "/models/tiny"} {
		ref, err := fetch.ParseRef(text)
		if err != nil {
			t.Fatal(err)
		}
		s, err := p.Source(t.Context(), ref, install.Asker{})
		if err != nil || s == nil {
			t.Errorf("%s: %v", text, err)
		}
		if again, _ := p.Source(t.Context(), ref, install.Asker{}); ref.Scheme != "http" && again != s {
			t.Errorf("%s has two sources", text)
		}
	}
	if _, err := p.Source(t.Context(), fetch.Ref{Scheme: "gopher"}, install.Asker{}); !errors.Is(err, fetch.ErrRef) {
		t.Error(err)
	}
}

func TestSecretsOpenTheirOwnPlaceAlone(t *testing.T) {
	h := hubtest.Start(t)
	h.Commit("acme/tiny", hubtest.Files{"a.gguf": "x"})
	h.Gate("acme/tiny", "hf_good")
	p, v := testPlaces(t, h.URL())
	ref := fetch.Ref{Scheme: "hf", Where: "acme/tiny"}
	list := func(secret string) error {
		s, err := p.Source(t.Context(), ref, install.Asker{Secret: secret})
		if err == nil {
			_, err = s.List(t.Context(), ref)
		}
		return err
	}
	keep := func(name, value string) {
		t.Helper()
		if err := v.Named().Put(t.Context(), name, vault.Secret(value)); err != nil {
			t.Fatal(err)
		}
	}
	if err := list(""); !errors.Is(err, fetch.ErrDenied) {
		t.Error(err)
	}
	keep("HF_TOKEN", "hf_good\n") // as it comes out of a file
	if err := list(""); err != nil {
		t.Error(err)
	}
	keep("HF_TOKEN", "hf_other")
	keep("HF_TOKEN_OF_WORK", "hf_good")
	if err := list("HF_TOKEN_OF_WORK"); err != nil {
		t.Error(err)
	}
	// A recipe that names somebody else's secret does not get it sent.
	keep("NGC_API_KEY", "nvapi-secret")
	if err := list("NGC_API_KEY"); !errors.Is(err, fetch.ErrRefused) || !strings.Contains(err.Error(), "NGC_API_KEY is not for hf:acme/tiny") {
		t.Error(err)
	}
	for _, r := range h.Seen() {
		if strings.HasPrefix(r.Token, "nvapi") {
			t.Errorf("%+v", r)
		}
	}
}

func TestLogInsGoByHost(t *testing.T) {
	seen := map[string]string{}
	start := func(name string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			seen[name] = r.Header.Get("Authorization")
			w.WriteHeader(http.StatusNoContent)
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	ours, theirs := start("ours"), start("theirs")
	p, v := testPlaces(t, "")
	if err := v.Registries().Put(t.Context(), strings.TrimPrefix(ours, "http://"), "ann", "secret"); err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{ours, theirs} {
		ref := fetch.Ref{Scheme: "http", Where: at + "/tiny.gguf"}
		s, err := p.Source(t.Context(), ref, install.Asker{Secret: "HF_TOKEN"})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = s.List(t.Context(), ref)
	}
	// What anybody on the way could read does not take a log-in along.
	if err := v.Registries().Put(t.Context(), "ghcr.io", "ann", "secret"); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Source(t.Context(), fetch.Ref{Scheme: "http", Where: "http://ghcr.io/tiny.gguf"}, install.Asker{}); !errors.Is(err, fetch.ErrRefused) || !strings.Contains(err.Error(), "not sent over plain http") {
		t.Error(err)
	}
	if !strings.HasPrefix(seen["ours"], "Basic ") || seen["theirs"] != "" || len(seen) != 2 {
		t.Errorf("%q", seen)
	}
}
