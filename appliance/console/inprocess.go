package console

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"sync"
	"time"

	"github.com/palisade-run/palisade/appliance/api"
)

// inProcess carries calls of the API to its handler in this process, as whoever made the request they are for: with that
// one's cookie or key, address and program. It vouches for nobody.
type inProcess struct {
	api http.Handler
	by  *http.Request
}

// identity are the headers by which the API knows who asks, and what is recorded of that.
var identity = []string{"Cookie", "Authorization", "User-Agent", "Accept-Language", "X-Forwarded-For", "X-Forwarded-Proto"}

// RoundTrip returns when the answer has begun; its body is read while the handler writes it.
func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	out := r.Clone(r.Context())
	for _, name := range identity {
		if v, ok := p.by.Header[name]; ok {
			out.Header[name] = v
		}
	}
	out.RemoteAddr, out.Host, out.TLS, out.RequestURI = p.by.RemoteAddr, p.by.Host, p.by.TLS, r.URL.RequestURI()
	if out.Body == nil {
		out.Body = http.NoBody
	}
	body, to := io.Pipe()
	w := &answer{header: http.Header{}, to: to, begun: make(chan struct{})}
	go func() {
		defer func() {
			if v := recover(); v != nil { // the API answers panics itself: what comes here is an answer broken off
				w.end(fmt.Errorf("the answer was broken off: %v", v))
			}
		}()
		p.api.ServeHTTP(w, out)
		w.end(nil)
	}()
	select {
	case <-w.begun:
	case <-r.Context().Done():
		_ = body.CloseWithError(r.Context().Err())
		return nil, r.Context().Err()
	}
	if w.status == 0 {
		_ = body.Close()
		return nil, w.failed
	}
	return &http.Response{
		Status: fmt.Sprint(w.status, " ", http.StatusText(w.status)), StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.sent, Body: body, ContentLength: -1, Request: r,
	}, nil
}

// answer is what a handler writes. One goroutine writes it; begun orders what the reader sees of it.
type answer struct {
	header, sent http.Header
	to           *io.PipeWriter
	status       int
	failed       error // where it ended before it began
	once         sync.Once
	begun        chan struct{}
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if status < http.StatusOK && status != http.StatusSwitchingProtocols {
		return // informational
	}
	a.once.Do(func() {
		a.status, a.sent = status, a.header.Clone()
		close(a.begun)
	})
}

func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.to.Write(p)
}

// Flush has nothing to do: what is written is read. The deadlines are those of the reader, whose end ends the pipe.
func (a *answer) Flush()                           { a.WriteHeader(http.StatusOK) }
func (a *answer) SetWriteDeadline(time.Time) error { return nil }
func (a *answer) SetReadDeadline(time.Time) error  { return nil }
func (a *answer) EnableFullDuplex() error          { return nil }
func (a *answer) end(err error) {
	if err == nil {
		a.WriteHeader(http.StatusOK)
	}
	a.once.Do(func() {
		a.failed = err
		close(a.begun)
	})
	_ = a.to.CloseWithError(err)
}

// clientFor returns a client of the API that speaks as whoever makes r, about a project.
func (c *Console) clientFor(r *http.Request, project string) (*api.Client, error) {
	return api.NewClient(api.Options{Host: "http://palisade", Project: project, Transport: inProcess{c.API, r}})
}

// fieldFirst is a sentence that begins with the name of a field: "image: is needed".
var fieldFirst = regexp.MustCompile(`^([a-z_][a-z0-9_.\[\]]*): (.+)$`)

// withField is a problem whose field is named in its sentence alone, as one that a form can mark.
func withField(p *api.Problem) *api.Problem {
	m := fieldFirst.FindStringSubmatch(p.Detail)
	if len(p.Errors) > 0 || p.Status != http.StatusBadRequest || m == nil {
		return p
	}
	out := *p
	out.Errors, out.Hint = []api.FieldError{{Field: m[1], Message: m[2], Hint: p.Hint}}, ""
	return &out
}

// problemOf returns what the API says is wrong; another error is told as one of the console's own.
func problemOf(err error) *api.Problem {
	if p, ok := errors.AsType[*api.Problem](err); ok {
		return p
	}
	return api.NewProblem(api.KindInternal, http.StatusInternalServerError, "the page could not be made: %v", err)
}
