package daemon

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/distribution/reference"

	"github.com/palisade-run/palisade/catalog/fetch/reach"
	"github.com/palisade-run/palisade/sessions/process"
	"github.com/palisade-run/palisade/training"
	"github.com/palisade-run/palisade/training/pipeline/keeper"
)

// openJobs reads the pipelines that are kept and the jobs that run.
func (d *daemon) openJobs(ctx context.Context) (err error) {
	d.jobs, err = keeper.New(ctx, keeper.Around{
		Store: d.store, Desk: boundDesk{training.NewDesk(d.manager, d.folders), d}, Sessions: d.manager, Services: boundServices{d.manager, d}, Folders: d.folders,
		Digest: d.digest, LookupEnv: os.LookupEnv, Client: d.webhooks(), Trusted: outgoing(http.ProxyFromEnvironment), Direct: outgoing(nil), Log: d.Log.With("room", "pipeline"),
	})
	return err
}

// digest is what an image is at the moment; "" where that is not known.
func (d *daemon) digest(ctx context.Context, ref string) string {
	if ref == process.HostImage {
		return ref // what is on the box is nobody's version
	}
	images := d.runtime.images()
	if images == nil {
		return ""
	}
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ""
	}
	name := reference.TagNameOnly(named).String()
	all, err := images.Images(ctx)
	if err != nil {
		return ""
	}
	for _, img := range all {
		if img.Name == name {
			return img.Digest
		}
	}
	return ""
}

// webhooks asks what files of people name, and no address of the box itself, nor of what is there for machines alone: chat servers
// of the owner's network are what most of them name. Where one sends it elsewhere it does not go.
func (d *daemon) webhooks() *http.Client {
	client := outgoing(nil) // of which only the way is another
	carry := d.guard.Transport(func(dial func(ctx context.Context, network, address string) (net.Conn, error)) *http.Transport {
		return &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: dial, ForceAttemptHTTP2: true, MaxIdleConns: 10, IdleConnTimeout: 30 * time.Second, TLSHandshakeTimeout: 10 * time.Second,
		}
	})
	client.Transport = onLAN{carry}
	return client
}

// onLAN lets requests go as far as those of the owner that name nothing by hand.
type onLAN struct{ carry http.RoundTripper }

func (o onLAN) RoundTrip(r *http.Request) (*http.Response, error) {
	return o.carry.RoundTrip(r.WithContext(reach.Owner(r.Context())))
}

// outgoing asks what the owner has named, and engines that are to pass a test. Where one sends it elsewhere it does not go.
func outgoing(proxy func(*http.Request) (*url.URL, error)) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy: proxy, ForceAttemptHTTP2: true, MaxIdleConns: 10, IdleConnTimeout: 30 * time.Second, TLSHandshakeTimeout: 10 * time.Second,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
