package git

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/config"

	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/fetch/web"
)

const (
	mediaType  = "application/vnd.git-lfs+json"
	grantHolds = 10 * time.Minute // where a server does not say how long
	mostGrants = 4096
)

// grant is where a large file may be had for a while, and with what.
type grant struct {
	url    string
	header http.Header
	until  time.Time
}

// openLarge reads a part of a large file. Where the store refuses what the server granted a while ago, it is asked once more.
func (s *Source) openLarge(ctx context.Context, in fetch.Listing, f fetch.File, part web.Range) (io.ReadCloser, error) {
	key := in.Ref.Where + " " + f.SHA256
	s.mu.Lock()
	g, kept := s.granted[key]
	s.mu.Unlock()
	if kept = kept && time.Now().Before(g.until); kept {
		body, _, err := s.http.Read(ctx, web.Request{URL: g.url, Credentials: g.header}, part)
		if !errors.Is(err, fetch.ErrDenied) && !errors.Is(err, fetch.ErrNotFound) {
			return body, err
		}
	}
	g, err := s.batch(ctx, in, f)
	if err != nil {
		return nil, err
	}
	body, _, err := s.http.Read(ctx, web.Request{URL: g.url, Credentials: g.header}, part)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.granted) >= mostGrants {
		clear(s.granted)
	}
	s.granted[key] = g
	return body, nil
}

// stored is one of a batch, as the LFS API has it.
type stored struct {
	OID     string `json:"oid"`
	Size    int64  `json:"size"`
	Actions map[string]struct {
		Href      string            `json:"href"`
		Header    map[string]string `json:"header"`
		ExpiresIn int64             `json:"expires_in"` // seconds
		ExpiresAt time.Time         `json:"expires_at"`
	} `json:"actions,omitempty"`
	Authenticated bool `json:"authenticated,omitempty"`
	Error         *struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

// batch asks the server of large files for one of them.
func (s *Source) batch(ctx context.Context, in fetch.Listing, f fetch.File) (grant, error) {
	at, who, err := s.store(ctx, in)
	if err != nil {
		return grant{}, err
	}
	wish, err := json.Marshal(map[string]any{
		"operation": "download", "transfers": []string{"basic"}, "hash_algo": "sha256", "objects": []map[string]any{{"oid": f.SHA256, "size": max(f.Bytes, 0)}},
	})
	if err != nil {
		return grant{}, err
	}
	var answer struct {
		Transfer string   `json:"transfer"`
		Objects  []stored `json:"objects"`
	}
	_, err = s.http.JSON(ctx, web.Request{
		Method: http.MethodPost, URL: at + "/objects/batch", Body: wish, Credentials: who.basic(),
		Header: http.Header{"Accept": {mediaType}, "Content-Type": {mediaType}},
	}, &answer)
	if refused, is := errors.AsType[*web.Error](err); is && refused.Status == http.StatusNotFound {
		return grant{}, fetch.Say(fetch.ErrNotFound, "its publisher keeps large files elsewhere, or not at all",
			"%s keeps %s by LFS, and its server has no LFS at %s", in.Ref.Where, f.Name, at)
	}
	if err != nil {
		return grant{}, explain(ctx, in.Ref.Where, who, err)
	}
	if t := answer.Transfer; t != "" && t != "basic" {
		return grant{}, fetch.Say(fetch.ErrRefused, "", "the LFS of %s wants large files fetched by %q, which is not known here", in.Ref.Where, t)
	}
	if len(answer.Objects) != 1 || answer.Objects[0].OID != f.SHA256 {
		return grant{}, fetch.Say(fetch.ErrRefused, "", "the LFS of %s does not answer what it was asked for %s", in.Ref.Where, f.Name)
	}
	return granted(in, f, answer.Objects[0], who, at)
}

// granted reads the answer for one file.
func granted(in fetch.Listing, f fetch.File, o stored, who logIn, at string) (grant, error) {
	if e := o.Error; e != nil {
		kind, hint := fetch.ErrRefused, ""
		switch e.Code {
		case http.StatusNotFound, http.StatusGone:
			kind, hint = fetch.ErrNotFound, "its publisher may have forgotten git lfs push --all"
		case http.StatusUnauthorized, http.StatusForbidden:
			kind, hint = fetch.ErrDenied, "palisade registry login "+who.host+" -u USER keeps a log-in, for git too"
		}
		return grant{}, fetch.Say(kind, hint, "the LFS of %s does not give %s: %d %s", in.Ref.Where, f.Name, e.Code, e.Message)
	}
	download, ok := o.Actions["download"]
	if !ok {
		return grant{}, fetch.Say(fetch.ErrNotFound, "its publisher may have forgotten git lfs push --all", "the LFS of %s does not say where %s is", in.Ref.Where, f.Name)
	}
	to, err := url.Parse(download.Href)
	if err != nil || to.Host == "" || to.Scheme != "https" && (to.Scheme != "http" || strings.HasPrefix(at, "https:")) {
		return grant{}, fetch.Say(fetch.ErrRefused, "", "the LFS of %s says that %s is at an address that is not taken: over plain http, or none", in.Ref.Where, f.Name)
	}
	g := grant{url: download.Href, header: http.Header{}, until: time.Now().Add(grantHolds)}
	for name, value := range download.Header {
		g.header.Set(name, value)
	}
	if len(g.header) == 0 && !o.Authenticated && web.SameOrigin(download.Href, at) {
		g.header = who.basic()
	}
	// Half of what is left: a part that is begun late goes on for a while.
	switch {
	case download.ExpiresIn > 0:
		g.until = time.Now().Add(time.Duration(min(download.ExpiresIn, 3600)) * time.Second / 2)
	case !download.ExpiresAt.IsZero():
		g.until = time.Now().Add(min(time.Until(download.ExpiresAt), time.Hour) / 2)
	}
	return g, nil
}

// store is where the large files of a repository are asked for, and who asks. The log-in is that of the store's host.
func (s *Source) store(ctx context.Context, in fetch.Listing) (at string, who logIn, err error) {
	c, err := s.cloned(ctx, in.Ref.Where, plumbing.NewHash(in.Revision), nil)
	if err == nil {
		if at, err = c.configured(); err != nil {
			return "", logIn{}, err
		}
	} // else swept: the repository's own is as good as any
	if at != "" && strings.HasPrefix(in.Ref.Where, "https:") && !strings.HasPrefix(at, "https:") {
		return "", logIn{}, fetch.Say(fetch.ErrRefused, "", "%s keeps its large files at an address that is not https", in.Ref.Where)
	}
	if at = strings.TrimRight(at, "/"); at == "" {
		at = strings.TrimSuffix(strings.TrimRight(in.Ref.Where, "/"), ".git") + ".git/info/lfs"
	}
	who, err = s.logIn(ctx, at)
	return at, who, err
}

// storeOf reads .lfsconfig.
func storeOf(text []byte) string {
	read := config.New()
	if err := config.NewDecoder(bytes.NewReader(text)).Decode(read); err != nil {
		return "" // git-lfs does without it, too
	}
	// A query would take what is added to the path, and the log-in would be used for whatever the repository wants.
	at := cmp.Or(read.Section("lfs").Option("url"), read.Section("remote").Subsection("origin").Option("lfsurl"))
	if u, err := url.Parse(at); err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "http" && u.Scheme != "https" {
		return ""
	}
	return at
}

func (l logIn) basic() http.Header {
	if l.password == "" {
		return nil
	}
	r := http.Request{Header: http.Header{}}
	r.SetBasicAuth(l.user, l.password)
	return r.Header
}
