package sessions

import (
	"context"
	"time"

	"github.com/palisade-run/palisade/variants"
)

// Traffic is what this room asks of whoever balances requests over routes.
type Traffic interface {
	// Apply replaces the table of who can answer. It returns when no new request takes a route that
	// is not in the table or drains.
	Apply(services []ServiceRoutes)
	// InFlight is the number of requests that the route is answering.
	InFlight(routeID string) int
	// WaitIdle returns when the route answers none, or with ctx's error.
	WaitIdle(ctx context.Context, routeID string) error
}

// ServiceRoutes is one service as requests find it.
type ServiceRoutes struct {
	ID      string
	Name    string
	Project string
	// CreatedAt and Status are shown to clients.
	CreatedAt time.Time
	Status    ServiceStatus
	Aliases   []string // what its engine calls the model, where that is another name
	Public    bool
	Routing   Routing
	Routes    []RouteTarget // healthy and draining ones

	ScaledBy string // as in Service
	ScaledAt time.Time

	ReadyAt time.Time // when the first of its starting routes is expected to be healthy; zero: none starts, or it is not known
	Broken  string    // starts fail, none is healthy or under way: the engine's last words; "" otherwise
	RetryAt time.Time // of the next start, where Broken says something
	Held    string    // what keeps all of its routes from starting, such as a limit; "": nothing does
}

// RouteTarget is one place that answers.
type RouteTarget struct {
	ID       string
	Addr     string // host:port
	Weight   float64
	Draining bool
	Metrics  variants.Metrics // where its engine shows its figures
}
