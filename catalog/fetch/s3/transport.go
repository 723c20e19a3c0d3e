package s3

import (
	"context"
	"net"
	"net/http"
	"time"
)

// patient is a transport that gives up on a store that is silent, never on one that is slow.
func patient() http.RoundTripper {
	dialer := &net.Dialer{Timeout: connectIn, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 32, IdleConnTimeout: 90 * time.Second,
		TLSHandshakeTimeout: connectIn, ResponseHeaderTimeout: silentFor, DisableCompression: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &awake{conn}, nil
		},
	}
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
