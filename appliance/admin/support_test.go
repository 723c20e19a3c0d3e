package admin_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/palisade-run/palisade/appliance/admin"
	"github.com/palisade-run/palisade/appliance/admin/admintest"
)

// What is in a bundle helps; what is secret is not in it, wherever it was planted.
func TestSupportBundle(t *testing.T) {
	a, err := admintest.New(t.Context(), t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ask := func(method, path, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(admin.LocalPeer(t.Context(), "root"), method, "/api/v1"+path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		a.Handler.ServeHTTP(w, r)
		if w.Code >= 300 {
			t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
		}
		return w
	}
	const planted = "planted-secret-4711"
	a.Pool.Simulate()
	ask(http.MethodPost, "/services", `{"name":"chat","image":"good","environ":{"HF_TOKEN":"`+planted+`"}}`)
	ask(http.MethodPut, "/secrets/NGC_API_KEY", `{"value":"`+planted+`"}`)
	ask(http.MethodPut, "/registries/nvcr.io", `{"user":"ann","password":"`+planted+`"}`)
	key := ask(http.MethodPost, "/keys", `{"name":"laptop"}`).Body.String()
	_, secret, _ := strings.Cut(key, `"secret":"`)
	secret, _, _ = strings.Cut(secret, `"`)
	w := ask(http.MethodGet, "/support-bundle", "")
	if !strings.Contains(w.Header().Get("Content-Disposition"), "palisade-support-") {
		t.Error(w.Header())
	}
	z, err := gzip.NewReader(bytes.NewReader(w.Body.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for files := tar.NewReader(z); ; {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(files)
		if err != nil {
			t.Fatal(err)
		}
		found[strings.TrimPrefix(h.Name, "palisade-support/")] = string(content)
	}
	for name, want := range map[string]string{
		"README.txt": "Look through it", "version.json": "0.0.0-test", "doctor.json": "free some space", "services.json": `"HF_TOKEN": "***"`, "sessions.json": `"ServiceID"`,
		"devices.json": "H100", "nodes.json": "dgx", "queue.json": "ses-night", "audit.json": `"Fault": ""`, "log.txt": "keeps no lines", "installs.json": "[",
	} {
		if !strings.Contains(found[name], want) {
			t.Errorf("%s has no %q:\n%.400s", name, want, found[name])
		}
	}
	for name, content := range found {
		for _, bad := range []string{planted, secret} {
			if bad == "" || strings.Contains(content, bad) {
				t.Errorf("%s tells %q", name, bad)
			}
		}
	}
}
