package hub

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/fetch/web"
)

// Endpoint is the hub itself.
const Endpoint = "https://huggingface.co"

// Options of a Source.
type Options struct {
	// Endpoint is the hub or a mirror of it: what HF_ENDPOINT is set to. Empty: Endpoint. The token goes there.
	Endpoint string
	// Token returns the token of the box's owner; "" where there is none. Nil: there is none. It is asked before every
	// request, so that a new token counts at once.
	Token func(context.Context) (string, error)
	// Secret is the name under which the owner keeps the token, for sentences. Empty: HF_TOKEN.
	Secret string
	HTTP   *web.Client
}

// Source is the hub. It implements fetch.Source.
type Source struct {
	endpoint string
	token    func(context.Context) (string, error)
	secret   string
	http     *web.Client

	mu    sync.Mutex
	where map[string]place // by the address on the hub: where the bytes are, as it said a while ago
}

type place struct {
	url   string
	until time.Time
}

const (
	mostPages  = 200
	pageSize   = 1000
	mostPlaces = 4096
	// The hub signs addresses for an hour. They are asked for anew well before, and when one is refused.
	placeHolds = 10 * time.Minute
)

// New makes one. An endpoint that is no http(s) address is an error.
func New(o Options) (*Source, error) {
	s := &Source{
		endpoint: strings.TrimRight(cmp.Or(o.Endpoint, Endpoint), "/"), token: o.Token, secret: cmp.Or(o.Secret, "HF_TOKEN"),
		http: o.HTTP, where: map[string]place{},
	}
	u, err := url.Parse(s.endpoint)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || u.RawQuery != "" {
		return nil, fetch.Say(fetch.ErrRefused, "HF_ENDPOINT and catalog.hub are as "+Endpoint, "%q is no address of a hub", redacted(o.Endpoint))
	}
	if s.token == nil {
		s.token = func(context.Context) (string, error) { return "", nil }
	}
	if s.http == nil {
		s.http = web.New(web.Options{})
	}
	return s, nil
}

// redacted leaves out who an address logs in as.
func redacted(text string) string {
	if i := strings.LastIndex(text, "@"); i >= 0 {
		return text[i+1:]
	}
	return text
}

// List asks what a model has at a revision, pins it to the commit, and sees to it that the files may be had: a model that is
// gated shows everybody what it has.
func (s *Source) List(ctx context.Context, ref fetch.Ref) (fetch.Listing, error) {
	token, err := s.token(ctx)
	if err != nil {
		return fetch.Listing{}, err
	}
	a := asked{repo: ref.Where, revision: cmp.Or(ref.Revision, "main"), token: token}
	var model struct {
		Commit string `json:"sha"`
		Gated  any    `json:"gated"` // false, "auto" or "manual"
	}
	if _, err := s.http.JSON(ctx, s.request(a, "/api/models/"+escape(a.repo)+"/revision/"+url.PathEscape(a.revision)), &model); err != nil {
		return fetch.Listing{}, s.explain(a, err)
	}
	if !isCommit(model.Commit) {
		return fetch.Listing{}, fetch.Say(fetch.ErrRefused, "is this the address of a hub? "+s.endpoint, "%s says of %s no commit", s.endpoint, a.repo)
	}
	files, err := s.tree(ctx, a, model.Commit)
	if err != nil {
		return fetch.Listing{}, err
	}
	if gated, _ := model.Gated.(string); gated != "" && len(files) > 0 {
		if err := s.admitted(ctx, a, files[0]); err != nil {
			return fetch.Listing{}, err
		}
	}
	return fetch.Listing{Ref: ref, Revision: model.Commit, Files: files}, nil
}

// asked is what a request is about.
type asked struct {
	repo, revision, token string
}

// entry is one of a tree.
type entry struct {
	Type  string `json:"type"`
	OID   string `json:"oid"`
	Bytes int64  `json:"size"`
	Path  string `json:"path"`
	LFS   *struct {
		OID   string `json:"oid"`
		Bytes int64  `json:"size"`
	} `json:"lfs"`
}

// tree reads all pages of the tree of a commit.
func (s *Source) tree(ctx context.Context, a asked, commit string) ([]fetch.File, error) {
	var files []fetch.File
	page := "/api/models/" + escape(a.repo) + "/tree/" + commit + "?recursive=true&expand=false&limit=" + strconv.Itoa(pageSize)
	for range mostPages {
		var entries []entry
		header, err := s.http.JSON(ctx, s.request(a, page), &entries)
		if err != nil {
			return nil, s.explain(a, err)
		}
		for _, e := range entries {
			if e.Type == "file" {
				files = append(files, s.file(a.repo, commit, e))
			}
		}
		if page, err = s.next(header); err != nil {
			return nil, err
		}
		if len(files) > mostPages*pageSize { // pages may be larger than was asked for
			break
		}
		if page == "" {
			files, err = fetch.Sorted(files)
			if err != nil {
				return nil, fetch.Say(fetch.ErrRefused, "tell its publisher; nothing was fetched", "%s on %s: %v", a.repo, s.endpoint, err)
			}
			return files, nil
		}
	}
	return nil, fetch.Say(fetch.ErrRefused, "", "%s has more than %d files", a.repo, mostPages*pageSize)
}

// file is what the hub says of a file; what it says wrongly is as if it did not say it.
func (s *Source) file(repo, commit string, e entry) fetch.File {
	f := fetch.File{Name: e.Path, Bytes: e.Bytes, At: s.endpoint + "/" + escape(repo) + "/resolve/" + commit + "/" + escape(e.Path)}
	switch {
	case e.LFS != nil && fetch.IsSHA256(e.LFS.OID):
		f.SHA256, f.Bytes = e.LFS.OID, e.LFS.Bytes
	case e.LFS == nil && isCommit(e.OID):
		f.Git = e.OID
	}
	if f.Bytes < 0 {
		f.Bytes = -1
	}
	return f
}

// next is the path of the next page; it must be of this hub.
func (s *Source) next(header http.Header) (string, error) {
	for _, link := range header.Values("Link") {
		for part := range strings.SplitSeq(link, ",") {
			address, rel, _ := strings.Cut(strings.TrimSpace(part), ";")
			if !strings.Contains(rel, `rel="next"`) {
				continue
			}
			to, err := url.Parse(strings.Trim(address, "<> "))
			// Without a slash it would go on in the host's name: the token would go there.
			if err != nil || !strings.HasPrefix(to.RequestURI(), "/") {
				return "", fetch.Say(fetch.ErrRefused, "", "%s says of its next page %q", s.endpoint, address)
			}
			// A mirror may pass on the addresses of the hub that it mirrors: what counts is the path.
			return strings.TrimPrefix(to.RequestURI(), s.prefix()), nil
		}
	}
	return "", nil
}

// prefix is the path of the endpoint: of a proxy that serves a hub below one.
func (s *Source) prefix() string {
	u, err := url.Parse(s.endpoint)
	if err != nil {
		return "" // New has parsed it
	}
	return u.Path
}

// admitted asks for a file without reading it.
func (s *Source) admitted(ctx context.Context, a asked, f fetch.File) error {
	r := s.request(a, "")
	r.Method, r.URL, r.Stay = http.MethodHead, f.At, true
	resp, err := s.http.Do(ctx, r)
	if err != nil {
		return s.explain(a, err)
	}
	return resp.Body.Close()
}

func (s *Source) request(a asked, path string) web.Request {
	return web.Request{URL: s.endpoint + path, Credentials: web.Bearer(a.token)}
}

// Open reads a part of a file. Large ones lie in a store beside the hub, which gives them to whoever has an address that the
// hub has signed.
func (s *Source) Open(ctx context.Context, in fetch.Listing, f fetch.File, offset, length int64) (io.ReadCloser, error) {
	token, err := s.token(ctx)
	if err != nil {
		return nil, err
	}
	a := asked{repo: in.Ref.Where, revision: cmp.Or(in.Revision, in.Ref.Revision), token: token}
	part := web.Range{Offset: offset, Length: length, Bytes: f.Bytes}
	if f.Git != "" || f.SHA256 == "" { // a checksum may be known of a small file, too
		r := s.request(a, "")
		r.URL = f.At
		body, _, err := s.http.Read(ctx, r, part)
		return body, s.explain(a, err)
	}
	at, kept, err := s.locate(ctx, a, f)
	if err != nil {
		return nil, err
	}
	body, err := s.read(ctx, a, at, part)
	if kept && (errors.Is(err, fetch.ErrDenied) || errors.Is(err, fetch.ErrNotFound)) { // it was signed too long ago
		s.forget(f.At)
		if at, _, err = s.locate(ctx, a, f); err != nil {
			return nil, err
		}
		body, err = s.read(ctx, a, at, part)
	}
	if err != nil {
		s.forget(f.At)
	}
	return body, err
}

// read opens a part of what lies at an address. The token goes along to the hub alone.
func (s *Source) read(ctx context.Context, a asked, at string, part web.Range) (io.ReadCloser, error) {
	r := web.Request{URL: at}
	if web.SameOrigin(at, s.endpoint) {
		r.Credentials = web.Bearer(a.token)
	}
	body, _, err := s.http.Read(ctx, r, part)
	return body, s.explain(a, err)
}

// locate asks the hub where a large file is, and whether it is still the one that was listed; kept says that it was asked a
// while ago.
func (s *Source) locate(ctx context.Context, a asked, f fetch.File) (at string, kept bool, err error) {
	s.mu.Lock()
	known, ok := s.where[f.At]
	s.mu.Unlock()
	if ok && time.Now().Before(known.until) {
		return known.url, true, nil
	}
	r := s.request(a, "")
	r.Method, r.URL, r.Stay = http.MethodHead, f.At, true
	resp, err := s.http.Do(ctx, r)
	if err != nil {
		return "", false, s.explain(a, err)
	}
	_ = resp.Body.Close() // of a HEAD
	if tag := resp.Header.Get("X-Linked-Etag"); tag != "" && strings.Trim(strings.TrimPrefix(tag, "W/"), `"`) != f.SHA256 {
		return "", false, fetch.Say(fetch.ErrChanged, "", "%s of %s is not the file that was listed: its checksum was %s and is %s", f.Name, a.repo, f.SHA256, tag)
	}
	if size, err := strconv.ParseInt(resp.Header.Get("X-Linked-Size"), 10, 64); err == nil && f.Bytes >= 0 && size != f.Bytes {
		return "", false, fetch.Say(fetch.ErrChanged, "", "%s of %s had %d bytes and has %d", f.Name, a.repo, f.Bytes, size)
	}
	at = f.At // a mirror may serve it itself
	if to, err := resp.Location(); err == nil {
		if strings.HasPrefix(f.At, "https:") && to.Scheme != "https" {
			return "", false, fetch.Say(fetch.ErrRefused, "use an address of the hub that stays with https", "%s sends from https to plain http on %s", s.endpoint, to.Host)
		}
		at = to.String()
	}
	s.remember(f.At, place{at, time.Now().Add(placeHolds)})
	return at, false, nil
}

func (s *Source) remember(file string, p place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.where) >= mostPlaces {
		clear(s.where)
	}
	s.where[file] = p
}

func (s *Source) forget(file string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.where, file)
}

// escape escapes a path without its slashes.
func escape(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return strings.Join(parts, "/")
}

// isCommit says whether a text is one of git's names: 40 hexadecimal digits.
func isCommit(text string) bool {
	return len(text) == 40 && strings.Trim(text, "0123456789abcdef") == ""
}
