package daemon

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/distribution/reference"

	"github.com/palisade-run/palisade/sessions/process"
	"github.com/palisade-run/palisade/training"
	"github.com/palisade-run/palisade/training/pipeline/keeper"
)

// openJobs reads the pipelines that are kept and the jobs that run.
func (d *daemon) openJobs(ctx context.Context) (err error) {
	d.jobs, err = keeper.New(ctx, keeper.Around{
		Store: d.store, Desk: training.NewDesk(d.manager, d.folders), Sessions: d.manager, Services: d.manager, Folders: d.folders,
		Digest: d.digest, LookupEnv: os.LookupEnv, Client: outgoing(http.ProxyFromEnvironment), Direct: outgoing(nil), Log: d.Log.With("room", "pipeline"),
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

// outgoing asks what files of people name: webhooks, and engines that are to pass a test. Where either sends it elsewhere it
// does not go.
func outgoing(proxy func(*http.Request) (*url.URL, error)) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy: proxy, ForceAttemptHTTP2: true, MaxIdleConns: 10, IdleConnTimeout: 30 * time.Second, TLSHandshakeTimeout: 10 * time.Second,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
