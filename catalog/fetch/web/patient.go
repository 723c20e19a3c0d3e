package web

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/palisade-run/palisade/catalog/fetch/reach"
)

// How long a place that somebody else's library talks to may keep silent.
const (
	connectIn = 20 * time.Second
	silentFor = 60 * time.Second
)

// Patient is a transport for libraries that bring their own client: it gives up on a place that is silent, never on one that is
// slow. The guard says what may be asked on whose behalf; nil: everything.
func Patient(guard *reach.Guard) http.RoundTripper {
	return guard.Transport(func(dial func(ctx context.Context, network, address string) (net.Conn, error)) *http.Transport {
		return &http.Transport{
			Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 32, IdleConnTimeout: 90 * time.Second,
			TLSHandshakeTimeout: connectIn, ResponseHeaderTimeout: silentFor, DisableCompression: true,
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := dial(ctx, network, address)
				if err != nil {
					return nil, err
				}
				return &awake{conn}, nil
			},
		}
	})
}

// awake ends when nothing comes for long.
type awake struct{ net.Conn }

// Read implements net.Conn.
func (c *awake) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(silentFor)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}
