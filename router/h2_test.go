package router

import (
	"crypto/tls"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// HTTP/2 can carry a space in a path or a query, where HTTP/1.1 ends it: the engine would read another
// request line than was checked here.
func TestSpacesInTheRequestLineAreRefused(t *testing.T) {
	s := hello(engine(t, says("x")))
	s.Public = true
	tokens, err := NewTokens(t.Context(), &memoryStore{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := New(Config{}, tokens, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	r.SetServices([]Service{s})
	server := httptest.NewUnstartedServer(r)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	client := &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	t.Cleanup(client.CloseIdleConnections)
	for _, target := range []url.URL{
		{Path: "/services/hello/a b HTTP/1.0", RawPath: "//"},
		{Path: "/services/hello/a", RawQuery: "q=a b HTTP/1.0"},
	} {
		u, err := url.Parse(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		target.Scheme, target.Host = u.Scheme, u.Host
		if target.RawPath != "" {
			target.Opaque = "//" + u.Host + target.Path // sent as it is
		}
		req := &http.Request{Method: http.MethodGet, URL: &target, Host: u.Host, Header: http.Header{}}
		res, err := client.Do(req.WithContext(t.Context()))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || res.ProtoMajor != 2 || res.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), "invalid_path") {
			t.Errorf("%s: %s %s %v: %s", target.String(), res.Proto, res.Status, err, body) // the engine's own 400 is none
		}
	}
}
