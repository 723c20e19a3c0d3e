package web

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/fetch/reach"
)

// Error is an answer that is no good, or none. It unwraps to one of fetch's kinds where it is one for good, and to what
// happened; one that says when to come again stands in a *fetch.Later.
type Error struct {
	Kind    error       // one of fetch's; nil: it may be tried again
	Status  int         // of the answer; 0: there was none
	Header  http.Header // of the answer
	Body    string      // its first 4 KiB, for those who know what such a place writes there
	URL     string      // without its query
	Message string
	Cause   error
	hint    string
}

func (e *Error) Error() string {
	if e.URL == "" {
		return e.Message
	}
	return e.URL + ": " + e.Message
}

// Hint says what the reader can do.
func (e *Error) Hint() string { return e.hint }

// Unwrap is the kind and the cause.
func (e *Error) Unwrap() []error {
	out := make([]error, 0, 2)
	for _, err := range []error{e.Kind, e.Cause} {
		if err != nil {
			out = append(out, err)
		}
	}
	return out
}

// answered is the error of an answer of 400 and more. It reads and closes its body.
func answered(resp *http.Response, at *url.URL) error {
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10)) // what came is enough
	drain(resp.Body)
	e := &Error{Status: resp.StatusCode, Header: resp.Header, Body: string(text), URL: redact(at.String())}
	e.Message = fmt.Sprintf("%d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	if said := firstLine(resp.Header.Get("Content-Type"), e.Body); said != "" {
		e.Message += ": " + said
	}
	switch s := resp.StatusCode; {
	case s == http.StatusUnauthorized:
		e.Kind, e.hint = fetch.ErrDenied, "it wants credentials, or refuses those that it got: palisade secret list shows what is kept"
	case s == http.StatusForbidden:
		e.Kind, e.hint = fetch.ErrDenied, "these credentials do not open it: is there a licence to be accepted at the place itself?"
	case s == http.StatusProxyAuthRequired:
		e.Kind, e.hint = fetch.ErrDenied, "the proxy wants credentials: HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT"
	case s == http.StatusNotFound || s == http.StatusGone:
		e.Kind, e.hint = fetch.ErrNotFound, "is the name right? Some places say the same of what needs credentials"
	case s == http.StatusPreconditionFailed || s == http.StatusRequestedRangeNotSatisfiable:
		e.Kind = fetch.ErrChanged
	case s == http.StatusRequestTimeout || s == http.StatusTooManyRequests || s >= 500 && s != http.StatusNotImplemented && s != http.StatusHTTPVersionNotSupported:
		if after, is := RetryAfter(resp.Header, time.Now()); is {
			return &fetch.Later{After: after, Err: e}
		}
	default:
		e.Kind = fetch.ErrRefused
	}
	return e
}

// RetryAfter reads Retry-After, seconds or a time: how long to wait from now; false where it says neither.
func RetryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	text := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second, true
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(now)), true
	}
	return 0, false
}

// firstLine is what a plain answer says, as far as a line of a terminal should show it.
func firstLine(kind, text string) string {
	if kind = strings.ToLower(kind); strings.Contains(kind, "html") || strings.Contains(kind, "octet") {
		return ""
	}
	text, _, _ = strings.Cut(strings.TrimSpace(text), "\n")
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, text)
	if len(text) > 200 {
		text = strings.ToValidUTF8(text[:200], "") + "…"
	}
	return text
}

// unanswered is the error of a request without an answer.
func unanswered(ctx context.Context, err error, at *url.URL) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	e := &Error{URL: redact(at.String()), Cause: err, Message: "no answer"}
	if u, is := errors.AsType[*url.Error](err); is {
		e.Cause = u.Err // url.Error repeats the address, with what opens it
	}
	unknown, isUnknown := errors.AsType[*net.DNSError](err)
	refused, isRefused := errors.AsType[*net.OpError](err)
	far, tooNear := errors.AsType[*reach.Refused](err)
	switch {
	case tooNear:
		e.Kind, e.Message, e.hint = fetch.ErrRefused, far.Error(), far.Hint()
	case isCertificate(err):
		e.Kind, e.Message = fetch.ErrRefused, "its certificate is not accepted: "+e.Cause.Error()
		e.hint = "is the clock of the box right? A certificate authority of your own goes to /usr/local/share/ca-certificates"
	case isUnknown && unknown.IsNotFound:
		e.Message, e.hint = fmt.Sprintf("there is no host %s", at.Hostname()), "is the name right, and has the box a network and a name server?"
	case isRefused && refused.Op == "dial":
		e.Message, e.hint = fmt.Sprintf("%s cannot be reached: %v", at.Host, refused.Err), "has the box a network? Behind a proxy, set HTTPS_PROXY for palisade serve"
	case isTimeout(err):
		e.Message = "no answer in time"
	default:
		e.Message += ": " + e.Cause.Error()
	}
	return e
}

func isTimeout(err error) bool {
	t, is := errors.AsType[net.Error](err)
	return is && t.Timeout()
}

func isCertificate(err error) bool {
	_, wrong := errors.AsType[*tls.CertificateVerificationError](err)
	_, unknown := errors.AsType[x509.UnknownAuthorityError](err)
	_, name := errors.AsType[x509.HostnameError](err)
	_, plain := errors.AsType[tls.RecordHeaderError](err)
	return wrong || unknown || name || plain
}
