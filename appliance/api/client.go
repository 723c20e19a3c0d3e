package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// unaryTimeout bounds every call that is answered with one small body.
const unaryTimeout = 60 * time.Second

// Options say which appliance a Client speaks to and as whom.
type Options struct {
	// Host is unix:///PATH, /PATH, http://HOST:PORT or https://HOST:PORT.
	Host string
	// Key is an API key; a unix socket needs none.
	Key string
	// Project that calls are about; "" means the caller's own.
	Project string
	// UserAgent names the program in the daemon's log.
	UserAgent string
	// Transport carries the calls in place of a connection to Host, for who speaks to an appliance in its own process.
	Transport http.RoundTripper
}

// Client calls the API. It is safe for concurrent use.
type Client struct {
	http    *http.Client
	base    string // scheme and authority, no slash at the end
	host    string // as given, for messages
	key     string
	project string
	agent   string
}

// ConnectError says that no appliance could be reached at Host, and wraps why.
type ConnectError struct {
	Host string
	Err  error
}

func (e *ConnectError) Error() string {
	why := e.Err
	// The address that dialling adds is Host again, unless a name was looked up for it.
	if dial, ok := errors.AsType[*net.OpError](why); ok && strings.HasPrefix(e.Host, "unix://") {
		why = dial.Err
	}
	return fmt.Sprintf("reaching %s: %v", e.Host, why)
}

func (e *ConnectError) Unwrap() error { return e.Err }

// NewClient checks o; it does not connect.
func NewClient(o Options) (*Client, error) {
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   8,
		IdleConnTimeout:       30 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	transport.DialContext = dialer.DialContext
	c := &Client{host: o.Host, key: o.Key, project: o.Project, agent: o.UserAgent}
	socket, isSocket := strings.CutPrefix(o.Host, "unix://")
	switch {
	case isSocket || strings.HasPrefix(o.Host, "/"):
		if socket == "" || !strings.HasPrefix(socket, "/") {
			return nil, fmt.Errorf("host %q: the path of a socket must be absolute, as in unix:///var/lib/palisade/palisade.sock", o.Host)
		}
		transport.Proxy = nil
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialSocket(ctx, dialer, socket)
		}
		c.base = "http://palisade"
	default:
		u, err := url.Parse(o.Host)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			return nil, fmt.Errorf("host %q: must be unix:///PATH, http://HOST:PORT or https://HOST:PORT", o.Host)
		}
		if strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
			return nil, fmt.Errorf("host %q: must end after the port", o.Host)
		}
		c.base = u.Scheme + "://" + u.Host
	}
	var carrier http.RoundTripper = transport
	if o.Transport != nil {
		carrier = o.Transport
	}
	c.http = &http.Client{
		Transport: carrier,
		// The API never redirects: whoever does is not it, and must not see the key.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

// Host returns what the client was told to speak to.
func (c *Client) Host() string { return c.host }

// call is one request.
type call struct {
	method, path string
	query        url.Values
	in           any       // JSON body
	body         io.Reader // or a body as it is
	size         int64     // of body; -1 unknown
	header       http.Header
	keepEmpty    string // the parameter of which a value may be ""
}

// unary sends a call and decodes its answer into out, which may be nil.
func (c *Client) unary(ctx context.Context, k call, out any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, unaryTimeout,
		fmt.Errorf("%s did not answer within %s", c.host, unaryTimeout))
	defer cancel()
	resp, err := c.send(ctx, k)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		_, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxProblemBodySize))
		return err
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("reading the answer to %s %s: %w", k.method, k.path, err)
	}
	return nil
}

// cookies is unary that also returns what the answer gives a browser to keep.
func (c *Client) cookies(ctx context.Context, k call, out any) ([]*http.Cookie, error) {
	ctx, cancel := context.WithTimeout(ctx, unaryTimeout)
	defer cancel()
	resp, err := c.send(ctx, k)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if out != nil {
		if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
			return nil, fmt.Errorf("reading the answer to %s %s: %w", k.method, k.path, err)
		}
	}
	return resp.Cookies(), nil
}

// send sends a call and returns its answer when it is a good one; otherwise a *Problem, or a
// *ConnectError when there was no answer.
func (c *Client) send(ctx context.Context, k call) (*http.Response, error) {
	req, err := c.request(ctx, k)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return nil, cause
		}
		if inner, ok := errors.AsType[*url.Error](err); ok {
			err = inner.Err
		}
		return nil, &ConnectError{Host: c.host, Err: err}
	}
	if resp.StatusCode >= 300 {
		defer resp.Body.Close()
		return nil, readProblem(resp)
	}
	return resp, nil
}

func (c *Client) request(ctx context.Context, k call) (*http.Request, error) {
	body := k.body
	if k.in != nil {
		raw, err := json.Marshal(k.in)
		if err != nil {
			return nil, fmt.Errorf("encoding the request: %w", err)
		}
		body = bytes.NewReader(raw)
	}
	query := url.Values{}
	for name, values := range k.query {
		for _, v := range values {
			if v != "" || name == k.keepEmpty {
				query.Add(name, v)
			}
		}
	}
	if c.project != "" {
		query.Set("project", c.project)
	}
	target := c.base + Prefix + k.path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, k.method, target, body)
	if err != nil {
		return nil, fmt.Errorf("making the request: %w", err)
	}
	maps.Copy(req.Header, k.header)
	if k.in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if k.body != nil {
		req.ContentLength = k.size
		// So that a refusal comes before gigabytes have been sent.
		req.Header.Set("Expect", "100-continue")
	}
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	if c.agent != "" {
		req.Header.Set("User-Agent", c.agent)
	}
	return req, nil
}

// readProblem turns a refusal into a *Problem, whoever wrote it.
func readProblem(resp *http.Response) error {
	raw, _ := io.ReadAll(io.LimitReader(resp.Body, maxProblemBodySize))
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	var p Problem
	if media == ProblemType && json.Unmarshal(raw, &p) == nil {
		return &p
	}
	if isStarting(resp.StatusCode, raw) {
		starting := NewProblem(KindUnavailable, resp.StatusCode, "the appliance is starting")
		starting.Hint = "try again in a moment; its log says what it waits for, such as a containerd that does not answer"
		return starting
	}
	text := strings.TrimSpace(string(raw))
	if len(text) > 200 {
		text = text[:200] + "..."
	}
	unknown := NewProblem(KindInternal, resp.StatusCode, "answered %s, which is no answer of a Palisade API: %s", resp.Status, text)
	unknown.Hint = "check that PALISADE_HOST names a Palisade daemon, and that no proxy stands in between"
	return unknown
}

// isStarting recognises what an appliance answers to everybody until it knows what runs. That is in OpenAI's shape.
func isStarting(status int, body []byte) bool {
	var answer struct {
		Error struct {
			Code string `json:"code"`
		} `json:"error"`
	}
	return status == http.StatusServiceUnavailable && json.Unmarshal(body, &answer) == nil && answer.Error.Code == "starting"
}

// list fetches all parts of a list.
func list[T any](ctx context.Context, c *Client, path string, query url.Values) ([]T, error) {
	q := url.Values{"limit": {strconv.Itoa(MaxLimit)}}
	maps.Copy(q, query)
	var all []T
	for {
		var page Page[T]
		if err := c.unary(ctx, call{method: http.MethodGet, path: path, query: q}, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Items...)
		if page.Next == "" {
			return all, nil
		}
		if page.Next == q.Get("cursor") {
			return nil, fmt.Errorf("listing %s: the daemon gave the same cursor twice", path)
		}
		q.Set("cursor", page.Next)
	}
}

// The bounds of a list's limit.
const (
	DefaultLimit = 100
	MaxLimit     = 1000
)

// seg escapes one segment of a path.
func seg(s string) string { return url.PathEscape(s) }

// dialSocket connects to a unix socket. The kernel takes paths of 107 bytes at most, and a data directory may lie
// deeper: then the socket is reached through its directory's descriptor.
func dialSocket(ctx context.Context, dialer *net.Dialer, path string) (net.Conn, error) {
	const most = 107
	if len(path) <= most {
		return dialer.DialContext(ctx, "unix", path)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: "unix", Err: err}
	}
	defer dir.Close()
	return dialer.DialContext(ctx, "unix", fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)))
}
