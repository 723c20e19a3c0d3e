package sessions

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/palisade-run/palisade/catalog"
)

// Prober asks the engine at addr (host:port) once whether it can answer. A nil check asks only
// whether the port accepts.
type Prober func(ctx context.Context, addr string, check *catalog.HealthCheck) Verdict

// acceptTimeout bounds a probe that only connects.
const acceptTimeout = 5 * time.Second

// Probe is the real Prober. Redirects are followed, but whatever host they name, the connection goes to
// addr: a probe never leaves the session that it asks about.
func Probe(ctx context.Context, addr string, check *catalog.HealthCheck) Verdict {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	}
	if check == nil {
		ctx, cancel := context.WithTimeout(ctx, acceptTimeout)
		defer cancel()
		conn, err := dial(ctx, "", "")
		if err != nil {
			return Verdict{Detail: probeError(err, acceptTimeout)}
		}
		_ = conn.Close()
		return Verdict{OK: true, Detail: "the port accepts connections"}
	}
	ctx, cancel := context.WithTimeout(ctx, check.MaxWait)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+check.Path, nil)
	if err != nil {
		return Verdict{Detail: fmt.Sprintf("health path %q: %v", check.Path, err)}
	}
	req.Header.Set("User-Agent", "palisade-probe")
	// A connection per probe: what is asked is whether the engine takes new ones.
	transport := &http.Transport{DialContext: dial, DisableKeepAlives: true, DisableCompression: true, Proxy: nil}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return Verdict{Detail: fmt.Sprintf("GET %s: %s", check.Path, probeError(err, check.MaxWait))}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return Verdict{Detail: fmt.Sprintf("GET %s: %s", check.Path, probeError(err, check.MaxWait))}
	}
	if resp.StatusCode != check.ExpectedStatus {
		return Verdict{Detail: fmt.Sprintf("GET %s: %s, wanted %d%s", check.Path, resp.Status, check.ExpectedStatus, excerpt(body))}
	}
	return Verdict{OK: true, Detail: fmt.Sprintf("GET %s: %s", check.Path, resp.Status)}
}

// probeError says in few words why a probe got no answer.
func probeError(err error, limit time.Duration) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("no answer within %s", limit)
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused: nothing listens on the port yet"
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return "the connection was closed without an answer"
	}
	return err.Error()
}

// excerpt is the beginning of what an engine said, on one line.
func excerpt(body []byte) string {
	const most = 160
	text := strings.Join(strings.Fields(strings.ToValidUTF8(string(body[:min(len(body), most)]), "")), " ")
	if text == "" {
		return ""
	}
	return ": " + text
}
