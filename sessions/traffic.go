package sessions

import (
	"context"
	"time"

	"github.com/palisade-run/palisade/variants"
)

// Traffic is what this room asks of whoever balances requests over routes.
type Traffic interface {
	// Apply replaces the table of who can answer. It returns when no new request takes a route that
	// is not in the table or drains. What services point to never changes: one that was handed over before
	// says what it said.
	Apply(services []*ServiceRoutes)
	// InFlight is the number of requests that the route is answering.
	InFlight(routeID string) int
	// WaitIdle returns when the route answers none, or with ctx's error.
	WaitIdle(ctx context.Context, routeID string) error
}

// ServiceRoutes is one service as requests find it. All boxes of a cluster are told of it each time it changes: in JSON it is short.
type ServiceRoutes struct {
	ID      string
	Name    string
	Project string `json:",omitempty"`
	// CreatedAt and Status are shown to clients.
	CreatedAt time.Time
	Status    ServiceStatus
	Aliases   []string `json:",omitempty"` // what its engine calls the model, where that is another name
	Public    bool     `json:",omitempty"`
	Routing   Routing
	Routes    []RouteTarget `json:",omitempty"` // healthy and draining ones

	ScaledBy string    `json:",omitempty"` // as in Service
	ScaledAt time.Time `json:",omitzero"`

	ReadyAt time.Time `json:",omitzero"`  // when the first of its starting routes is expected to be healthy; zero: none starts, or it is not known
	Broken  string    `json:",omitempty"` // starts fail, none is healthy or under way: the engine's last words; "" otherwise
	RetryAt time.Time `json:",omitzero"`  // of the next start, where Broken says something
	Held    string    `json:",omitempty"` // what keeps all of its routes from starting, such as a limit; "": nothing does
}

// RouteTarget is one place that answers.
type RouteTarget struct {
	ID       string
	Addr     string // host:port
	Weight   float64
	Draining bool             `json:",omitempty"`
	Metrics  variants.Metrics `json:"-"` // where its engine shows its figures: whoever routes does not ask
}
