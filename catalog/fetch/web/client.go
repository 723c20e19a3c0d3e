package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/fetch/reach"
)

// Options of a Client. What is zero gets its default.
type Options struct {
	UserAgent string
	Header    time.Duration     // until an answer begins: 30 s
	Stall     time.Duration     // without a byte of an answer that has begun: 60 s
	Redirects int               // of one request: 10
	Guard     *reach.Guard      // what may be asked on whose behalf; nil: everything
	Transport http.RoundTripper // instead of one of its own: plain HTTP/1.1, proxies from the environment
}

// Client carries the requests of all places that speak HTTP. All calls may be made at once.
type Client struct {
	options Options
	http    *http.Client
}

// New makes one.
func New(o Options) *Client {
	if o.UserAgent == "" {
		o.UserAgent = "palisade"
	}
	if o.Header <= 0 {
		o.Header = 30 * time.Second
	}
	if o.Stall <= 0 {
		o.Stall = time.Minute
	}
	if o.Redirects <= 0 {
		o.Redirects = 10
	}
	if o.Transport == nil {
		o.Transport = transport(o)
	}
	return &Client{options: o, http: &http.Client{
		Transport:     o.Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // Do follows them itself
	}}
}

func transport(o Options) http.RoundTripper {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true) // ranges of one file share one connection with HTTP/2, and its window
	return o.Guard.Transport(func(dial func(ctx context.Context, network, address string) (net.Conn, error)) *http.Transport {
		return &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           dial,
			TLSHandshakeTimeout:   15 * time.Second,
			ResponseHeaderTimeout: o.Header,
			IdleConnTimeout:       90 * time.Second,
			MaxIdleConnsPerHost:   32,
			DisableCompression:    true, // offsets and checksums are of the bytes as they are kept
			ReadBufferSize:        64 << 10,
			Protocols:             protocols,
		}
	})
}

// Request is one request. Header goes along to wherever it is redirected; Credentials go to the host of URL alone.
type Request struct {
	Method      string // empty: GET
	URL         string
	Header      http.Header
	Credentials http.Header // Authorization: Bearer ...
	Body        []byte
	// Stay returns an answer that redirects instead of following it: what the hub says of a file stands in there.
	Stay bool
}

// Bearer are credentials with a token; nil where it is empty.
func Bearer(token string) http.Header {
	if token == "" {
		return nil
	}
	return http.Header{"Authorization": {"Bearer " + token}}
}

// Do carries a request out and follows where it is redirected. An answer of 400 and more is an *Error. The body ends with an
// error when nothing comes for Stall; the caller closes it.
//  1. Credentials do not follow to another host, nor to another port of it.
//  2. From https to http nothing is followed: who can change that answer can change the file.
func (c *Client) Do(ctx context.Context, r Request) (*http.Response, error) {
	at, err := url.Parse(r.URL)
	if err != nil || at.Host == "" || at.Scheme != "http" && at.Scheme != "https" {
		return nil, &Error{Kind: fetch.ErrRefused, Message: fmt.Sprintf("%q is no address", redact(r.URL))}
	}
	method, body, home := r.Method, r.Body, at
	if method == "" {
		method = http.MethodGet
	}
	for range c.options.Redirects + 1 {
		resp, err := c.once(ctx, r, attempt{method: method, body: body, at: at, home: home})
		if err != nil {
			return nil, err
		}
		next, is := redirected(resp)
		if !is || r.Stay {
			if resp.StatusCode >= 400 {
				return nil, answered(resp, at)
			}
			return resp, nil
		}
		drain(resp.Body)
		if next == nil {
			return nil, &Error{Kind: fetch.ErrRefused, Status: resp.StatusCode, URL: redact(at.String()), Message: "it redirects to no address"}
		}
		if at.Scheme == "https" && next.Scheme == "http" { // 2
			return nil, &Error{
				Kind: fetch.ErrRefused, Status: resp.StatusCode, URL: redact(at.String()), Message: "it redirects from https to plain http on " + next.Host,
				hint: "use an address that stays with https",
			}
		}
		if resp.StatusCode == http.StatusSeeOther || method == http.MethodPost && resp.StatusCode < 303 {
			method, body = http.MethodGet, nil
		}
		at = next
	}
	return nil, &Error{Kind: fetch.ErrRefused, URL: redact(r.URL), Message: fmt.Sprintf("it redirects more than %d times", c.options.Redirects)}
}

// attempt is one of the requests that a Request becomes.
type attempt struct {
	method   string
	body     []byte
	at, home *url.URL
}

func (c *Client) once(ctx context.Context, r Request, a attempt) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	req, err := http.NewRequestWithContext(ctx, a.method, a.at.String(), bytes.NewReader(a.body))
	if err != nil {
		cancel(nil)
		return nil, &Error{Kind: fetch.ErrRefused, URL: redact(a.at.String()), Message: err.Error()}
	}
	req.Header.Set("User-Agent", c.options.UserAgent)
	for name, values := range r.Header {
		req.Header[http.CanonicalHeaderKey(name)] = slices.Clone(values)
	}
	if a.at.Scheme == a.home.Scheme && a.at.Host == a.home.Host { // 1
		for name, values := range r.Credentials {
			req.Header[http.CanonicalHeaderKey(name)] = slices.Clone(values)
		}
	}
	resp, err := c.http.Do(req)
	if err != nil {
		defer cancel(nil)
		return nil, unanswered(ctx, err, a.at)
	}
	resp.Body = watch(ctx, cancel, resp.Body, c.options.Stall)
	return resp, nil
}

func redirected(resp *http.Response) (to *url.URL, is bool) {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return nil, false
	}
	to, err := resp.Location()
	if err != nil || to.Host == "" || to.Scheme != "http" && to.Scheme != "https" {
		return nil, true
	}
	to.User = nil // made up by a server: not ours
	return to, true
}

// drain reads the rest of a small answer, so that its connection is used again.
func drain(body io.ReadCloser) {
	_, _ = io.CopyN(io.Discard, body, 64<<10)
	_ = body.Close()
}

const largestDocument = 64 << 20 // bytes: the hub's tree of a model of 10,000 files has 5 MB

// JSON carries a request out and reads its answer into a value. It returns the header, for what stands there of further pages.
func (c *Client) JSON(ctx context.Context, r Request, into any) (http.Header, error) {
	r.Header = r.Header.Clone()
	if r.Header == nil {
		r.Header = http.Header{}
	}
	if r.Header.Get("Accept") == "" {
		r.Header.Set("Accept", "application/json")
	}
	text, header, err := c.Text(ctx, r, largestDocument)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return nil, &Error{
			Kind: fetch.ErrRefused, URL: redact(r.URL), Message: "its answer is not understood: " + err.Error(),
			hint: "is this the address of the API, and not of a page or of a log-in?",
		}
	}
	return header, nil
}

// Text carries a request out and reads its answer, of at most most bytes.
func (c *Client) Text(ctx context.Context, r Request, most int64) ([]byte, http.Header, error) {
	resp, err := c.Do(ctx, r)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("reading %s: %w", redact(r.URL), err)
	case int64(len(text)) > most:
		return nil, nil, &Error{Kind: fetch.ErrTooLong, URL: redact(r.URL), Message: fmt.Sprintf("its answer has more than %d bytes", most)}
	}
	return text, resp.Header, nil
}

// Exposed says whether what is sent to an address can be read on the way: plain HTTP, to a host that is neither this box nor one of
// allowed (with its port, where it has one).
func Exposed(at *url.URL, allowed []string) bool {
	name := at.Hostname()
	ip := net.ParseIP(name)
	here := name == "localhost" || strings.HasSuffix(name, ".localhost") || ip != nil && ip.IsLoopback()
	return at.Scheme != "https" && !here && !slices.Contains(allowed, at.Host)
}

// redact leaves out of an address what opens it: the query of a signed one, a name and a password.
func redact(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		text, _, _ = strings.Cut(text, "?")
		return text
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

// errStalled is why a body ends of which nothing comes.
var errStalled = errors.New("nothing came")

// SameOrigin reports whether two addresses are of one server, asked in the same way: what opens the one may be shown to the other.
func SameOrigin(a, b string) bool {
	u, err1 := url.Parse(a)
	v, err2 := url.Parse(b)
	return err1 == nil && err2 == nil && u.Scheme == v.Scheme && u.Host == v.Host
}
