package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// ErrLineLost says that the connection ended before the command did, as far as one knows.
var ErrLineLost = errors.New("the connection to the appliance was lost")

// ExecOptions are a command to be run in a session.
type ExecOptions struct {
	Command []string
	Env     map[string]string
	WorkDir string
	Stdin   bool    // it is given input
	Size    *Window // nil: no terminal
	Term    string  // what kind of terminal; "" is xterm-256color
}

func (o ExecOptions) query() url.Values {
	q := url.Values{"command": o.Command, "cwd": {o.WorkDir}}
	for name, value := range o.Env {
		q.Add("env", name+"="+value)
	}
	if o.Stdin {
		q.Set("stdin", "true")
	}
	if o.Size != nil {
		q.Set("tty", "true")
		addWindow(q, *o.Size, o.Term)
	}
	return q
}

func addWindow(q url.Values, size Window, term string) {
	q.Set("term", term)
	if size != (Window{}) {
		q.Set("rows", strconv.Itoa(int(size.Rows)))
		q.Set("columns", strconv.Itoa(int(size.Columns)))
	}
}

// Exec starts a command in a session.
func (c *Client) Exec(ctx context.Context, ref string, o ExecOptions) (*ClientLine, error) {
	return c.line(ctx, "/sessions/"+seg(ref)+"/exec", o.query())
}

// Terminal connects to the terminal of that name in a session; it is made where there is none.
func (c *Client) Terminal(ctx context.Context, ref, name string, size Window, term string) (*ClientLine, error) {
	q := url.Values{"name": {name}}
	addWindow(q, size, term)
	return c.line(ctx, "/sessions/"+seg(ref)+"/terminal", q)
}

// ClientLine is a client's end of a command's streams.
type ClientLine struct {
	l    *line
	done context.CancelCauseFunc

	mu      sync.Mutex
	exit    *Exit
	problem *Problem
}

// refusals keeps what is answered instead of a line: the library would cut it.
type refusals struct {
	http.RoundTripper
	said error
}

func (r *refusals) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := r.RoundTripper.RoundTrip(req)
	if err == nil && resp.StatusCode != http.StatusSwitchingProtocols {
		defer resp.Body.Close()
		r.said = readProblem(resp)
		return nil, r.said
	}
	return resp, err
}

func (c *Client) line(ctx context.Context, path string, query url.Values) (*ClientLine, error) {
	ws, done, err := c.upgrade(ctx, ExecProtocol, call{path: path, query: query, keepEmpty: "command"})
	if err != nil {
		return nil, err
	}
	out := &ClientLine{l: newLine(ws, []Channel{ChannelStdout, ChannelStderr}, []Channel{ChannelStdin}), done: done}
	go out.l.live(out.heard) //nolint:gosec // it lives as long as the line, which outlives the dialing
	return out, nil
}

// upgrade opens a websocket. Whoever gets it calls done when it is over.
func (c *Client) upgrade(ctx context.Context, protocol string, k call) (*websocket.Conn, context.CancelCauseFunc, error) {
	k.method = http.MethodGet
	req, err := c.request(ctx, k)
	if err != nil {
		return nil, nil, err
	}
	// The connection must not end with the bound of its beginning.
	dialing, done := context.WithCancelCause(context.WithoutCancel(ctx))
	late := time.AfterFunc(unaryTimeout, func() { done(fmt.Errorf("%s did not answer within %s", c.host, unaryTimeout)) })
	defer late.Stop()
	defer context.AfterFunc(ctx, func() { done(context.Cause(ctx)) })()
	transport := &refusals{RoundTripper: c.http.Transport}
	ws, _, err := websocket.Dial(dialing, req.URL.String(), &websocket.DialOptions{ //nolint:bodyclose // it has none
		HTTPClient: &http.Client{Transport: transport}, HTTPHeader: req.Header, Subprotocols: []string{protocol},
	})
	if err != nil {
		cause := context.Cause(dialing)
		done(nil)
		if inner, ok := errors.AsType[*url.Error](err); ok {
			err = inner.Err
		}
		switch {
		case transport.said != nil:
			return nil, nil, transport.said
		case cause != nil:
			return nil, nil, cause
		}
		return nil, nil, &ConnectError{Host: c.host, Err: err}
	}
	return ws, done, nil
}

func (c *ClientLine) heard(channel Channel, body []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var err error
	switch channel {
	case ChannelExit:
		err = json.Unmarshal(body, &c.exit)
	case ChannelProblem:
		err = json.Unmarshal(body, &c.problem)
	default:
		return nil // of a later version
	}
	for _, in := range []Channel{ChannelStdout, ChannelStderr} {
		c.l.in[in].end(io.EOF)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errLineBroken, err)
	}
	return nil
}

// Stdin takes what the command is to read. Writes wait until it does, or until ctx ends or the line does.
func (c *ClientLine) Stdin(ctx context.Context) io.Writer { return sender{c.l, ChannelStdin, ctx} }

// EndStdin says that there is no more.
func (c *ClientLine) EndStdin() error { return c.l.say(ChannelStdin, nil) }

// Stdout is what the command writes; all that its terminal shows, where it has one. It must be read.
func (c *ClientLine) Stdout() io.Reader { return c.l.in[ChannelStdout] }

// Stderr is what a command without a terminal writes there. It must be read.
func (c *ClientLine) Stderr() io.Reader { return c.l.in[ChannelStderr] }

// Resize says how large the terminal is now.
func (c *ClientLine) Resize(size Window) error { return c.l.tell(ChannelResize, size) }

// Gone is closed when nothing more comes.
func (c *ClientLine) Gone() <-chan struct{} { return c.l.gone }

// Exit waits for the end and returns it: how the command ended, a *Problem, or ErrLineLost.
func (c *ClientLine) Exit(ctx context.Context) (Exit, error) {
	select {
	case <-c.l.gone:
	case <-ctx.Done():
		return Exit{}, context.Cause(ctx)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.problem != nil:
		return Exit{}, c.problem
	case c.exit != nil:
		return *c.exit, nil
	}
	return Exit{}, fmt.Errorf("%w: %w", ErrLineLost, c.l.why)
}

// Close leaves the command alone: it is ended, a terminal that is held goes on.
func (c *ClientLine) Close() {
	c.l.close(websocket.StatusNormalClosure, "")
	c.done(nil)
}
