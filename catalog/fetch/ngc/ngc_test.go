package ngc_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/fetch/ngc"
)

const name = "weights/model ä.bin"

var weights = strings.Repeat("weights ", 100)

// registry answers as NGC's API is documented, for one model with a version 1.0 and a newest one 2.0, with a page for each
// file, and with a store on another host.
type registry struct {
	api, store *httptest.Server
	open       bool // to all
	status     string

	mu      sync.Mutex
	files   map[string][]byte
	allowed string // the credentials that may have it
	cut     int    // bytes after which the next answer of the store ends; 0: it does not
	logIns  int
	leaks   []string
}

// put has files in the place of those that were there.
func (r *registry) put(files map[string][]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.files = files
}

func start(t *testing.T) *registry {
	t.Helper()
	r := &registry{files: map[string][]byte{"config.json": []byte("{}"), name: []byte(weights)}, allowed: "Bearer nvapi-good", status: "UPLOAD_COMPLETE"}
	mux := http.NewServeMux()
	for _, prefix := range []string{"/v2/org/acme/team/ai/models/tiny", "/v2/models/acme/ai/tiny"} {
		mux.HandleFunc("GET "+prefix, r.guard(prefix, func(w http.ResponseWriter, _ *http.Request) {
			write(w, map[string]any{"model": map[string]any{"name": "tiny", "latestVersionIdStr": "2.0"}})
		}))
		mux.HandleFunc("GET "+prefix+"/versions/{version}/files", r.guard(prefix, r.list))
		mux.HandleFunc("GET "+prefix+"/versions/{version}/files/{file...}", r.guard(prefix, func(w http.ResponseWriter, q *http.Request) {
			http.Redirect(w, q, r.store.URL+"/"+url.PathEscape(q.PathValue("file"))+"?signature=x", http.StatusFound)
		}))
	}
	mux.HandleFunc("GET /token", func(w http.ResponseWriter, q *http.Request) {
		user, key, _ := q.BasicAuth()
		if user != "$oauthtoken" || key != "oldkey" || !slices.Equal(q.URL.Query()["scope"], []string{"group/ngc:acme", "group/ngc:acme/ai"}) {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		r.mu.Lock()
		r.logIns++
		r.mu.Unlock()
		write(w, map[string]any{"token": "changed", "expires_in": 600})
	})
	r.api = httptest.NewServer(mux)
	t.Cleanup(r.api.Close)
	listener, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	r.store = httptest.NewUnstartedServer(http.HandlerFunc(r.give))
	_ = r.store.Listener.Close()
	r.store.Listener = listener
	r.store.Start()
	t.Cleanup(r.store.Close)
	return r
}

// give is the store.
func (r *registry) give(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	data, cut := r.files[strings.TrimPrefix(q.URL.Path, "/")], r.cut
	r.cut = 0
	if leaked := q.Header.Get("Authorization"); leaked != "" {
		r.leaks = append(r.leaks, leaked)
	}
	r.mu.Unlock()
	if cut > 0 {
		w.Header().Set("Content-Length", strconv.Itoa(len(data)))
		_, _ = w.Write(data[:cut])
		panic(http.ErrAbortHandler)
	}
	http.ServeContent(w, q, "", time.Time{}, bytes.NewReader(data))
}

func write(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value)
}

func (r *registry) guard(prefix string, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, q *http.Request) {
		guest, who := strings.HasPrefix(prefix, "/v2/models"), q.Header.Get("Authorization")
		r.mu.Lock()
		allowed := r.allowed
		r.mu.Unlock()
		switch {
		case guest && r.open && who == "", who == allowed && !guest:
			next(w, q)
		case who == "Bearer nvapi-other":
			http.Error(w, `{"requestStatus":{"statusCode":"FORBIDDEN"}}`, http.StatusForbidden)
		default:
			http.Error(w, `{"requestStatus":{"statusCode":"UNAUTHORIZED"}}`, http.StatusUnauthorized)
		}
	}
}

func (r *registry) list(w http.ResponseWriter, q *http.Request) {
	if v := q.PathValue("version"); v != "1.0" && v != "2.0" {
		http.Error(w, `{"requestStatus":{"statusCode":"NOT_FOUND"}}`, http.StatusNotFound)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	page, _ := strconv.Atoi(q.URL.Query().Get("page-number"))
	name := slices.Sorted(maps.Keys(r.files))[page]
	sum := sha256.Sum256(r.files[name])
	write(w, map[string]any{
		"modelVersion":   map[string]any{"versionId": q.PathValue("version"), "status": r.status},
		"modelFiles":     []map[string]any{{"path": name, "sizeInBytes": len(r.files[name]), "sha256_base64": base64.StdEncoding.EncodeToString(sum[:])}},
		"paginationInfo": map[string]any{"index": page, "totalPages": len(r.files), "totalResults": len(r.files)},
	})
}

func (r *registry) source(key string) *ngc.Source {
	return ngc.New(ngc.Options{Endpoint: r.api.URL, LogIn: r.api.URL, Key: func(context.Context) (string, error) { return key, nil }})
}

func ref(version string) fetch.Ref {
	return fetch.Ref{Scheme: "ngc", Where: "acme/ai/tiny", Revision: version}
}

func TestModelsOfNGC(t *testing.T) {
	for what, c := range map[string]struct {
		key, allowed string
		open         bool
	}{
		"open to all": {open: true}, "open to all, with a key of others": {open: true, key: "nvapi-other"}, "a key": {key: "nvapi-good", allowed: "Bearer nvapi-good"}, "a key of the older kind": {key: "oldkey", allowed: "Bearer changed"},
	} {
		t.Run(what, func(t *testing.T) {
			r := start(t)
			r.open, r.allowed = c.open, c.allowed
			s := r.source(c.key)
			l, err := s.List(t.Context(), ref(""))
			if err != nil || l.Revision != "2.0" || len(l.Files) != 2 || l.Files[1].Name != name || !fetch.IsSHA256(l.Files[1].SHA256) {
				t.Fatalf("%+v, %v", l, err)
			}
			whole := weights
			for _, part := range []struct{ offset, length int64 }{{0, -1}, {7, 11}} {
				body, err := s.Open(t.Context(), l, l.Files[1], part.offset, part.length)
				if err != nil {
					t.Fatal(err)
				}
				text, err := io.ReadAll(body)
				_ = body.Close()
				want := whole[part.offset:]
				if part.length >= 0 {
					want = want[:part.length]
				}
				if err != nil || string(text) != want {
					t.Errorf("%+v: %.40q, %v", part, text, err)
				}
			}
			if len(r.leaks) > 0 || r.logIns > 1 {
				t.Errorf("the store got %q; %d log-ins", r.leaks, r.logIns)
			}
		})
	}
}

func TestWhatNGCRefuses(t *testing.T) {
	for what, c := range map[string]struct {
		do            func(*registry)
		key, version  string
		kind          error
		message, hint string
	}{
		"no key":        {kind: fetch.ErrDenied, message: "open to all", hint: "palisade secret set NGC_API_KEY"},
		"wrong key":     {key: "nvapi-bad", kind: fetch.ErrDenied, message: "refuses the key", hint: "api-key"},
		"wrong old key": {key: "bad", kind: fetch.ErrDenied, message: "refuses the key", hint: "api-key"},
		"not allowed":   {key: "nvapi-other", kind: fetch.ErrDenied, message: "may not have acme/ai/tiny", hint: "https://catalog.ngc.nvidia.com/orgs/acme/teams/ai/models/tiny"},
		"no version":    {key: "nvapi-good", version: "9", kind: fetch.ErrNotFound, message: `version "9"`},
		"not whole":     {do: func(r *registry) { r.status = "UPLOAD_PENDING" }, key: "nvapi-good", kind: fetch.ErrNotFound, message: "not whole"},
		"a bad name":    {do: func(r *registry) { r.put(map[string][]byte{"../x": nil}) }, key: "nvapi-good", kind: fetch.ErrRefused},
	} {
		t.Run(what, func(t *testing.T) {
			r := start(t)
			if c.do != nil {
				c.do(r)
			}
			_, err := r.source(c.key).List(t.Context(), ref(c.version))
			hint := ""
			if h, is := errors.AsType[interface {
				error
				Hint() string
			}](err); is {
				hint = h.Hint()
			}
			if !errors.Is(err, c.kind) || !strings.Contains(fmt.Sprint(err), c.message) || !strings.Contains(hint, c.hint) || c.key != "" && strings.Contains(err.Error(), c.key) {
				t.Errorf("%v\nhint: %s", err, hint)
			}
		})
	}
	if _, err := ngc.New(ngc.Options{}).List(t.Context(), fetch.Ref{Where: "tiny"}); !errors.Is(err, fetch.ErrRef) {
		t.Error(err)
	}
}
