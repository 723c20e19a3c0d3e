package daemon

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/palisade-run/palisade/appliance/config"
	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/fetch/reach"
	"github.com/palisade-run/palisade/catalog/fetch/web"
	"github.com/palisade-run/palisade/catalog/install"
	"github.com/palisade-run/palisade/catalog/recipe"
)

// What others name, and what places lead to, is not asked at this box: a file, a repository, an artifact; by a redirect, by
// LFS, by where a registry sends for a token.
func TestPlacesOfOthers(t *testing.T) {
	var hits atomic.Int32
	const cloud = "http://169.254.169.254/latest/meta-data/"
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		switch {
		case r.URL.Path == "/v2/":
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+cloud+`",service="x"`)
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/away.gguf":
			http.Redirect(w, r, cloud, http.StatusFound)
		case strings.HasSuffix(r.URL.Path, "/info/refs"):
			http.Redirect(w, r, cloud, http.StatusFound)
		default:
			_, _ = w.Write([]byte("GGUF"))
		}
	}))
	defer srv.Close()
	host := strings.TrimPrefix(srv.URL, "http://")
	_, v := testPlaces(t, "")
	g, err := reach.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	p := newPlaces(placesOptions{data: t.TempDir(), vault: v, guard: g, insecure: []string{host}, http: web.New(web.Options{Guard: g})})
	for _, tt := range []struct {
		ref    string
		byHand bool
		good   bool
		asked  bool // the place itself is
	}{
		{srv.URL + "/tiny.gguf", true, true, true},
		{srv.URL + "/tiny.gguf", false, false, false},
		{srv.URL + "/away.gguf", true, false, true},
		{"http://[::ffff:127.0.0.1]:" + host[strings.LastIndex(host, ":")+1:] + "/tiny.gguf", false, false, false},
		{"http://localhost:" + host[strings.LastIndex(host, ":")+1:] + "/tiny.gguf", false, false, false},
		{"git+" + srv.URL + "/acme/tiny.git", true, false, true},
		{"git+" + srv.URL + "/acme/tiny.git", false, false, false},
		{"oci:" + host + "/acme/tiny:1", true, false, true},
		{"oci:" + host + "/acme/tiny:1", false, false, false},
	} {
		hits.Store(0)
		ref, err := fetch.ParseRef(tt.ref)
		if err != nil {
			t.Fatal(err)
		}
		s, err := p.Source(t.Context(), ref, install.Asker{ByHand: tt.byHand})
		if err == nil {
			_, err = s.List(t.Context(), ref)
		}
		if (err == nil) != tt.good || (hits.Load() > 0) != tt.asked {
			t.Errorf("%s, by hand %v: %v; asked %d times", tt.ref, tt.byHand, err, hits.Load())
		}
		if err == nil {
			continue
		}
		if !strings.Contains(err.Error(), "it is not asked for others") && !strings.Contains(err.Error(), "link-local") { // the latter: a library looks, too
			t.Errorf("%s, by hand %v: %v", tt.ref, tt.byHand, err)
		}
		if refused, is := errors.AsType[*reach.Refused](err); is && !strings.Contains(refused.Hint(), "allow_private") {
			t.Error(refused.Hint())
		}
	}
}

// Webhooks of files of people go to the world and the owner's networks, not to the box.
func TestWebhooksLeaveTheBox(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("%s was asked", r.URL) }))
	defer srv.Close()
	g, err := reach.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{guard: g}
	for _, to := range []string{srv.URL, strings.Replace(srv.URL, "127.0.0.1", "localhost", 1), "http://169.254.169.254/", "http://0.0.0.0:80/"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, to, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := d.webhooks().Do(r)
		if _, is := errors.AsType[*reach.Refused](err); !is {
			t.Errorf("%s: %v", to, err)
		}
		if err == nil {
			_ = resp.Body.Close()
		}
	}
}

// Recipes of catalogs that were added name no image at this box; those that come with Palisade, and registries that the settings name, do.
func TestImagesOfOthers(t *testing.T) {
	d := &daemon{}
	var err error
	if d.guard, err = reach.New([]string{"10.7.0.0/16"}); err != nil {
		t.Fatal(err)
	}
	d.Config = config.Config{Containerd: config.Containerd{Insecure: []string{"127.0.0.1:5000"}}}
	c := collectedRecipes{nil, d.registryOfOthers}
	for image, want := range map[string]bool{
		"vllm/vllm-openai:v1": true, "ghcr.io/acme/x:1": true, "host": true, "127.0.0.1:5000/x:1": true, "10.7.1.1:5000/x": true,
		"127.0.0.1:6000/x:1": false, "localhost:5000/x:1": false, "10.0.0.1/x": false, "169.254.169.254/x": false, "[::1]:5000/x": false,
	} {
		e := recipe.Entry{Catalog: "community", Recipe: recipe.Recipe{Name: "x", Variants: []recipe.Variant{{Images: []recipe.Image{{Reference: image}}}}}}
		if err := c.imagesFar(e); (err == nil) != want {
			t.Errorf("%s: %v", image, err)
		}
		if e.Catalog = recipe.Shipped; c.imagesFar(e) != nil {
			t.Errorf("%s of our own", image)
		}
	}
}
