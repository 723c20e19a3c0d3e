package git

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"github.com/palisade-run/palisade/catalog/fetch"
)

const (
	keptFor = 7 * 24 * time.Hour // a clone that nobody asked for meanwhile goes
	begun   = "begun-"           // a directory that is being filled
	fresh   = 24 * time.Hour     // what was begun longer ago nobody fills any more
)

// clone is one commit of a repository as it lies here: its objects, without a work tree, so that nothing of it is ever run.
type clone struct {
	objects *filesystem.Storage
	commit  plumbing.Hash
}

// cloned returns one commit of a repository: the one that is kept, or else fetched now. Two that want the same fetch it once:
// the second one waits. Without a conversation, what is not kept is os.ErrNotExist.
func (s *Source) cloned(ctx context.Context, where string, commit plumbing.Hash, a *asking) (clone, error) {
	dir := filepath.Join(s.dir, key(where, commit))
	for {
		s.mu.Lock()
		if _, err := os.Stat(dir); err == nil {
			s.mu.Unlock()
			now := time.Now()
			_ = os.Chtimes(dir, now, now) // it is in use; where that cannot be said it is fetched again some day
			return open(dir, commit), nil
		}
		if a == nil {
			s.mu.Unlock()
			return clone{}, fmt.Errorf("the clone of %s: %w", where, os.ErrNotExist)
		}
		others, busy := s.busy[dir]
		if !busy {
			done := make(chan struct{})
			s.busy[dir] = done
			s.mu.Unlock()
			err := s.make(ctx, where, dir, commit, a)
			s.mu.Lock()
			delete(s.busy, dir)
			s.mu.Unlock()
			close(done)
			return open(dir, commit), err
		}
		s.mu.Unlock()
		select {
		case <-others:
		case <-ctx.Done():
			return clone{}, context.Cause(ctx)
		}
	}
}

// make fetches a commit into a directory of its own, which gets its name once it is whole.
func (s *Source) make(ctx context.Context, where, dir string, commit plumbing.Hash, a *asking) error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return fmt.Errorf("a place for clones: %w", err)
	}
	if err := s.sweep(time.Now()); err != nil {
		return err
	}
	filling, err := os.MkdirTemp(s.dir, begun)
	if err != nil {
		return fmt.Errorf("a place for the clone of %s: %w", where, err)
	}
	defer os.RemoveAll(filling) // what is left is swept
	if err := s.fill(ctx, where, filling, commit, a); err != nil {
		return err
	}
	if err := os.Rename(filling, dir); err != nil {
		return fmt.Errorf("keeping the clone of %s: %w", where, err)
	}
	return nil
}

func key(where string, commit plumbing.Hash) string {
	sum := sha256.Sum256([]byte(where))
	return hex.EncodeToString(sum[:8]) + "-" + commit.String()
}

func open(dir string, commit plumbing.Hash) clone {
	// Nothing larger than a pointer is held in memory.
	options := filesystem.Options{LargeObjectThreshold: 64 << 10}
	return clone{filesystem.NewStorageWithOptions(osfs.New(dir), cache.NewObjectLRU(8*cache.MiByte), options), commit}
}

// sweep removes what nobody has asked for in a long time, and what a crash left.
func (s *Source) sweep(now time.Time) error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("looking for old clones: %w", err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			continue // it went meanwhile
		}
		age := now.Sub(info.ModTime())
		if age > keptFor || age > fresh && strings.HasPrefix(e.Name(), begun) {
			if err := os.RemoveAll(filepath.Join(s.dir, e.Name())); err != nil {
				return fmt.Errorf("removing an old clone: %w", err)
			}
		}
	}
	return nil
}

// asking is a conversation with a server: what it has, and how to go on.
type asking struct {
	session transport.UploadPackSession
	has     *packp.AdvRefs
	who     logIn
}

// ask opens a conversation. Where the server sends it to another host, the log-in does not go along.
func (s *Source) ask(ctx context.Context, where string) (*asking, error) {
	endpoint, err := transport.NewEndpoint(where)
	if err != nil {
		return nil, fetch.Say(fetch.ErrRef, "", "%s is no address of a repository", where)
	}
	who, err := s.logIn(ctx, where)
	if err != nil {
		return nil, err
	}
	var auth transport.AuthMethod
	if who.password != "" {
		auth = &githttp.BasicAuth{Username: who.user, Password: who.password}
	}
	session, err := s.transport.NewUploadPackSession(endpoint, auth)
	if err != nil {
		return nil, explain(ctx, where, who, err)
	}
	has, err := session.AdvertisedReferencesContext(ctx)
	if err != nil {
		return nil, explain(ctx, where, who, err)
	}
	return &asking{session, has, who}, nil
}

// resolve finds the commit that a revision names; "" is what the repository shows first.
func (a *asking) resolve(where, revision string) (plumbing.Hash, error) {
	if revision == "" {
		if a.has.Head == nil {
			return plumbing.ZeroHash, fetch.Say(fetch.ErrNotFound, "write git+"+where+"@BRANCH", "%s does not say which branch is its first", where)
		}
		return *a.has.Head, nil
	}
	for _, name := range []string{"refs/heads/" + revision, "refs/tags/" + revision, revision} {
		if to, ok := a.has.Peeled[name]; ok { // a tag with words of its own: what it is of
			return to, nil
		}
		if to, ok := a.has.References[name]; ok {
			return to, nil
		}
	}
	if plumbing.IsHash(revision) {
		return plumbing.NewHash(strings.ToLower(revision)), nil
	}
	hint := "it has " + a.some()
	if len(revision) >= 7 && strings.Trim(revision, "0123456789abcdef") == "" {
		hint = "a commit is written with all of its 40 digits"
	}
	return plumbing.ZeroHash, fetch.Say(fetch.ErrNotFound, hint, "%s has no branch or tag %s", where, revision)
}

// some names a few branches and tags.
func (a *asking) some() string {
	names := []string{}
	for name := range a.has.References {
		if short, is := strings.CutPrefix(name, "refs/heads/"); is {
			names = append(names, short)
		} else if short, is := strings.CutPrefix(name, "refs/tags/"); is {
			names = append(names, short)
		}
	}
	slices.Sort(names)
	if more := len(names) - 8; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:8], ", "), more)
	}
	return strings.Join(names, ", ")
}

// fill fetches what a commit needs: it alone where the server gives single commits, else all that leads to it.
func (s *Source) fill(ctx context.Context, where, dir string, commit plumbing.Hash, a *asking) error {
	c := open(dir, commit)
	request := packp.NewUploadPackRequestFromCapabilities(a.has.Capabilities)
	if a.offered(c.commit) {
		request.Wants = []plumbing.Hash{c.commit}
		if a.has.Capabilities.Supports(capability.Shallow) {
			request.Depth = packp.DepthCommits(1)
			_ = request.Capabilities.Set(capability.Shallow)
		}
	} else { // a commit that no name points to, on a server that gives only what has a name: it must be among those
		for _, hash := range a.has.References {
			request.Wants = append(request.Wants, hash)
		}
	}
	if a.has.Capabilities.Supports(capability.NoProgress) {
		_ = request.Capabilities.Set(capability.NoProgress)
	}
	answer, err := a.session.UploadPack(ctx, request)
	if err != nil && strings.Contains(err.Error(), "not our ref") { // git's words for a commit that it does not have, or keeps to itself
		return fetch.Say(fetch.ErrNotFound, "", "%s has no commit %s", where, c.commit)
	}
	if err != nil {
		return explain(ctx, where, a.who, err)
	}
	defer answer.Close()
	if err := s.unpack(ctx, c, dir, demux(request.Capabilities, answer)); err != nil {
		return explain(ctx, where, a.who, err)
	}
	if err := c.objects.HasEncodedObject(c.commit); err != nil {
		return fetch.Say(fetch.ErrNotFound, "", "%s has no commit %s", where, c.commit)
	}
	return nil
}

// offered says whether the server gives this very commit.
func (a *asking) offered(commit plumbing.Hash) bool {
	if a.has.Capabilities.Supports(capability.AllowReachableSHA1InWant) || a.has.Head != nil && *a.has.Head == commit {
		return true
	}
	for _, hash := range a.has.References {
		if hash == commit {
			return true
		}
	}
	for name, hash := range a.has.Peeled {
		if _, ok := a.has.References[name]; ok && hash == commit {
			return a.has.Capabilities.Supports(capability.AllowTipSHA1InWant)
		}
	}
	return false
}

func demux(capabilities *capability.List, answer io.Reader) io.Reader {
	switch {
	case capabilities.Supports(capability.Sideband64k):
		return sideband.NewDemuxer(sideband.Sideband64k, answer)
	case capabilities.Supports(capability.Sideband):
		return sideband.NewDemuxer(sideband.Sideband, answer)
	}
	return answer
}
