package goods

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/distribution/reference"
)

// ImageSource is another box that has an image, and gives it as a registry would, below Path.
type ImageSource struct {
	Box       string
	Path      string
	Transport http.RoundTripper // to that box, whatever the host
	near      time.Duration
}

// mostImageSources are asked for one image.
const mostImageSources = 3

// Images are the boxes that have an image, the nearest first.
func (g *Goods) Images(ctx context.Context, image string) []ImageSource {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return nil
	}
	ref := "latest"
	if t, is := named.(reference.Tagged); is {
		ref = t.Tag()
	}
	if d, is := named.(reference.Digested); is {
		ref = d.Digest().String()
	}
	asked := call{method: http.MethodHead, path: pathImages + reference.Path(named) + "/manifests/" + ref, query: url.Values{"ns": {reference.Domain(named)}}}
	boxes := g.Boxes()
	boxes = boxes[:min(len(boxes), mostLooked)]
	found := make([]ImageSource, len(boxes))
	var group sync.WaitGroup
	for i, b := range boxes {
		group.Go(func() {
			looking, cancel := context.WithTimeout(ctx, lookPatience)
			defer cancel()
			began := time.Now()
			answer, err := g.ask(looking, b.Name, asked)
			if err != nil {
				return
			}
			_ = answer.Body.Close()
			found[i] = ImageSource{Box: b.Name, Path: pathImagesBase, Transport: &limited{g, g.Transport(b.Name)}, near: time.Since(began)}
		})
	}
	group.Wait()
	found = slices.DeleteFunc(found, func(s ImageSource) bool { return s.Box == "" })
	slices.SortStableFunc(found, func(a, b ImageSource) int { return int(a.near - b.near) })
	return found[:min(len(found), mostImageSources)]
}

// limited is a way to another box whose answers come no faster than all that comes may.
type limited struct {
	*Goods
	to http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (l *limited) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := l.to.RoundTrip(r)
	if err == nil && answer.Body != nil {
		answer.Body = l.fetcher.Limit(r.Context(), answer.Body)
	}
	return answer, err
}
