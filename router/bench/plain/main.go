// Command plain is Go's own httputil.ReverseProxy, tuned as one does who knows it and checking nothing: what a data
// plane in Go costs without a path of its own. `make bench` measures it beside Palisade.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "plain:", err)
		os.Exit(1)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	listen := flag.String("listen", "127.0.0.1:8080", "where it answers")
	routes := flag.String("routes", "", "where engines answer, with commas")
	again := flag.Int("again", 0, "holds bodies, and tries so many other engines where none answered")
	flag.Parse()
	server := &http.Server{Addr: *listen, ReadHeaderTimeout: time.Minute, Handler: proxy(strings.Split(*routes, ","), *again)}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.ListenAndServe(); ctx.Err() == nil {
		return fmt.Errorf("serving: %w", err)
	}
	return nil
}

func proxy(routes []string, again int) http.Handler {
	var turn atomic.Uint64
	next := func() string { return routes[turn.Add(1)%uint64(len(routes))] }
	var transport http.RoundTripper = &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 2 * time.Second}).DialContext,
		MaxIdleConnsPerHost: 4096,
		IdleConnTimeout:     90 * time.Second,
		DisableCompression:  true,
	}
	if again > 0 {
		transport = retrier{transport, next, again}
	}
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", next()
		},
		Transport:     transport,
		FlushInterval: -1, // at once
		BufferPool:    &buffers{},
		ErrorLog:      log.New(io.Discard, "", 0),
	}
}

// buffers are those that bodies are copied with.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return *p
	}
	return make([]byte, 32<<10)
}

func (b *buffers) Put(p []byte) { b.pool.Put(&p) }

// retrier asks another engine where one gave no answer.
type retrier struct {
	http.RoundTripper
	next  func() string
	again int
}

func (r retrier) RoundTrip(q *http.Request) (*http.Response, error) {
	if q.Body == nil {
		return r.RoundTripper.RoundTrip(q)
	}
	body, err := io.ReadAll(q.Body)
	if err = errors.Join(err, q.Body.Close()); err != nil {
		return nil, err
	}
	for i := 0; ; i++ {
		q = q.Clone(q.Context())
		q.Body = io.NopCloser(bytes.NewReader(body))
		res, err := r.RoundTripper.RoundTrip(q)
		if err == nil || i >= r.again || q.Context().Err() != nil {
			return res, err
		}
		q.URL.Host = r.next()
	}
}
