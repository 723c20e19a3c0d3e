package git

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"syscall"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"

	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/fetch/web"
)

// Options of a Source.
type Options struct {
	// Dir is where repositories lie while models are fetched from them: what git itself holds, without the large files. What
	// nobody asks for is removed after a week.
	Dir string
	// LogIn returns who logs in to a host and with what; an empty password where nothing is kept. Nil: there is none.
	LogIn func(ctx context.Context, host string) (user, password string, err error)
	// PlainHTTP are hosts, with their ports, that a log-in is sent to without TLS. On loopback it is anyhow.
	PlainHTTP []string
	// MaxPack is how many bytes are taken of git itself, of one commit; 0: 1 GiB. Large files do not count.
	MaxPack int64
	HTTP    *web.Client
}

// Source is all git repositories that can be had over HTTP. It implements fetch.Source.
type Source struct {
	dir       string
	maxPack   int64
	plain     []string
	who       func(ctx context.Context, host string) (user, password string, err error)
	http      *web.Client
	transport transport.Transport

	mu      sync.Mutex
	busy    map[string]chan struct{} // directories that are being filled
	granted map[string]grant         // by checksum and repository: where a large file may be had
}

// New makes one.
func New(o Options) *Source {
	s := &Source{
		dir: o.Dir, maxPack: cmp.Or(o.MaxPack, 1<<30), plain: o.PlainHTTP, who: o.LogIn, http: o.HTTP,
		busy: map[string]chan struct{}{}, granted: map[string]grant{},
	}
	if s.who == nil {
		s.who = func(context.Context, string) (string, string, error) { return "", "", nil }
	}
	if s.http == nil {
		s.http = web.New(web.Options{})
	}
	s.transport = githttp.NewClient(&http.Client{Transport: carrier{s.http}})
	return s
}

// carrier lets the one client of all places carry git's requests. Redirects are git's own business: it follows only the
// first, and leaves the log-in behind.
type carrier struct{ http *web.Client }

const largestWish = 16 << 20 // bytes of a request: wants of a repository with 300,000 branches

func (c carrier) RoundTrip(r *http.Request) (*http.Response, error) {
	out := web.Request{Method: r.Method, URL: r.URL.String(), Header: r.Header.Clone(), Stay: true}
	out.Header.Del("Host")           // go-git adds it; it is not one for a request
	out.Header.Del("Content-Length") // of the body, which is whole here
	if r.Body != nil {
		text, err := io.ReadAll(io.LimitReader(r.Body, largestWish))
		_ = r.Body.Close()
		if err != nil {
			return nil, err
		}
		out.Body = text
	}
	answer, err := c.http.Do(r.Context(), out)
	if err != nil {
		return nil, err
	}
	answer.Request = r // by which git knows where it was redirected to
	return answer, nil
}

// logIn is who asks.
type logIn struct{ host, user, password string }

// logIn finds out who logs in to the host of an address.
func (s *Source) logIn(ctx context.Context, where string) (logIn, error) {
	u, err := url.Parse(where)
	if err != nil {
		return logIn{}, fetch.Say(fetch.ErrRef, "", "that is no address of a repository")
	}
	user, password, err := s.who(ctx, u.Host)
	if err != nil {
		return logIn{}, fmt.Errorf("the log-in for %s: %w", u.Host, err)
	}
	if password != "" && web.Exposed(u, s.plain) {
		return logIn{}, fetch.Say(fetch.ErrRefused, "write git+https://, or list the host in the settings under containerd.insecure_registries",
			"the log-in that is kept for %s is not sent over plain http", u.Host)
	}
	return logIn{u.Host, cmp.Or(user, "git"), password}, nil // servers that take tokens do not look at the name
}

// List fetches what git itself holds of a commit, and lists its files: those in git by git's checksum, large ones by theirs.
func (s *Source) List(ctx context.Context, ref fetch.Ref) (fetch.Listing, error) {
	a, err := s.ask(ctx, ref.Where)
	if err != nil {
		return fetch.Listing{}, err
	}
	commit, err := a.resolve(ref.Where, ref.Revision)
	if err != nil {
		return fetch.Listing{}, err
	}
	c, err := s.cloned(ctx, ref.Where, commit, a)
	if err != nil {
		return fetch.Listing{}, err
	}
	files, err := c.files(ctx)
	if err != nil {
		return fetch.Listing{}, fmt.Errorf("reading %s at %s: %w", ref.Where, commit, err)
	}
	if files, err = fetch.Sorted(files); err != nil {
		return fetch.Listing{}, fetch.Say(fetch.ErrRefused, "tell its publisher; nothing was fetched", "%s: %v", ref.Where, err)
	}
	return fetch.Listing{Ref: ref, Revision: commit.String(), Files: files}, nil
}

// Open reads a part of a file: of a large one from the store that the server names, of another one from what was fetched.
func (s *Source) Open(ctx context.Context, in fetch.Listing, f fetch.File, offset, length int64) (io.ReadCloser, error) {
	if f.Git == "" { // a checksum may be known of what git itself holds, too
		return s.openLarge(ctx, in, f, web.Range{Offset: offset, Length: length, Bytes: f.Bytes})
	}
	commit := plumbing.NewHash(in.Revision)
	c, err := s.cloned(ctx, in.Ref.Where, commit, nil)
	if errors.Is(err, os.ErrNotExist) { // swept since it was listed, or listed by another process
		a, asked := s.ask(ctx, in.Ref.Where)
		if asked != nil {
			return nil, asked
		}
		c, err = s.cloned(ctx, in.Ref.Where, commit, a)
	}
	if err != nil {
		return nil, err
	}
	return c.blob(plumbing.NewHash(f.Git), offset, length)
}

// explain puts what went wrong into words that say what to do.
func explain(ctx context.Context, where string, who logIn, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if hidden, is := errors.AsType[*plumbing.UnexpectedError](err); is {
		err = hidden.Err
	}
	logIn := "palisade registry login " + who.host + " -u USER keeps a log-in, for git too"
	if errors.Is(err, transport.ErrEmptyRemoteRepository) {
		return fetch.Say(fetch.ErrNotFound, "", "%s is empty", where)
	}
	if errors.Is(err, errHuge) {
		return fetch.Say(fetch.ErrRefused, "its publisher should keep large files by LFS", "%s has %v", where, err)
	}
	answer, is := errors.AsType[*web.Error](err)
	switch {
	case !is && (errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, fetch.ErrTruncated)):
		return fmt.Errorf("fetching %s: %w", where, fetch.ErrTruncated)
	case !is && errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("fetching %s: %w: %w", where, fetch.ErrNoSpace, err)
	case !is && isOutside(err):
		return fmt.Errorf("fetching %s: %w", where, err)
	case !is:
		return fetch.Say(fetch.ErrRefused, "is it the address of a git repository? Old servers that only give out files are not understood",
			"%s does not answer as git does: %v", where, err)
	case answer.Status == http.StatusUnauthorized && who.password == "":
		return fetch.Say(fetch.ErrDenied, "is the address right? "+logIn, "%s wants a log-in for %s, or has no such repository", who.host, where)
	case answer.Status == http.StatusUnauthorized || answer.Status == http.StatusForbidden && who.password != "":
		return fetch.Say(fetch.ErrDenied, "may it read the repository, and has it not run out? "+logIn, "%s refuses the log-in that is kept for it", who.host)
	case answer.Status == http.StatusNotFound:
		return fetch.Say(fetch.ErrNotFound, "is the address right? Some servers say the same of what needs a log-in: "+logIn, "%s has no repository %s", who.host, where)
	}
	return err
}

// isOutside says whether an error is of the network or of the disk, and not of git's words.
func isOutside(err error) bool {
	_, network := errors.AsType[net.Error](err)
	_, disk := errors.AsType[*fs.PathError](err)
	_, later := errors.AsType[*fetch.Later](err)
	return network || disk || later
}

// blob reads a part of what git itself holds.
func (c clone) blob(hash plumbing.Hash, offset, length int64) (io.ReadCloser, error) {
	object, err := c.objects.EncodedObject(plumbing.BlobObject, hash)
	if errors.Is(err, plumbing.ErrObjectNotFound) {
		return nil, fetch.Say(fetch.ErrChanged, "", "the commit does not have that file any more")
	}
	if err != nil {
		return nil, fmt.Errorf("reading out of git: %w", err)
	}
	from, err := object.Reader()
	if err != nil {
		return nil, fmt.Errorf("reading out of git: %w", err)
	}
	if _, err := io.CopyN(io.Discard, from, offset); err != nil && !errors.Is(err, io.EOF) {
		_ = from.Close()
		return nil, fmt.Errorf("reading out of git: %w", err)
	}
	if length < 0 {
		return from, nil
	}
	return part{io.LimitReader(from, length), from}, nil
}

type part struct {
	io.Reader
	io.Closer
}

// text reads a small file of git's.
func (c clone) text(hash plumbing.Hash, most int64) ([]byte, error) {
	from, err := c.blob(hash, 0, most)
	if err != nil {
		return nil, err
	}
	defer from.Close()
	var out bytes.Buffer
	_, err = out.ReadFrom(from)
	return out.Bytes(), err
}
