// Command gate is Palisade's data plane alone: the router with one service, its routes given on the command line, and one
// token. It is what `make bench` measures beside programs that do nothing else either; everything that a request
// costs is on: token check, model, limits, counts, metrics.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"runtime/pprof"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/palisade-run/palisade/router"
	"github.com/palisade-run/palisade/router/record"
	"github.com/palisade-run/palisade/router/usage"
)

func main() {
	debug.SetGCPercent(40) // as the daemon does
	var g gate
	flag.StringVar(&g.listen, "listen", "127.0.0.1:8080", "where it answers; /metrics too")
	flag.StringVar(&g.routes, "routes", "", "where engines answer, with commas")
	flag.StringVar(&g.model, "model", "bench", "name of the service")
	flag.StringVar(&g.token, "token", "", "the secret that opens it: pal- and 52 letters")
	flag.StringVar(&g.profile, "profile", "", "file for a CPU profile of the whole run")
	flag.DurationVar(&g.probe, "probe", 0, "asks engines for /health so often, and takes out of the balance who does not answer; 0: never")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	err := g.run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "gate:", err)
		os.Exit(1)
	}
}

type gate struct {
	listen, routes, model, token, profile string
	probe                                 time.Duration
}

func (g gate) run(ctx context.Context) error {
	if g.profile != "" {
		f, err := os.Create(g.profile)
		if err != nil {
			return fmt.Errorf("making the profile: %w", err)
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return fmt.Errorf("beginning the profile: %w", err)
		}
		defer pprof.StopCPUProfile()
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	tokens, err := router.NewTokens(ctx, oneToken(g.token), time.Now)
	if err != nil {
		return err
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector())
	r := router.New(router.Config{}, tokens, reg, log)
	counted := usage.NewMeter(forgetful{}, time.Now, log)
	live := record.NewLive(time.Now())
	go counted.Run(ctx)
	go live.Run(ctx)
	r.Observe(router.Observers{Live: live, Usage: counted})
	service := router.Service{ID: "svc-bench", Name: g.model, Project: "default", CreatedAt: time.Now(), Status: "HEALTHY", Traffic: router.Traffic{AskUsage: true}}
	for i, addr := range strings.Split(g.routes, ",") {
		service.Routes = append(service.Routes, router.Route{ID: fmt.Sprintf("route-%d", i), Addr: addr, Weight: 1})
	}
	r.SetServices([]router.Service{service})
	if g.probe > 0 {
		go watch(ctx, g.probe, service, r.SetServices)
	}
	metrics := promhttp.HandlerFor(reg, promhttp.HandlerOpts{})
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		switch q.URL.Path {
		case "/metrics":
			metrics.ServeHTTP(w, q)
		case "/health":
		default:
			r.ServeHTTP(w, q)
		}
	})}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", g.listen)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	entrance := router.NewGate(router.Config{}, server, log)
	entrance.Open(r)
	context.AfterFunc(ctx, func() { _ = entrance.Close() })
	if err := entrance.Serve(listener); ctx.Err() == nil {
		return fmt.Errorf("serving: %w", err)
	}
	return nil
}

// forgetful is a store of usage that keeps nothing: what a database costs is not the data plane's.
type forgetful struct{}

func (forgetful) AddUsage(context.Context, usage.Batch) error { return nil }

func (forgetful) Usage(context.Context, usage.Query) ([]usage.Row, error) { return nil, nil }

// watch does what the daemon does with routes that are not healthy: it takes them out of the table.
func watch(ctx context.Context, every time.Duration, s router.Service, set func([]router.Service)) {
	client := &http.Client{Timeout: every, Transport: &http.Transport{DisableKeepAlives: true}}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		seen := s
		seen.Routes = make([]router.Route, len(s.Routes))
		answers := make(chan struct{})
		for i, route := range s.Routes {
			go func() {
				if route.Draining = !healthy(ctx, client, route.Addr); route.Draining {
					route.Weight = 0
				}
				seen.Routes[i] = route
				answers <- struct{}{}
			}()
		}
		for range s.Routes {
			<-answers
		}
		set([]router.Service{seen})
	}
}

func healthy(ctx context.Context, client *http.Client, addr string) bool {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/health", nil)
	if err != nil {
		return false
	}
	res, err := client.Do(q)
	if err != nil {
		return false
	}
	_ = res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// oneToken is a store with the one token of that secret.
type oneToken string

func (t oneToken) Tokens(context.Context) ([]router.Token, error) {
	hash := sha256.Sum256([]byte(t))
	now := time.Now()
	return []router.Token{{ID: "tok-bench", Hash: hex.EncodeToString(hash[:]), Name: "bench", Project: "default", CreatedAt: now, ExpiresAt: now.Add(24 * time.Hour)}}, nil
}

func (oneToken) SaveToken(context.Context, router.Token) error { return nil }

func (oneToken) TouchTokens(context.Context, map[string]time.Time) error { return nil }
