package oci_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	digest "github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/crypto/bcrypt"

	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/fetch/oci"
)

// registry starts Debian's registry, which wants a log-in, and returns its address.
func registry(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("docker-registry")
	if err != nil {
		t.Fatalf("%v: .ci/deps test installs it", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	dir := t.TempDir()
	secret, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "users"), fmt.Sprintf("ann:%s\n", secret))
	settings := filepath.Join(dir, "config.yml")
	write(t, settings, fmt.Sprintf("version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: %s}\nauth: {htpasswd: {realm: here, path: %s}}\n", dir, address, filepath.Join(dir, "users")))
	var said bytes.Buffer
	cmd := exec.Command(program, "serve", settings)
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(said.String())
		}
	})
	deadline := time.Now().Add(20 * time.Second)
	for {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			conn.Close()
			return address
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// push puts a model into the registry by its HTTP API, and returns the digest of its manifest.
func push(t *testing.T, address, repository, tag string, m ocispec.Manifest, blobs ...[]byte) digest.Digest {
	t.Helper()
	send := func(method, url, kind string, body []byte) *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth("ann", "secret")
		r.Header.Set("Content-Type", kind)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		said, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if answer.StatusCode >= 300 {
			t.Fatalf("%s %s: %s: %s", method, url, answer.Status, said)
		}
		return answer
	}
	for _, b := range append(blobs, []byte("{}")) {
		begun := send(http.MethodPost, "http://"+address+"/v2/"+repository+"/blobs/uploads/", "application/octet-stream", nil)
		send(http.MethodPut, begun.Header.Get("Location")+"&digest="+digest.FromBytes(b).String(), "application/octet-stream", b)
	}
	m.Versioned = specs.Versioned{SchemaVersion: 2}
	m.MediaType = ocispec.MediaTypeImageManifest
	if m.Config.Digest == "" {
		m.Config = ocispec.DescriptorEmptyJSON
	}
	raw, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	send(http.MethodPut, "http://"+address+"/v2/"+repository+"/manifests/"+tag, m.MediaType, raw)
	return digest.FromBytes(raw)
}

func described(kind, named string, b []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: kind, Digest: digest.FromBytes(b), Size: int64(len(b)), Annotations: map[string]string{"org.cncf.model.filepath": named}}
}

func logIn(user, secret string) func(context.Context, string) (string, string, error) {
	return func(context.Context, string) (string, string, error) { return user, secret, nil }
}

func TestModelsOfARegistry(t *testing.T) {
	address := registry(t)
	weights, settings := make([]byte, 300_000), []byte(`{"layers": 2}`)
	_, _ = rand.Read(weights)
	pushed := push(t, address, "org/model", "8b", ocispec.Manifest{
		ArtifactType: "application/vnd.cncf.model.manifest.v1+json",
		Layers:       []ocispec.Descriptor{described("application/vnd.cncf.model.weight.v1.raw", "model.safetensors", weights), described("application/vnd.cncf.model.weight.config.v1.raw", "config.json", settings)},
	}, weights, settings)
	s := oci.New(oci.Config{Credentials: logIn("ann", "secret")})
	ref := fetch.Ref{Scheme: "oci", Where: address + "/org/model", Revision: "8b"}
	in, err := s.List(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	if in.Revision != pushed.String() || len(in.Files) != 2 || in.Files[0].Name != "config.json" || in.Files[1].SHA256 != digest.FromBytes(weights).Encoded() {
		t.Fatalf("%+v", in)
	}
	read := func(f fetch.File, offset, length int64) []byte {
		t.Helper()
		r, err := s.Open(t.Context(), in, f, offset, length)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, part := range [][2]int64{{0, -1}, {0, 10}, {299_999, -1}, {300_000, -1}, {1000, 50_000}, {299_990, 50}} {
		want := weights[part[0]:]
		if part[1] >= 0 {
			want = want[:min(part[1], int64(len(want)))]
		}
		if got := read(in.Files[1], part[0], part[1]); !bytes.Equal(got, want) {
			t.Errorf("from %d, %d bytes: %d bytes of others", part[0], part[1], len(got))
		}
	}
	ref.Revision = pushed.String()
	if again, err := s.List(t.Context(), ref); err != nil || again.Revision != in.Revision {
		t.Errorf("by its digest: %v, %v", again.Revision, err)
	}
	for what, c := range map[string]struct {
		s    *oci.Source
		ref  fetch.Ref
		kind error
	}{
		"no log-in":       {oci.New(oci.Config{}), ref, fetch.ErrDenied},
		"a wrong log-in":  {oci.New(oci.Config{Credentials: logIn("ann", "wrong")}), ref, fetch.ErrDenied},
		"no such tag":     {s, fetch.Ref{Where: ref.Where, Revision: "70b"}, fetch.ErrNotFound},
		"no such model":   {s, fetch.Ref{Where: address + "/org/other"}, fetch.ErrNotFound},
		"no model's name": {s, fetch.Ref{Where: address + "/Org Model"}, fetch.ErrNotFound},
	} {
		_, err := c.s.List(t.Context(), c.ref)
		var h interface{ Hint() string }
		if !errors.Is(err, c.kind) || !errors.As(err, &h) {
			t.Errorf("%s: %v", what, err)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.List(gone, ref); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// faulty is a registry of one blob that does what it is told.
type faulty struct {
	mu     sync.Mutex
	answer func(http.ResponseWriter, *http.Request)
}

func (f *faulty) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/v2/" {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer(w, r)
}

func TestRegistriesThatMisbehave(t *testing.T) {
	body := []byte(strings.Repeat("weights ", 100))
	f := fetch.File{Name: "w", Bytes: int64(len(body)), At: digest.FromBytes(body).String()}
	registry := &faulty{}
	server := httptest.NewServer(registry)
	defer server.Close()
	where := strings.TrimPrefix(server.URL, "http://")
	s := oci.New(oci.Config{Credentials: logIn("ann", "secret")})
	in := fetch.Listing{Ref: fetch.Ref{Where: where + "/m"}}
	open := func(answer func(http.ResponseWriter, *http.Request), offset int64) ([]byte, error) {
		registry.mu.Lock()
		registry.answer = answer
		registry.mu.Unlock()
		r, err := s.Open(t.Context(), in, f, offset, -1)
		if err != nil {
			return nil, err
		}
		defer r.Close()
		return io.ReadAll(r)
	}
	whole := func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) }
	if _, err := open(whole, 8); !errors.Is(err, fetch.ErrNoRange) {
		t.Errorf("no ranges: %v", err)
	}
	if _, err := open(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Range", "bytes 0-9/10")
		w.WriteHeader(http.StatusPartialContent)
	}, 8); !errors.Is(err, fetch.ErrChanged) {
		t.Errorf("another range: %v", err)
	}
	if _, err := open(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body[:10]) }, 0); !errors.Is(err, fetch.ErrChanged) {
		t.Errorf("another size: %v", err)
	}
	cut, err := open(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		_, _ = w.Write(body[:100])
	}, 0)
	if !errors.Is(err, io.ErrUnexpectedEOF) || !bytes.Equal(cut, body[:100]) {
		t.Errorf("cut off: %d bytes, %v", len(cut), err)
	}
	if _, err := open(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(body)
		_ = http.NewResponseController(w).Flush()
		_, _ = w.Write([]byte("more"))
	}, 0); !errors.Is(err, fetch.ErrTooLong) {
		t.Errorf("longer: %v", err)
	}
	_, err = open(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusTooManyRequests)
	}, 0)
	if later, ok := errors.AsType[*fetch.Later](err); !ok || later.After != 7*time.Second {
		t.Errorf("too many requests: %v", err)
	}
	registry.answer = func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) }
	if _, err := s.List(t.Context(), fetch.Ref{Where: where + "/m", Revision: f.At}); !errors.Is(err, fetch.ErrChecksum) {
		t.Errorf("another manifest than its digest says: %v", err)
	}
	registry.answer = func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 5<<20)) }
	if _, err := s.List(t.Context(), in.Ref); !errors.Is(err, fetch.ErrTooLong) {
		t.Errorf("a manifest too long: %v", err)
	}
}

func TestALogInGoesNowhereElse(t *testing.T) {
	body := []byte("weights")
	var told []string
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		told = append(told, r.Header.Get("Authorization"))
		_, _ = w.Write(body)
	}))
	defer store.Close()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch _, secret, _ := r.BasicAuth(); {
		case secret != "secret":
			w.Header().Set("WWW-Authenticate", `Basic realm="here"`)
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path != "/v2/":
			http.Redirect(w, r, store.URL+"/blob", http.StatusTemporaryRedirect)
		}
	}))
	defer server.Close()
	s := oci.New(oci.Config{Credentials: logIn("ann", "secret")})
	in := fetch.Listing{Ref: fetch.Ref{Where: strings.TrimPrefix(server.URL, "http://") + "/m"}}
	r, err := s.Open(t.Context(), in, fetch.File{Bytes: int64(len(body)), At: digest.FromBytes(body).String()}, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, body) {
		t.Errorf("%q, %v", got, err)
	}
	if len(told) != 1 || told[0] != "" {
		t.Errorf("the other host was told %q", told)
	}
}

func TestPlainHTTPIsForLoopback(t *testing.T) {
	// 10.0.0.0/8 is an address to which the library would speak plainly; nothing answers there, so the guard is seen first.
	refused := oci.New(oci.Config{Transport: answering{}})
	_, err := refused.List(t.Context(), fetch.Ref{Where: "10.1.2.3:5000/m"})
	if err == nil || !strings.Contains(err.Error(), "plain HTTP") {
		t.Errorf("%v", err)
	}
	allowed := oci.New(oci.Config{Transport: answering{}, PlainHTTP: []string{"10.1.2.3:5000"}})
	if _, err := allowed.List(t.Context(), fetch.Ref{Where: "10.1.2.3:5000/m"}); !errors.Is(err, fetch.ErrNotFound) {
		t.Errorf("where the settings allow it: %v", err)
	}
}

// answering is a registry without TLS, which knows no model.
type answering struct{}

func (answering) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme == "https" {
		return nil, errors.New("http: server gave HTTP response to HTTPS client")
	}
	status := http.StatusNotFound
	if r.URL.Path == "/v2/" {
		status = http.StatusOK
	}
	return &http.Response{StatusCode: status, Body: http.NoBody, Request: r, Header: http.Header{}}, nil
}
