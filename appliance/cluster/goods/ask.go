package goods

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"time"

	"github.com/palisade-run/palisade/catalog/folders"
	"github.com/palisade-run/palisade/sessions"
)

// Bounds of asking another box.
const (
	answerPatience = 15 * time.Second // for the head of an answer
	lookPatience   = 3 * time.Second  // for whether it has something
	usualSilence   = 10 * time.Second // in which nothing comes of an answer
	longestFault   = 64 << 10
)

// errSilent ends what a box no longer says anything of.
var errSilent = errors.New("nothing comes any more")

// call is what another box is asked.
type call struct {
	method, path string
	query        url.Values
	header       http.Header
	body         io.Reader     // may be nil
	patience     time.Duration // for the head of the answer; 0: answerPatience
}

// ask sends a request to another box. The caller closes the answer's body; an answer that is an error is one.
func (g *Goods) ask(ctx context.Context, box string, c call) (*http.Response, error) {
	to := "https://" + box + c.path
	if len(c.query) > 0 {
		to += "?" + c.query.Encode()
	}
	ctx, cancel := context.WithCancelCause(ctx)
	r, err := http.NewRequestWithContext(ctx, c.method, to, c.body)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	maps.Copy(r.Header, c.header)
	patience := time.AfterFunc(cmp.Or(c.patience, answerPatience), func() { cancel(errSilent) })
	answer, err := g.Transport(box).RoundTrip(r)
	patience.Stop()
	if err != nil {
		err = fmt.Errorf("asking box %s: %w", box, why(ctx, err))
		cancel(nil)
		return nil, err
	}
	answer.Body = &watched{box: box, body: answer.Body, ctx: ctx, cancel: cancel, silence: g.Silence, timer: time.AfterFunc(g.Silence, func() { cancel(errSilent) })}
	if answer.StatusCode/100 == 2 {
		return answer, nil
	}
	defer answer.Body.Close()
	raw, _ := io.ReadAll(io.LimitReader(answer.Body, longestFault))
	if answer.StatusCode == http.StatusPreconditionFailed {
		return nil, &fault{kind: folders.ErrChanged, text: "it has been changed meanwhile", hint: "begin again"}
	}
	var s said
	if json.Unmarshal(raw, &s) != nil || s.Text == "" {
		return nil, fmt.Errorf("asking box %s: it answers %s", box, answer.Status)
	}
	return nil, s.remote()
}

// why is the cause of a context that has ended, where that is what went wrong.
func why(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// watched is an answer that ends when nothing comes of it for a while.
type watched struct {
	box     string
	body    io.ReadCloser
	ctx     context.Context //nolint:containedctx // of the request
	cancel  context.CancelCauseFunc
	timer   *time.Timer
	silence time.Duration
}

// Read implements io.Reader.
func (w *watched) Read(p []byte) (int, error) {
	w.timer.Reset(w.silence)
	n, err := w.body.Read(p)
	w.timer.Stop() // who reads slowly is no silence
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("reading from box %s: %w", w.box, why(w.ctx, err))
	}
	return n, err
}

// Close implements io.Closer.
func (w *watched) Close() error {
	w.timer.Stop()
	w.cancel(nil)
	return w.body.Close()
}

// follow reads lines to their end.
func (g *Goods) follow(answer *http.Response, tell func(line)) (line, error) {
	defer answer.Body.Close()
	in := json.NewDecoder(io.LimitReader(answer.Body, mostManifest))
	for {
		var l line
		if err := in.Decode(&l); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return l, err
		}
		switch {
		case l.Fault != nil:
			return l, l.Fault.remote()
		case l.Done:
			return l, nil
		}
		tell(l)
	}
}

// have asks whether another box has a folder, or a version of it, and says how far away it is.
func (g *Goods) have(ctx context.Context, box, folder, version string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, lookPatience)
	defer cancel()
	near := time.Duration(1<<63 - 1)
	for range 2 { // the first one may have to make a connection
		began := time.Now()
		answer, err := g.ask(ctx, box, call{method: http.MethodGet, path: pathHave, query: url.Values{"folder": {folder}, "version": {version}}})
		if err != nil {
			return 0, err
		}
		_ = answer.Body.Close()
		near = min(near, time.Since(began))
	}
	return near, nil
}

// manifestOf asks another box what a folder holds.
func (g *Goods) manifestOf(ctx context.Context, box, folder, version string, tell told) (Manifest, error) {
	answer, err := g.ask(ctx, box, call{method: http.MethodGet, path: pathManifest, query: url.Values{"folder": {folder}, "version": {version}}})
	if err != nil {
		return Manifest{}, err
	}
	l, err := g.follow(answer, func(l line) {
		if l.Reading != nil {
			tell(l.Reading.Done, l.Reading.Total)
		}
	})
	if err != nil {
		return Manifest{}, err
	}
	if l.Manifest == nil {
		return Manifest{}, fmt.Errorf("asking box %s: %w", box, io.ErrUnexpectedEOF)
	}
	return *l.Manifest, l.Manifest.check(folder)
}

// BringTo has another box bring what mounts need, and returns when all of it is there.
func (g *Goods) BringTo(ctx context.Context, box string, mounts []sessions.Mount, tell func(sessions.Progress)) error {
	raw, err := json.Marshal(mounts)
	if err != nil {
		return err
	}
	answer, err := g.ask(ctx, box, call{method: http.MethodPost, path: pathBring, header: http.Header{"Content-Type": {"application/json"}}, body: bytes.NewReader(raw)})
	if err == nil {
		_, err = g.follow(answer, func(l line) {
			if l.Progress != nil && tell != nil {
				tell(*l.Progress)
			}
		})
	}
	if err == nil || ctx.Err() != nil {
		return err
	}
	if _, is := errors.AsType[*fault](err); is {
		return err
	}
	return fmt.Errorf("%w: %w", sessions.ErrRuntimeDown, err) // it has gone, and may come back
}
