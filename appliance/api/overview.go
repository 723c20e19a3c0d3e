package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// ServiceOverview is a part of a project's services as a list shows them.
type ServiceOverview struct {
	Items  []ServiceRow   `json:"items"`
	Total  int            `json:"total"`  // that fit the search and the status; Items are a part of them
	States map[string]int `json:"states"` // how many of those that fit the search are in which status
	// Names are those of all that fit, by their ids, where they are asked for.
	Names map[string]string `json:"names,omitempty"`
}

// ServiceRow is one service in a list. Figures are of the last 10 seconds, up to 10 seconds old.
type ServiceRow struct {
	ID                string    `json:"id"`
	Name              string    `json:"name"`
	Project           string    `json:"project"`
	ModelName         string    `json:"model_name"`
	RuntimeVariant    string    `json:"runtime_variant"`
	CreatedAt         time.Time `json:"created_at"`
	Status            string    `json:"status"`
	Reason            string    `json:"reason"` // one sentence: why it is in Status
	Replicas          int       `json:"replicas"`
	HealthyRoutes     int       `json:"healthy_routes"`
	OpenToPublic      bool      `json:"open_to_public"`
	Autoscaled        bool      `json:"autoscaled,omitempty"` // rules decide its number of routes
	AutoscalingPaused bool      `json:"autoscaling_paused,omitempty"`
	Places            []string  `json:"places"` // where its routes run: accelerators (cuda:0), else nodes; by name
	RequestsPerSecond float64   `json:"requests_per_second"`
	TokensPerSecond   float64   `json:"tokens_per_second"`
	TTFTP95           float64   `json:"ttft_p95"`     // seconds; 0 where nothing was answered
	DurationP95       float64   `json:"duration_p95"` // seconds; 0 where nothing was answered
	InFlight          int       `json:"in_flight"`
	Waiting           int       `json:"waiting"`
	Trend             []float64 `json:"trend"` // tokens a second in the last half hour, a value every 30 seconds; of what makes none, requests a second
}

// ServiceOverviewFilter chooses services, and in what order which part of them comes.
type ServiceOverviewFilter struct {
	Search string // part of the name, the model's name, the variant or the image
	Status string
	Sort   string // name, status, model, replicas, requests, tokens, ttft, latency, created; "" name
	Down   bool   // the largest first
	Names  bool   // with the names of all
	Limit  int    // 0: 50
	Offset int
}

// ServiceOverview lists services as people look at them.
func (c *Client) ServiceOverview(ctx context.Context, f ServiceOverviewFilter) (ServiceOverview, error) {
	q := url.Values{"search": {f.Search}, "status": {f.Status}, "sort": {f.Sort}}
	if f.Names {
		q.Set("names", "true")
	}
	if f.Down {
		q.Set("down", "true")
	}
	if f.Limit > 0 {
		q.Set("limit", strconv.Itoa(f.Limit))
	}
	if f.Offset > 0 {
		q.Set("offset", strconv.Itoa(f.Offset))
	}
	var out ServiceOverview
	return out, c.unary(ctx, call{method: http.MethodGet, path: "/service-overview", query: q}, &out)
}

// ServiceHistory is what a service did in the last hour. It is kept in memory: a restart of the appliance begins it anew.
type ServiceHistory struct {
	Step   float64         `json:"step"`   // seconds from point to point
	Points []ServiceMoment `json:"points"` // the earliest first
}

// ServiceMoment is what a service did in one step.
type ServiceMoment struct {
	At                    time.Time `json:"at"` // its end
	RequestsPerSecond     float64   `json:"requests_per_second"`
	ErrorsPerSecond       float64   `json:"errors_per_second"`
	TokensPerSecond       float64   `json:"tokens_per_second"` // of answers
	PromptTokensPerSecond float64   `json:"prompt_tokens_per_second"`
	TTFTP50               float64   `json:"ttft_p50,omitempty"` // seconds; left out, as the three below, where nothing was answered
	TTFTP95               float64   `json:"ttft_p95,omitempty"`
	DurationP50           float64   `json:"duration_p50,omitempty"`
	DurationP95           float64   `json:"duration_p95,omitempty"`
	InFlight              int       `json:"in_flight"`
	Waiting               int       `json:"waiting"` // for a route
	Routes                int       `json:"routes"`  // that could be asked
}

// ServiceHistory says what a service did in the last hour, or after a time in it.
func (c *Client) ServiceHistory(ctx context.Context, ref string, after time.Time) (ServiceHistory, error) {
	q := url.Values{}
	if !after.IsZero() {
		q.Set("after", after.Format(time.RFC3339Nano))
	}
	var out ServiceHistory
	return out, c.unary(ctx, call{method: http.MethodGet, path: "/services/" + seg(ref) + "/history", query: q}, &out)
}

// ServiceCheck says what would come of a service if it were asked for now.
type ServiceCheck struct {
	Resources map[string]string `json:"resources"` // of each route
	Replicas  int               `json:"replicas"`
	Start     int               `json:"start"`              // routes that there is a place for now
	Nodes     []string          `json:"nodes"`              // where those would be
	Ahead     int               `json:"ahead"`              // sessions that wait already
	Fit       string            `json:"fit,omitempty"`      // whether the model fits, in one sentence; left out where that cannot be told
	Waits     []Wait            `json:"waits"`              // what the first route without a place would wait for
	Warnings  []FieldError      `json:"warnings,omitempty"` // what is doubtful
}

// CheckService says what would come of a service; nothing is made.
func (c *Client) CheckService(ctx context.Context, in ServiceCreate) (ServiceCheck, error) {
	var out ServiceCheck
	return out, c.unary(ctx, call{method: http.MethodPost, path: "/services/check", in: in}, &out)
}
