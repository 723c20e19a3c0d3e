package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/catalog/bundle"
)

// bundlePatience is how long an appliance that cannot be reached, or takes nothing more, is waited for in the middle of a bundle.
const (
	bundlePatience = 2 * time.Minute
	firstPause     = 200 * time.Millisecond
)

// bringBundle sends a bundle to the appliance, and verifies it on the way: what is wrong with the file is said here, whatever
// becomes of the connection. What is there of it is not sent again: neither after a cut connection, which is gone on with from a
// file, nor when the command is given again.
func (a *app) bringBundle(ctx context.Context, c *api.Client, name string, allowUnsigned bool) (api.Bundle, error) {
	f, length, err := a.openBundle(name)
	if err != nil {
		return api.Bundle{}, err
	}
	defer f.Close()
	b := &bringing{app: a, client: c, name: name, allowUnsigned: allowUnsigned, meter: a.newMeter(), file: f}
	defer b.meter.clear()
	if err := b.begin(ctx, length); err != nil {
		return api.Bundle{}, err
	}
	seekable, _ := f.(io.Seeker)
	if length < 0 {
		seekable = nil
	}
	var furthest int64
	var trouble time.Time // since when nothing more has come
	for pause := firstPause; ; pause = min(2*pause, 5*time.Second) {
		there, err := c.CheckBundle(ctx, bytes.NewReader(b.beginning), int64(len(b.beginning)), allowUnsigned)
		if err == nil {
			if there.Here > furthest {
				furthest, trouble, pause = there.Here, time.Time{}, firstPause
			}
			var got api.Bundle
			if got, err = b.send(ctx, there.Here); err == nil {
				return got, nil
			}
			b.sent = true
		}
		if trouble.IsZero() {
			trouble = time.Now()
		}
		switch {
		case ctx.Err() != nil:
			return api.Bundle{}, context.Cause(ctx)
		case !b.sent || seekable == nil || !cutBundle(err) || time.Since(trouble) > bundlePatience:
			return api.Bundle{}, err
		}
		b.meter.set("waiting to go on with "+name, 0, 0)
		select {
		case <-ctx.Done():
			return api.Bundle{}, context.Cause(ctx)
		case <-time.After(pause):
		}
		if _, err := seekable.Seek(int64(len(b.beginning)), io.SeekStart); err != nil {
			return api.Bundle{}, err
		}
	}
}

// cutBundle reports whether a bundle may be gone on with: the connection was cut, the appliance starts again, or what was left
// out has gone there.
func cutBundle(err error) bool {
	if errors.Is(err, bundle.ErrRefused) { // the file itself
		return false
	}
	p, is := errors.AsType[*api.Problem](err)
	return !is || p.Kind() == api.KindUnavailable || p.Kind() == api.KindConflict || p.Status == http.StatusBadGateway
}

// bringing is a bundle on its way.
type bringing struct {
	*app
	client        *api.Client
	name          string
	allowUnsigned bool
	meter         *meter
	file          io.Reader // behind beginning
	beginning     []byte
	head          bundle.Head
	sent          bool // some of it was
}

// begin reads how a bundle begins.
func (b *bringing) begin(ctx context.Context, length int64) error {
	var seen bytes.Buffer
	head, err := bundle.ReadHead(ctx, io.TeeReader(b.file, &seen))
	if err == nil {
		_, err = sized(length)(head)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", b.name, err)
	}
	b.beginning, b.head = seen.Bytes(), head
	return nil
}

// send sends all that is not there, and verifies all.
func (b *bringing) send(ctx context.Context, there int64) (api.Bundle, error) {
	from, to := io.Pipe()
	w, size, err := bundle.Without(to, b.head, there)
	if err != nil {
		return api.Bundle{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	verified := make(chan error, 1)
	go func() {
		all := io.MultiReader(bytes.NewReader(b.beginning), b.file)
		_, err := bundle.Copy(ctx, all, w, nil, func(done, total int64) { b.meter.set("bringing "+b.name, done, total) })
		_ = to.CloseWithError(err) // of a pipe: never an error
		verified <- err
	}()
	got, err := b.client.ReceiveBundle(ctx, api.BundleUpload{From: from, Size: size, LeftOut: there, AllowUnsigned: b.allowUnsigned})
	_ = from.Close() // of a pipe: never an error
	cancel()
	if here := <-verified; errors.Is(here, bundle.ErrRefused) {
		return got, fmt.Errorf("%s: %w", b.name, here)
	}
	return got, err
}
