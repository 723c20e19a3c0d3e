package door

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster/trust"
)

// DefaultPort is where a door is, unless its owner says otherwise.
const DefaultPort = "8480"

// ParseURL reads the address of a door as a person gives it: https://HOST:PORT, HOST:PORT or HOST. It returns HOST:PORT. ErrAddress.
func ParseURL(text string) (hostport string, err error) {
	bad := func(what, hint string) (string, error) {
		return "", &Error{fmt.Errorf("%q: %w: %s", text, ErrAddress, what), hint}
	}
	const hint = "give the one that palisade cluster token prints, as in: palisade join https://10.0.0.1:" + DefaultPort + " TOKEN"
	rest := strings.TrimSpace(text)
	if scheme, after, ok := strings.Cut(rest, "://"); ok {
		if strings.EqualFold(scheme, "http") {
			return bad("other boxes are reached by https alone", "say https:// in its place, and the port for other boxes: "+DefaultPort+" unless cluster.listen says otherwise")
		}
		if !strings.EqualFold(scheme, "https") {
			return bad("it begins with "+scheme+"://", hint)
		}
		rest = after
	}
	u, err := url.Parse("https://" + rest)
	switch {
	case err != nil || u.Hostname() == "" || u.User != nil:
		return bad("it names no host", hint)
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		return bad("there is something behind the port", hint)
	}
	port := u.Port()
	if port == "" {
		port = DefaultPort
	}
	return net.JoinHostPort(u.Hostname(), port), nil
}

// Asking is what a box says to be let in.
type Asking struct {
	Node    *trust.Node
	Pending trust.Pending
	Version string // of this program
	Address string // HOST:PORT at which others are to reach this box
	Now     func() time.Time
}

// Join asks once, and takes the answer over: trust.Waiting, or trust.In. It may be said again at any time. Errors are trust's, or
// ErrAddress, ErrAway, ErrNotReady; Final tells which ones asking again is of no use for.
func Join(ctx context.Context, a Asking) (trust.State, error) {
	at, err := ParseURL(a.Pending.URL)
	if err != nil {
		return "", err
	}
	asked, err := a.Node.Request(a.Pending.Token, a.Version, a.Address)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(asked) //nolint:gosec // the token is what is to be shown, and to whom was pinned by it
	if err != nil {
		return "", fmt.Errorf("asking to join: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, headerPatience, fmt.Errorf("no answer within %s", headerPatience))
	defer cancel()
	client := &http.Client{
		Transport:     &http.Transport{TLSClientConfig: trust.Pinned(a.Pending.Token, a.Now), DisableKeepAlives: true, TLSHandshakeTimeout: headerPatience},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+at+pathJoin, bytes.NewReader(text))
	if err != nil {
		return "", fmt.Errorf("asking to join: %w", err)
	}
	answer, err := client.Do(r)
	if err != nil {
		return "", unreached(ctx, at, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return "", denied(at, answer)
	}
	got, err := trust.ReadAnswer(answer.Body)
	if err != nil {
		return "", fmt.Errorf("%s: %w", at, err)
	}
	return a.Node.Take(got, a.Pending.Token)
}

// unreached says why a box cannot be asked.
func unreached(ctx context.Context, at string, err error) error {
	if wrong, is := errors.AsType[*url.Error](err); is {
		err = wrong.Err
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	host, port, _ := net.SplitHostPort(at)
	var header tls.RecordHeaderError
	var dns *net.DNSError
	open := fmt.Sprintf("is palisade running there, with a cluster, and the port open to this box? Try: nc -vz %s %s", host, port)
	switch {
	case errors.Is(err, trust.ErrAuthority):
		return fmt.Errorf("%s: %w", at, err)
	case errors.As(err, &header), errors.Is(err, http.ErrSchemeMismatch):
		return &Error{fmt.Errorf("%s: %w: what answers there speaks no TLS", at, ErrAddress), "that may be the port for people: the one for other boxes is " + DefaultPort + " unless cluster.listen says otherwise"}
	case errors.As(err, &dns):
		return &Error{fmt.Errorf("%s: %w: %w", at, ErrAway, err), "give the box's IP address, or see to the name in DNS"}
	case errors.Is(err, syscall.ECONNREFUSED):
		return &Error{fmt.Errorf("%s: %w: nobody listens there", at, ErrAway), open}
	}
	return &Error{fmt.Errorf("%s: %w: %w", at, ErrAway, err), open}
}

// denied is what the other box answers in the place of letting this one in.
func denied(at string, answer *http.Response) error {
	raw, _ := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	var refusal trust.Refusal
	if json.Unmarshal(raw, &refusal) != nil || refusal.Code == "" {
		return &Error{fmt.Errorf("%s: %w: it answers %s", at, ErrAddress, answer.Status), "is that the port for other boxes, of a box of this cluster, and of a version that knows of clusters?"}
	}
	err := refusal.Err()
	switch refusal.Code {
	case "not_ready":
		return &Error{fmt.Errorf("%s: %w: %w", at, ErrNotReady, err), refusal.Hint}
	case "version":
		return &Error{fmt.Errorf("%s: %w: %w", at, errVersions, err), refusal.Hint}
	}
	return err
}

// Final tells whether asking again would get the same answer.
func Final(err error) bool {
	for _, kind := range []error{
		trust.ErrInvalid, trust.ErrToken, trust.ErrSpent, trust.ErrAuthority, trust.ErrTaken, trust.ErrRefused, trust.ErrRemoved, ErrAddress, errVersions,
	} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}
