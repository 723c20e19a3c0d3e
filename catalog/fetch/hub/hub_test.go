package hub_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/fetch/hub"
	"github.com/palisade-run/palisade/catalog/fetch/hub/hubtest"
	"github.com/palisade-run/palisade/catalog/fetch/web"
)

const repo = "acme/tiny"

var weights = strings.Repeat("weights of a model ", 5000)

func start(t *testing.T) (*hubtest.Hub, string) {
	t.Helper()
	h := hubtest.Start(t)
	commit := h.Commit(repo, hubtest.Files{
		"config.json": `{"architectures": ["Tiny"]}`, "model.safetensors": weights, "tokenizer/vocab ä?#%.txt": "a\nb\n", "empty": "",
	})
	return h, commit
}

func source(t *testing.T, h *hubtest.Hub, token string) *hub.Source {
	t.Helper()
	s, err := hub.New(hub.Options{
		Endpoint: h.URL() + "/", Token: func(context.Context) (string, error) { return token, nil },
		HTTP: web.New(web.Options{Header: 5 * time.Second, Stall: 5 * time.Second}),
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func ref(revision string) fetch.Ref {
	return fetch.Ref{Scheme: "hf", Where: repo, Revision: revision}
}

func list(t *testing.T, s *hub.Source, r fetch.Ref) fetch.Listing {
	t.Helper()
	l, err := s.List(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func read(s *hub.Source, l fetch.Listing, name string, offset, length int64) (string, error) {
	for _, f := range l.Files {
		if f.Name != name {
			continue
		}
		body, err := s.Open(context.Background(), l, f, offset, length)
		if err != nil {
			return "", err
		}
		defer body.Close()
		text, err := io.ReadAll(body)
		return string(text), err
	}
	return "", fmt.Errorf("no file %s in %v", name, l.Files)
}

func TestAListingIsPinnedToTheCommit(t *testing.T) {
	h, first := start(t)
	h.PageSize = 2
	s := source(t, h, "")
	for _, revision := range []string{"", "main", "v1", "refs/pr/1", first} {
		h.Tag(repo, "v1", first)
		h.Tag(repo, "refs/pr/1", first)
		l := list(t, s, ref(revision))
		names := []string{}
		for _, f := range l.Files {
			names = append(names, f.Name)
			if (f.SHA256 == "") == (f.Git == "") || (f.SHA256 != "") != (f.Name == "model.safetensors") {
				t.Errorf("%s: sha256 %q, git %q", f.Name, f.SHA256, f.Git)
			}
		}
		if l.Revision != first || strings.Join(names, " ") != "config.json empty model.safetensors tokenizer/vocab ä?#%.txt" {
			t.Errorf("%q: %s, %v", revision, l.Revision, names)
		}
	}
	// What comes after does not change what was listed.
	l := list(t, s, ref(""))
	second := h.Commit(repo, hubtest.Files{"config.json": "{}", "model.safetensors": "others"})
	for name, want := range map[string]string{"config.json": `{"architectures": ["Tiny"]}`, "model.safetensors": weights, "tokenizer/vocab ä?#%.txt": "a\nb\n", "empty": ""} {
		if got, err := read(s, l, name, 0, -1); err != nil || got != want {
			t.Errorf("%s: %.40q, %v", name, got, err)
		}
	}
	if l := list(t, s, ref("")); l.Revision != second || second == first {
		t.Errorf("%s, want %s", l.Revision, second)
	}
}

func TestPartsOfFiles(t *testing.T) {
	h, _ := start(t)
	s := source(t, h, "")
	l := list(t, s, ref(""))
	for _, c := range []struct{ offset, length int64 }{{0, 10}, {7, 1000}, {int64(len(weights)) - 3, 3}, {500, -1}, {0, int64(len(weights))}} {
		want := weights[c.offset:]
		if c.length >= 0 {
			want = want[:c.length]
		}
		if got, err := read(s, l, "model.safetensors", c.offset, c.length); err != nil || got != want {
			t.Errorf("%+v: %d bytes, %v", c, len(got), err)
		}
	}
	heads := 0
	for _, r := range h.Seen() {
		if r.Method == http.MethodHead {
			heads++
		}
	}
	if heads != 1 {
		t.Errorf("the hub was asked %d times where the file is", heads)
	}
	if got, err := read(s, l, "config.json", 2, 5); err != nil || got != "archi" {
		t.Errorf("%q, %v", got, err)
	}
	// A server that knows no ranges can be read from the start alone.
	h.Break(hubtest.Store, "", -1, hubtest.Whole())
	if _, err := read(s, l, "model.safetensors", 5, -1); !errors.Is(err, fetch.ErrNoRange) {
		t.Error(err)
	}
	if got, err := read(s, l, "model.safetensors", 0, -1); err != nil || got != weights {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestTheTokenGoesToTheHubAlone(t *testing.T) {
	h, _ := start(t)
	h.Gate(repo, "hf_good")
	s := source(t, h, "hf_good")
	l := list(t, s, ref(""))
	if got, err := read(s, l, "model.safetensors", 0, -1); err != nil || got != weights {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	stored := 0
	for _, r := range h.Seen() {
		if r.Store {
			stored++
		}
		if (r.Token == "hf_good") == r.Store {
			t.Errorf("the token %q came along: %+v", r.Token, r)
		}
	}
	if stored == 0 {
		t.Error("the store was not asked")
	}
}

func TestAnAddressThatHasRunOutIsAskedForAnew(t *testing.T) {
	h, _ := start(t)
	s := source(t, h, "")
	l := list(t, s, ref(""))
	for range 2 {
		if got, err := read(s, l, "model.safetensors", 3, -1); err != nil || got != weights[3:] {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		h.Expire()
	}
}

func TestBodiesThatBreak(t *testing.T) {
	h, _ := start(t)
	s := source(t, h, "")
	l := list(t, s, ref(""))
	h.Break(hubtest.Store, "*.safetensors", 1, hubtest.Cut(1000))
	got, err := read(s, l, "model.safetensors", 0, -1)
	if !errors.Is(err, fetch.ErrTruncated) && !errors.Is(err, io.ErrUnexpectedEOF) || got != weights[:1000] {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	// Another file than the one that was listed, as the hub says it before a byte comes.
	s = source(t, h, "")
	h.Break(hubtest.Resolve, "", 1, hubtest.ETag(strings.Repeat("0", 64)))
	if _, err := read(s, l, "model.safetensors", 0, -1); !errors.Is(err, fetch.ErrChanged) {
		t.Error(err)
	}
	l.Files[2].Bytes++
	if _, err := read(s, l, "model.safetensors", 0, -1); !errors.Is(err, fetch.ErrChanged) {
		t.Error(err)
	}
	if l.Files[0].Bytes--; l.Files[0].Name != "config.json" {
		t.Fatal(l.Files)
	}
	if _, err := read(s, l, "config.json", 0, -1); !errors.Is(err, fetch.ErrChanged) {
		t.Error(err)
	}
	// Who gave up is not waited for.
	release, held := make(chan struct{}), make(chan struct{}, 1)
	defer close(release)
	h.Break(hubtest.Store, "", 1, hubtest.Hold(10, release, held))
	l = list(t, s, ref(""))
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("the owner says stop")
	body, err := s.Open(ctx, l, l.Files[2], 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	go func() { <-held; cancel(why) }()
	if _, err := io.Copy(io.Discard, body); !errors.Is(err, why) {
		t.Error(err)
	}
}

// hinted is what every sentence for people must be.
func hinted(err error) string {
	if h, is := errors.AsType[interface {
		error
		Hint() string
	}](err); is {
		return h.Hint()
	}
	return ""
}

func TestWhatTheHubRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		do            func(*hubtest.Hub)
		token         string
		revision      string
		kind          error
		message, hint string
	}{
		"no such model":       {do: func(h *hubtest.Hub) { h.Remove(repo) }, kind: fetch.ErrNotFound, message: "no public model", hint: "is the name right"},
		"no such, logged in":  {do: func(h *hubtest.Hub) { h.Remove(repo); h.Know("t") }, token: "t", kind: fetch.ErrNotFound, message: "no model acme/tiny that this token shows", hint: "is the name right"},
		"private":             {do: func(h *hubtest.Hub) { h.Private(repo, "t") }, kind: fetch.ErrNotFound, message: "no public model", hint: "palisade secret set HF_TOKEN"},
		"private to others":   {do: func(h *hubtest.Hub) { h.Private(repo, "u"); h.Know("t") }, token: "t", kind: fetch.ErrNotFound, hint: "HF_TOKEN"},
		"no such revision":    {revision: "v9", kind: fetch.ErrNotFound, message: `no branch, tag or commit "v9"`, hint: "/acme/tiny/commits"},
		"gated":               {do: func(h *hubtest.Hub) { h.Gate(repo, "u") }, kind: fetch.ErrDenied, message: "is gated", hint: "/acme/tiny, make a token"},
		"gated, not let in":   {do: func(h *hubtest.Hub) { h.Gate(repo, "u"); h.Know("t") }, token: "t", kind: fetch.ErrDenied, message: "has not been let in", hint: "/acme/tiny logged in"},
		"a token that is old": {token: "old", kind: fetch.ErrDenied, message: "does not know the token", hint: "/settings/tokens"},
		"a token that may not": {
			do: func(h *hubtest.Hub) {
				h.Know("t")
				h.Break(hubtest.Info, "", 1, hubtest.Refuse(403, "X-Error-Message", "Please enable access to public gated repositories in your fine-grained token settings to view this repository."))
			}, token: "t", kind: fetch.ErrDenied, message: "may not read", hint: "/settings/tokens",
		},
		"disabled": {
			do: func(h *hubtest.Hub) {
				h.Break(hubtest.Tree, "", 1, hubtest.Refuse(403, "X-Error-Code", "DisabledRepo", "X-Error-Message", "Access to this resource is disabled."))
			}, kind: fetch.ErrDenied, message: "disabled", hint: "/acme/tiny",
		},
		"a name that leads elsewhere": {do: func(h *hubtest.Hub) { h.CommitNames(repo, "../../etc/passwd") }, kind: fetch.ErrRefused, message: "which none can have"},
		"a name from the root":        {do: func(h *hubtest.Hub) { h.CommitNames(repo, "/etc/passwd") }, kind: fetch.ErrRefused},
		"a file in a file":            {do: func(h *hubtest.Hub) { h.CommitNames(repo, "a", "a/b") }, kind: fetch.ErrRefused},
		"a name twice":                {do: func(h *hubtest.Hub) { h.CommitNames(repo, "a", "a") }, kind: fetch.ErrRefused},
		"redirected without end":      {do: func(h *hubtest.Hub) { h.Break(hubtest.Info, "", -1, hubtest.Redirect("/api/models/acme/tiny")) }, kind: fetch.ErrRefused},
		"next page of another place": {do: func(h *hubtest.Hub) {
			h.Break(hubtest.Tree, "", 1, hubtest.Refuse(200, "Link", `<http://evil.example/x>; rel="next"`))
		}, kind: fetch.ErrRefused},
		"an answer that is no listing": {do: func(h *hubtest.Hub) { h.Break(hubtest.Info, "", 1, page) }, kind: fetch.ErrRefused},
	} {
		t.Run(name, func(t *testing.T) {
			h, _ := start(t)
			if c.do != nil {
				c.do(h)
			}
			_, err := source(t, h, c.token).List(t.Context(), ref(c.revision))
			if !errors.Is(err, c.kind) || !strings.Contains(fmt.Sprint(err), c.message) || !strings.Contains(hinted(err), c.hint) {
				t.Errorf("%v\nhint: %s", err, hinted(err))
			}
		})
	}
}

func page(http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<html>log in to the hotel's network</html>")
	})
}

func TestTooManyRequests(t *testing.T) {
	for name, headers := range map[string][]string{
		"Retry-After": {"Retry-After", "42"}, "RateLimit": {"RateLimit", `"api";r=0;t=42`},
	} {
		h, _ := start(t)
		h.Break(hubtest.Info, "", 1, hubtest.Refuse(http.StatusTooManyRequests, headers...))
		s := source(t, h, "")
		_, err := s.List(t.Context(), ref(""))
		if later, is := errors.AsType[*fetch.Later](err); !is || later.After != 42*time.Second {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := s.List(t.Context(), ref("")); err != nil {
			t.Errorf("%s, afterwards: %v", name, err)
		}
	}
}

func TestEndpoints(t *testing.T) {
	for _, bad := range []string{"huggingface.co", "ftp://huggingface.co", "https://", "https://u:secret@hub.example", "https://hub.example?x=1", ":"} {
		if _, err := hub.New(hub.Options{Endpoint: bad}); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if _, err := hub.New(hub.Options{}); err != nil {
		t.Error(err)
	}
	// A proxy that serves the hub below a path, and passes on the hub's own addresses of further pages.
	h, commit := start(t)
	h.PageSize = 1
	proxy := httptest.NewServer(http.StripPrefix("/repository/hub", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.RequestURI = ""
		r.URL.Scheme, r.URL.Host = "http", strings.TrimPrefix(h.URL(), "http://")
		answer, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer answer.Body.Close()
		maps.Copy(w.Header(), answer.Header)
		w.WriteHeader(answer.StatusCode)
		_, _ = io.Copy(w, answer.Body)
	})))
	defer proxy.Close()
	s, err := hub.New(hub.Options{Endpoint: proxy.URL + "/repository/hub"})
	if err != nil {
		t.Fatal(err)
	}
	l := list(t, s, ref(""))
	if l.Revision != commit || len(l.Files) != 4 {
		t.Errorf("%+v", l)
	}
	if got, err := read(s, l, "config.json", 0, -1); err != nil || !bytes.Contains([]byte(got), []byte("Tiny")) {
		t.Errorf("%q, %v", got, err)
	}
}
