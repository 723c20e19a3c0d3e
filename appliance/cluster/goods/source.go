package goods

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/folders"
)

// peers are the boxes from which one version of a folder comes. It is a fetch.Source: the Fetcher asks it for ranges, and each
// goes to the nearest box that has it and is not in trouble.
type peers struct {
	*Goods
	want     Want
	manifest Manifest

	mu     sync.Mutex
	boxes  []*peer
	served map[string]map[string]bool // by checksum: the boxes that gave some of it
	alone  map[string]bool            // by checksum: one box alone is asked for it, so that it is known who gives something else
	looked time.Time                  // when it was last looked who has it
}

// peer is one of them.
type peer struct {
	name  string
	near  time.Duration // what an answer takes
	busy  int           // ranges that come from it
	until time.Time     // until when it is not asked; for good where it is false
	false bool          // it gives something else than it says
}

const (
	troublePause = 5 * time.Second // in which a box that has failed is not asked
	lookEvery    = 2 * time.Second // at who else has it, while nobody can be asked
	mostLooked   = 16              // boxes that are asked whether they have it
)

// look asks around who has it. Those that said so, and its home, come first.
func (p *peers) look(ctx context.Context, version string) []*peer {
	boxes := p.Boxes()
	known := func(b Box) int {
		switch {
		case slices.Contains(b.Has, p.want.ID+"@"+version) || version == "" && slices.ContainsFunc(b.Has, func(has string) bool { return strings.HasPrefix(has, p.want.ID+"@") }):
			return 0
		case b.Name == p.want.Home:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(boxes, func(a, b Box) int { return known(a) - known(b) })
	boxes = boxes[:min(len(boxes), mostLooked)]
	var group sync.WaitGroup
	found := make([]*peer, len(boxes))
	for i, b := range boxes {
		group.Go(func() {
			near, err := p.have(ctx, b.Name, p.want.ID, version)
			if err == nil {
				found[i] = &peer{name: b.Name, near: near}
			}
		})
	}
	group.Wait()
	found = slices.DeleteFunc(found, func(p *peer) bool { return p == nil })
	slices.SortStableFunc(found, func(a, b *peer) int { return int(a.near - b.near) })
	return found
}

// again looks who has it now, and takes up those that were not known; those that are known may be asked again.
func (p *peers) again(ctx context.Context) {
	p.mu.Lock()
	soon := time.Since(p.looked) < lookEvery
	p.looked = time.Now()
	p.mu.Unlock()
	if soon {
		return
	}
	found := p.look(ctx, p.manifest.Version)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range found {
		if i := slices.IndexFunc(p.boxes, func(b *peer) bool { return b.name == f.name }); i < 0 {
			p.boxes = append(p.boxes, f)
		} else if b := p.boxes[i]; !b.false {
			b.near, b.until = f.near, time.Time{}
		}
	}
}

// pick takes the box that is to be asked next: of those that are about as near as the nearest one, the least busy. nil: there is
// none.
func (p *peers) pick(sum string) *peer {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	var can []*peer
	for _, b := range p.boxes {
		if !b.false && !now.Before(b.until) {
			can = append(can, b)
		}
	}
	if len(can) == 0 {
		return nil
	}
	if p.alone[sum] {
		if at := slices.IndexFunc(can, func(b *peer) bool { return p.served[sum][b.name] }); at >= 0 {
			can = can[at : at+1]
		}
	}
	nearest := slices.MinFunc(can, func(a, b *peer) int { return int(a.near - b.near) }).near
	can = slices.DeleteFunc(can, func(b *peer) bool { return b.near > 2*nearest+time.Millisecond })
	best := slices.MinFunc(can, func(a, b *peer) int { return a.busy - b.busy })
	best.busy++
	if p.served[sum] == nil {
		p.served[sum] = map[string]bool{}
	}
	p.served[sum][best.name] = true
	return best
}

func (p *peers) done(b *peer, trouble bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if b.busy--; trouble {
		b.until = time.Now().Add(troublePause)
	}
}

// gaveWrong is told that a file was something else than it should be. Where several boxes gave it, one is asked for all of it;
// else that one is not asked again for anything. It returns who was told apart, and whether anybody is left to be asked.
func (p *peers) gaveWrong(sum string) (who string, left bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	by := slices.Sorted(maps.Keys(p.served[sum]))
	delete(p.served, sum)
	if len(by) > 1 {
		p.alone[sum] = true
		return strings.Join(by, " or "), true
	}
	for _, b := range p.boxes {
		if slices.Contains(by, b.name) {
			b.false = true
			p.Log.Warn("a box gives something else than it says that it has; it is not asked again for this folder", "box", b.name, "folder", p.want.Name)
		}
		left = left || !b.false
	}
	return strings.Join(by, ""), left && len(by) > 0
}

// from says from whom it comes, for people.
func (p *peers) from() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var names, all []string
	for _, b := range p.boxes {
		if b.busy > 0 {
			names = append(names, b.name)
		}
		all = append(all, b.name)
	}
	if len(names) == 0 {
		names = all[:min(1, len(all))]
	}
	slices.Sort(names)
	return strings.Join(names, " and ")
}

// listing is the version as the Fetcher takes it: each content once, whatever its names.
func (p *peers) listing() fetch.Listing {
	in := fetch.Listing{Ref: fetch.Ref{Scheme: "box", Where: p.want.ID}, Revision: p.manifest.Version}
	seen := map[string]bool{}
	for _, f := range p.manifest.Files {
		if !seen[f.SHA256] {
			in.Files = append(in.Files, fetch.File{Name: f.SHA256, Bytes: f.Bytes, SHA256: f.SHA256, At: f.Name})
		}
		seen[f.SHA256] = true
	}
	return in
}

// List implements fetch.Source.
func (p *peers) List(context.Context, fetch.Ref) (fetch.Listing, error) { return p.listing(), nil }

// Open implements fetch.Source: one box after the other is asked, until one gives it.
func (p *peers) Open(ctx context.Context, _ fetch.Listing, f fetch.File, offset, length int64) (io.ReadCloser, error) {
	var failed error
	for range mostLooked {
		b := p.pick(f.SHA256)
		if b == nil {
			break
		}
		body, err := p.open(ctx, b.name, f, offset, length)
		if err == nil {
			return &piece{ReadCloser: body, peers: p, peer: b}, nil
		}
		p.done(b, true)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		p.Log.Debug("a box does not give what is asked of it", "box", b.name, "error", err)
		failed = errors.Join(failed, err)
	}
	p.again(ctx)
	if errors.Is(failed, folders.ErrChanged) || errors.Is(failed, folders.ErrNotFound) {
		// Whoever had it has another version now.
		return nil, &fault{kind: fetch.ErrRefused, text: failed.Error(), hint: "the next try brings it as it is"}
	}
	if failed == nil {
		return nil, fmt.Errorf("no box can be asked for folder %s: %w", p.want.Name, ErrAway)
	}
	return nil, failed
}

// open asks one box for a range.
func (p *peers) open(ctx context.Context, box string, f fetch.File, offset, length int64) (io.ReadCloser, error) {
	last := f.Bytes - 1
	if length >= 0 {
		last = min(last, offset+length-1)
	}
	header := http.Header{}
	if offset <= last {
		header.Set("Range", fmt.Sprintf("bytes=%d-%d", offset, last))
	}
	answer, err := p.ask(ctx, box, call{method: http.MethodGet, path: pathFile, query: url.Values{"folder": {p.want.ID}, "name": {f.At}, "sum": {f.SHA256}}, header: header})
	if err != nil {
		return nil, err
	}
	if offset > last {
		return answer.Body, nil
	}
	if got, want := answer.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-%d/%d", offset, last, f.Bytes); got != want {
		return nil, errors.Join(&fault{kind: folders.ErrChanged, text: fmt.Sprintf("box %s gives bytes %q of %s, %q were asked for", box, got, f.At, want)}, answer.Body.Close())
	}
	return answer.Body, nil
}

// piece is a range that comes.
type piece struct {
	io.ReadCloser
	peers   *peers
	peer    *peer
	trouble bool
	once    sync.Once
}

// Read implements io.Reader.
func (c *piece) Read(b []byte) (int, error) {
	n, err := c.ReadCloser.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		c.trouble = true
	}
	return n, err
}

// Close implements io.Closer.
func (c *piece) Close() error {
	c.once.Do(func() { c.peers.done(c.peer, c.trouble) })
	return c.ReadCloser.Close()
}

// newPeers are those of a folder, of whom nobody is known yet.
func (g *Goods) newPeers(w Want) *peers {
	return &peers{Goods: g, want: w, served: map[string]map[string]bool{}, alone: map[string]bool{}}
}
