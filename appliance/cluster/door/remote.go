package door

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"

	"github.com/palisade-run/palisade/sessions"
)

// Box is the box called name. Its errors have their kinds and hints, and sessions.ErrRuntimeDown where it does not answer.
func (c *Client) Box(name string) Box { return &remote{c, name} }

// Images are those that the box called name keeps.
func (c *Client) Images(name string) sessions.Images { return &remote{c, name} }

type remote struct {
	client *Client
	name   string
}

func sessionPath(id, rest string) string { return pathSessions + url.PathEscape(id) + rest }

// Inspect implements sessions.Observer.
func (b *remote) Inspect(ctx context.Context, id string) (in sessions.Instance, err error) {
	err = b.client.call(ctx, ask{name: b.name, method: http.MethodGet, path: sessionPath(id, "")}, &in)
	return in, err
}

// Stats implements sessions.Observer.
func (b *remote) Stats(ctx context.Context, id string) (st sessions.Stats, err error) {
	err = b.client.call(ctx, ask{name: b.name, method: http.MethodGet, path: sessionPath(id, "/stats")}, &st)
	return st, err
}

// Logs implements sessions.Observer.
func (b *remote) Logs(ctx context.Context, id string, opts sessions.LogOptions) (io.ReadCloser, error) {
	q := url.Values{}
	if opts.Follow {
		q.Set("follow", "1")
	}
	if opts.Tail > 0 {
		q.Set("tail", strconv.Itoa(opts.Tail))
	}
	return b.stream(ctx, sessionPath(id, "/logs"), q)
}

// stream is an answer that may go on for long. It ends with ctx.
func (b *remote) stream(ctx context.Context, path string, q url.Values) (io.ReadCloser, error) {
	r, err := b.client.request(ctx, ask{name: b.name, method: http.MethodGet, path: path, query: q})
	if err != nil {
		return nil, err
	}
	answer, err := b.client.do(b.name, r)
	if err != nil {
		return nil, err
	}
	return answer.Body, nil
}

// CheckImage implements sessions.ImageChecker.
func (b *remote) CheckImage(image string) error {
	return b.client.call(context.Background(), ask{name: b.name, method: http.MethodPost, path: pathCheck, in: checkRequest{Image: image}}, nil)
}

// CheckCluster implements sessions.ClusterChecker.
func (b *remote) CheckCluster(image string) error {
	return b.client.call(context.Background(), ask{name: b.name, method: http.MethodPost, path: pathCheck, in: checkRequest{Image: image, Cluster: true}}, nil)
}

// Pull implements sessions.Runtime's.
func (b *remote) Pull(ctx context.Context, image string, tell func(sessions.Progress)) error {
	return b.follow(ctx, pathPull, pullRequest{image}, nil, tell)
}

// Commit implements sessions.Committer.
func (b *remote) Commit(ctx context.Context, id string, commit sessions.Commit, tell func(sessions.Progress)) (img sessions.Image, err error) {
	err = b.follow(ctx, sessionPath(id, "/commit"), commit, &img, tell)
	return img, err
}

// follow asks for what takes a while, tells how far it is, and puts what came of it into out.
func (b *remote) follow(ctx context.Context, path string, in, out any, tell func(sessions.Progress)) error {
	r, err := b.client.request(ctx, ask{name: b.name, method: http.MethodPost, path: path, in: in})
	if err != nil {
		return err
	}
	answer, err := b.client.do(b.name, r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	for d := json.NewDecoder(answer.Body); ; {
		var l line
		switch err := d.Decode(&l); {
		case err != nil && ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return away(ctx, b.name, fmt.Errorf("it broke off: %w", noEOF(err)))
		case l.Fault != nil:
			return l.Fault.Remote()
		case l.Progress != nil && tell != nil:
			tell(sessions.Progress{Done: l.Progress.Done, Total: l.Progress.Total, Message: l.Progress.Message})
		}
		if !l.Done {
			continue
		}
		if out != nil {
			if err := json.Unmarshal(l.Result, out); err != nil {
				return fmt.Errorf("reading the answer of box %s: %w", b.name, err)
			}
		}
		return nil
	}
}

// noEOF has an end in the midst be none that callers take for an orderly one.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Dial implements sessions.Dialer.
func (b *remote) Dial(ctx context.Context, id string, port int) (net.Conn, error) {
	return b.client.dial(ctx, b.name, sessionPath(id, "/inside/"+strconv.Itoa(port)))
}

// Images implements sessions.Images.
func (b *remote) Images(ctx context.Context) (list []sessions.Image, err error) {
	err = b.client.call(ctx, ask{name: b.name, method: http.MethodGet, path: pathImages}, &list)
	return list, err
}

// Import implements sessions.Images.
func (b *remote) Import(ctx context.Context, archive io.Reader) (list []sessions.Image, err error) {
	r, err := b.client.request(ctx, ask{name: b.name, method: http.MethodPost, path: pathImages, body: archive})
	if err != nil {
		return nil, err
	}
	answer, err := b.client.do(b.name, r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(io.LimitReader(answer.Body, longestBody)).Decode(&list); err != nil {
		return nil, fmt.Errorf("reading the answer of box %s: %w", b.name, err)
	}
	return list, nil
}

// Export implements sessions.Images.
func (b *remote) Export(ctx context.Context, ref string, w io.Writer) error {
	archive, err := b.stream(ctx, pathImages+"/archive", url.Values{"image": {ref}})
	if err != nil {
		return err
	}
	defer archive.Close()
	if _, err := io.Copy(w, archive); err != nil {
		return fmt.Errorf("reading image %s from box %s: %w", ref, b.name, err)
	}
	return nil
}

// RemoveImage implements sessions.Images.
func (b *remote) RemoveImage(ctx context.Context, ref string) error {
	r, err := b.client.request(ctx, ask{name: b.name, method: http.MethodDelete, path: pathImages, query: url.Values{"image": {ref}}})
	if err != nil {
		return err
	}
	answer, err := b.client.do(b.name, r)
	if err != nil {
		return err
	}
	return answer.Body.Close()
}
