package containerd

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/palisade-run/palisade/sessions"
)

const (
	fetchAttempts = 4 // in a row that bring nothing new
	firstPause    = 500 * time.Millisecond
)

// fetch is one pull. What it fetches is held by a lease; when it fails, all that came goes with the lease, and the
// parts that were under way are dropped.
func (r *Runtime) fetch(ctx context.Context, named reference.Named, mirrors []Mirror, tell func(sessions.Progress)) error {
	ctx = quiet(r.in(ctx))
	fail := func(f *fetching, err error) error {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return fmt.Errorf("pulling %s: %w", reference.FamiliarString(named), f.explain(err))
	}
	f := &fetching{runtime: r, name: named, tell: tell, layers: map[string]bool{}}
	asked := reference.Domain(named)
	if len(mirrors) > 0 {
		asked = "box " + mirrors[0].Host
	}
	tell(sessions.Progress{Message: "asking " + asked})
	reg, err := r.registryOf(ctx, reference.Domain(named), mirrors)
	if err != nil {
		return fail(f, err)
	}
	f.registry = reg
	held, release, err := r.hold(ctx)
	if err != nil {
		return fail(f, err)
	}
	begin := time.Now()
	came := int64(0)
	for attempt := 1; ; attempt++ {
		if err = f.attempt(held); err == nil || ctx.Err() != nil || !passing(err) {
			break
		}
		if now := f.progress().Done; now > came {
			came, attempt = now, 1
		}
		if attempt == fetchAttempts {
			break
		}
		if statusOf(err) == http.StatusRequestedRangeNotSatisfiable { // it sends parts as a whole or not at all
			r.abort(held, f.refs())
		}
		pause := firstPause << (attempt - 1)
		r.log.Warn("pulling was interrupted, and goes on", "image", named.String(), "in", pause, "err", err)
		f.say(fmt.Sprintf("interrupted, trying again in %v", pause))
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
	if err != nil {
		release(f.refs())
		return fail(f, err)
	}
	r.log.Info("image pulled", "image", named.String(), "took", time.Since(begin).Round(time.Millisecond))
	release(nil)
	return nil
}

// fetching is one pull's state.
type fetching struct {
	runtime  *Runtime
	name     reference.Named
	registry *registry // nil until it is known
	tell     func(sessions.Progress)

	mu       sync.Mutex
	parts    []ocispec.Descriptor // config and layers of the one manifest
	layers   map[string]bool      // by digest: whether it is here whole
	under    map[string]int64     // by reference: how much is here of what is on its way
	all      []ocispec.Descriptor // manifests too
	resolved bool                 // the registry has shown the image
}

// attempt fetches and unpacks, or goes on with it.
func (f *fetching) attempt(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		f.watch(ctx)
	}()
	defer func() { cancel(); <-watched }()
	_, err := f.runtime.client.Pull(ctx, f.name.String(),
		client.WithResolver(f.registry.resolver), client.WithPullUnpack, client.WithPullSnapshotter(f.runtime.cfg.Snapshotter),
		client.WithPlatformMatcher(matcher()), client.WithMaxConcurrentDownloads(3), client.WithImageHandlerWrapper(f.wrap))
	return err
}

// wrap looks at what comes before the layers do:
//  1. an index without this box's platform, and
//  2. an image that is none, or of another platform, end the pull;
//  3. the manifest says how much there is to fetch.
func (f *fetching) wrap(h images.Handler) images.Handler {
	return images.HandlerFunc(func(ctx context.Context, d ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		f.seen(d)
		if !images.IsLayerType(d.MediaType) { // it is fetched as a whole, and read into memory
			if err := modestly(d, d.Size); err != nil {
				return nil, err
			}
		}
		children, err := h.Handle(ctx, d)
		store := f.runtime.client.ContentStore()
		switch {
		case images.IsIndexType(d.MediaType) && (errdefs.IsNotFound(err) || err == nil && len(children) == 0): // 1
			have, listErr := availablePlatforms(ctx, store, d, false)
			if listErr != nil {
				return nil, errors.Join(err, listErr)
			}
			return nil, wrongPlatform(have)
		case err != nil || !images.IsManifestType(d.MediaType):
			return children, err
		}
		for _, c := range children { // 2
			if !images.IsConfigType(c.MediaType) {
				continue
			}
			f.seen(c)
			if err := modestly(c, c.Size); err != nil {
				return nil, err
			}
			if _, err := h.Handle(ctx, c); err != nil {
				return nil, err
			}
			p, err := images.ConfigPlatform(ctx, store, c)
			if err != nil {
				return nil, err
			}
			if !matcher().Match(p) {
				return nil, wrongPlatform([]string{platforms.Format(p)})
			}
			f.manifest(children) // 3
			return children, nil
		}
		return nil, &Error{
			Err:  fmt.Errorf("it is no container image but something else that the registry keeps: %w", sessions.ErrInvalid),
			What: "models and charts may be kept in registries, too: look for the name of an image",
		}
	})
}

func wrongPlatform(have []string) error {
	box := platforms.Format(platforms.DefaultSpec())
	there := strings.Join(have, ", ")
	if there == "" {
		there = "no platform that is known"
	}
	return &Error{
		Err:  fmt.Errorf("%w: it is there for %s, and this box is %s", sessions.ErrImagePlatform, there, box),
		What: "look for a tag that is built for " + box,
	}
}

func (f *fetching) seen(d ocispec.Descriptor) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.resolved = true
	f.all = append(f.all, d)
}

func (f *fetching) manifest(parts []ocispec.Descriptor) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.parts = slices.Clone(parts)
	f.all = append(f.all, parts...)
}

// refs are the names under which containerd keeps parts that are under way.
func (f *fetching) refs() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := []string{}
	for _, d := range f.all {
		if ref := remotes.MakeRefKey(context.Background(), d); !slices.Contains(out, ref) {
			out = append(out, ref)
		}
	}
	return out
}

// say tells of something else than bytes.
func (f *fetching) say(message string) {
	p := f.progress()
	p.Message = message
	f.tell(p)
}

// watch tells how far the pull is, until ctx ends.
func (f *fetching) watch(ctx context.Context) {
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			f.look(context.WithoutCancel(ctx))
			return
		case <-tick.C:
			f.look(ctx)
		}
	}
}

// look asks containerd which parts are here, and which are on their way.
func (f *fetching) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	store := f.runtime.client.ContentStore()
	under, err := store.ListStatuses(ctx)
	if err != nil {
		return // the pull itself will say so
	}
	done := map[string]int64{}
	for _, s := range under {
		done[s.Ref] = s.Offset
	}
	f.mu.Lock()
	parts := f.parts
	f.under = done
	f.mu.Unlock()
	for _, d := range parts {
		f.mu.Lock()
		whole := f.layers[d.Digest.String()]
		f.mu.Unlock()
		if _, fetching := done[remotes.MakeRefKey(ctx, d)]; whole || fetching {
			continue
		}
		if _, err := store.Info(ctx, d.Digest); err == nil {
			f.mu.Lock()
			f.layers[d.Digest.String()] = true
			f.mu.Unlock()
		}
	}
	if len(parts) > 0 {
		f.tell(f.progress())
	}
}

// progress sums up what the last look has seen.
func (f *fetching) progress() sessions.Progress {
	f.mu.Lock()
	defer f.mu.Unlock()
	var p sessions.Progress
	layers, whole := 0, 0
	for _, d := range f.parts {
		p.Total += d.Size
		here := f.layers[d.Digest.String()]
		if here {
			p.Done += d.Size
		} else {
			p.Done += min(f.under[remotes.MakeRefKey(context.Background(), d)], d.Size)
		}
		if images.IsLayerType(d.MediaType) {
			layers++
			if here {
				whole++
			}
		}
	}
	switch {
	case layers == 0:
	case whole == layers:
		p.Message = "unpacking"
	default:
		p.Message = fmt.Sprintf("layer %d of %d", whole+1, layers)
	}
	return p
}
