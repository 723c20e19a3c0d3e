package api

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Glance is a project, or the whole appliance, at a glance: as much as fits on one page, however much there is.
type Glance struct {
	At       time.Time       `json:"at"`
	Services GlanceServices  `json:"services"`
	Sessions GlanceSessions  `json:"sessions"`
	Installs []GlanceInstall `json:"installs"` // under way, and those of the last week whose model has had none since that went well; newest first, at most 20
	Expiring []GlanceToken   `json:"expiring"` // tokens that end within a week, or did within one; soonest first, at most 20
	Happened []Happening     `json:"happened"` // newest first, at most 20
}

// GlanceServices are services at a glance.
type GlanceServices struct {
	Total             int             `json:"total"`
	States            map[string]int  `json:"states"` // how many are in each status
	RequestsPerSecond float64         `json:"requests_per_second"`
	InFlight          int             `json:"in_flight"`
	Ailing            []GlanceService `json:"ailing"` // degraded, unhealthy, or not coming up; worst first, at most 20
}

// GlanceService is one service at a glance.
type GlanceService struct {
	ID                string     `json:"id"`
	Name              string     `json:"name"`
	Project           string     `json:"project"`
	ModelName         string     `json:"model_name"`
	Status            string     `json:"status"`
	Reason            string     `json:"reason"`
	LastError         string     `json:"last_error,omitempty"`
	Failures          int        `json:"failures"`             // starts that failed in a row
	NextRetry         *time.Time `json:"next_retry,omitempty"` // no start before it
	HealthyRoutes     int        `json:"healthy_routes"`
	Replicas          int        `json:"replicas"` // wanted
	InFlight          int        `json:"in_flight"`
	RequestsPerSecond float64    `json:"requests_per_second"` // of the last minute
	ErrorsPerSecond   float64    `json:"errors_per_second"`
	TokensPerSecond   float64    `json:"tokens_per_second"`
}

// GlanceSessions are sessions at a glance, those that live.
type GlanceSessions struct {
	Total        int            `json:"total"`
	States       map[string]int `json:"states"` // how many are in each status
	Types        map[string]int `json:"types"`  // how many there are of each type
	WaitingTotal int            `json:"waiting_total"`
	Waiting      []Waiting      `json:"waiting"` // in the order in which they are tried, at most 20
}

// GlanceInstall is an install at a glance.
type GlanceInstall struct {
	ID        string    `json:"id"`
	Model     string    `json:"model"`
	Project   string    `json:"project"`
	Kind      string    `json:"kind"`
	Source    string    `json:"source"`
	Status    string    `json:"status"`
	Step      string    `json:"step,omitempty"`
	Error     string    `json:"error,omitempty"`
	Hint      string    `json:"hint,omitempty"`
	CreatedAt time.Time `json:"created_at"`
}

// GlanceToken is a token that ends soon.
type GlanceToken struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Project   string    `json:"project"`
	Service   string    `json:"service,omitempty"` // name; "" for all services of the project
	ExpiresAt time.Time `json:"expires_at"`
}

// What happened.
const (
	SessionCreated   = "session-created"
	SessionEnded     = "session-ended"
	ServiceCreated   = "service-created"
	InstallBegun     = "install-begun"
	InstallSucceeded = "install-succeeded"
	InstallFailed    = "install-failed"
	InstallCancelled = "install-cancelled"
)

// Happening is one thing that happened.
type Happening struct {
	At      time.Time `json:"at"`
	Kind    string    `json:"kind"` // session-created, session-ended, service-created, install-begun, install-succeeded, install-failed, install-cancelled
	ID      string    `json:"id"`   // of what it happened to
	Name    string    `json:"name"`
	Project string    `json:"project"`
	By      string    `json:"by,omitempty"`
	Result  string    `json:"result,omitempty"` // of a session that ended: success, failure, undefined
	Note    string    `json:"note,omitempty"`   // why
}

// Glance returns the project at a glance; with all, every project.
func (c *Client) Glance(ctx context.Context, all bool) (Glance, error) {
	q := url.Values{}
	if all {
		q.Set("all", "true")
	}
	var out Glance
	return out, c.unary(ctx, call{method: http.MethodGet, path: "/glance", query: q}, &out)
}
