package door

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"time"
)

// Forward is how requests of this box's clients go on to who leads.
type Forward struct {
	// Leader is who leads; an error where nobody does, as far as this box knows.
	Leader func() (string, error)
	// Local is the user of this box who asks over its unix socket; "": somebody else. nil: nobody does.
	Local func(ctx context.Context) string
	// Trust is that who asks this box may say for whom: a proxy in front of it does. Else that is not passed on.
	Trust bool
	// Fail answers where it is to no avail: Leader's error, or ErrAway.
	Fail func(w http.ResponseWriter, r *http.Request, err error)
}

// Where who leads has changed and this box does not know yet.
const (
	mostAttempts = 8
	attemptPause = 250 * time.Millisecond
)

// Forward returns what passes requests on to who leads: of every kind, streams, uploads and websockets among them, with the address
// of who asks. A request without a body that met a box which does not lead any more is asked again, of who does.
func (c *Client) Forward(f Forward) http.Handler {
	proxy := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) { f.rewrite(p) }, Transport: &toLeader{c, f.Leader}, FlushInterval: -1,
		BufferPool: proxyBuffers{},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			switch cause := context.Cause(r.Context()); {
			case cause == nil:
			case errors.Is(cause, context.Canceled), errors.Is(cause, http.ErrAbortHandler):
				panic(http.ErrAbortHandler) // nobody is there who could be answered
			default: // this box has ended it
				err = cause
			}
			f.Fail(w, r, err)
		},
	}
	return proxy
}

// rewrite leaves a request as it came, but for who it is from.
func (f Forward) rewrite(p *httputil.ProxyRequest) {
	p.Out.Host, p.Out.URL.RawQuery = p.In.Host, p.In.URL.RawQuery
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if v := p.In.Header.Values(name); v != nil && f.Trust { // what is believed here is believed there, and nothing else
			p.Out.Header[name] = v
		}
	}
	for _, name := range []string{frontHeader, localHeader, tlsHeader} {
		p.Out.Header.Del(name)
	}
	p.Out.Header.Set(frontHeader, "-")
	if p.In.RemoteAddr != "" {
		p.Out.Header.Set(frontHeader, p.In.RemoteAddr)
	}
	if p.In.TLS != nil {
		p.Out.Header.Set(tlsHeader, "1")
	}
	if f.Local != nil {
		if user := f.Local(p.In.Context()); user != "" {
			p.Out.Header.Set(localHeader, user)
		}
	}
}

// toLeader asks who leads.
type toLeader struct {
	*Client
	leader func() (string, error)
}

// RoundTrip implements http.RoundTripper.
func (t *toLeader) RoundTrip(r *http.Request) (*http.Response, error) {
	again := r.Body == nil || r.Body == http.NoBody
	for attempt := 1; ; attempt++ {
		name, err := t.leader()
		if err != nil {
			return nil, err
		}
		answer, err := t.Transport(name).RoundTrip(r)
		last := !again || attempt == mostAttempts
		switch {
		case err != nil && (last || r.Context().Err() != nil || !errors.Is(err, ErrAway)):
			return nil, t.failed(r.Context(), name, err)
		case err == nil && (last || !astray(answer)):
			return answer, nil
		case err == nil:
			_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, pieces))
			_ = answer.Body.Close()
		}
		select {
		case <-time.After(attemptPause):
		case <-r.Context().Done():
			return nil, fmt.Errorf("asking who leads: %w", context.Cause(r.Context()))
		}
	}
}

// astray tells whether a box says that it does not lead.
func astray(answer *http.Response) bool {
	_, says := answer.Header[http.CanonicalHeaderKey(LeaderHeader)]
	return answer.StatusCode == http.StatusServiceUnavailable && says
}

type proxyBuffers struct{}

// Get implements httputil.BufferPool.
func (proxyBuffers) Get() []byte {
	b, _ := buffers.Get().(*[pieces]byte)
	return b[:]
}

// Put implements httputil.BufferPool.
func (proxyBuffers) Put(b []byte) { buffers.Put((*[pieces]byte)(b)) }
