package api

import "time"

// ServiceLive is what a service does now.
type ServiceLive struct {
	At       time.Time   `json:"at"`
	ID       string      `json:"id"`
	Name     string      `json:"name"`
	Project  string      `json:"project"`
	InFlight int         `json:"in_flight"` // requests, waiting ones too
	Waiting  int         `json:"waiting"`   // of those in flight: for a route
	Last10s  LiveFigures `json:"last_10s"`
	Last60s  LiveFigures `json:"last_60s"`
	Routes   []RouteLive `json:"routes"` // by id

	HealthyRoutes     int  `json:"healthy_routes"`
	Replicas          int  `json:"replicas"`               // wanted
	MinReplicas       *int `json:"min_replicas,omitempty"` // with MaxReplicas: between these its rules decide; left out where it has none
	MaxReplicas       *int `json:"max_replicas,omitempty"`
	AutoscalingPaused bool `json:"autoscaling_paused,omitempty"`
}

// RouteLive is what a route does now.
type RouteLive struct {
	ID       string      `json:"id"`
	Leaving  bool        `json:"leaving,omitempty"` // it gets nothing new and ends what it has
	InFlight int         `json:"in_flight"`
	Last10s  LiveFigures `json:"last_10s"`
	Last60s  LiveFigures `json:"last_60s"`
}

// LiveFigures are what was done in a time.
type LiveFigures struct {
	Seconds               float64       `json:"seconds"`  // that the figures cover; less at the beginning
	Requests              int64         `json:"requests"` // that arrived
	Errors                int64         `json:"errors"`   // answered 5xx, broken, or not answered
	Aborted               int64         `json:"aborted"`  // the client went before the end
	RequestsPerSecond     float64       `json:"requests_per_second"`
	ErrorsPerSecond       float64       `json:"errors_per_second"`
	TokensPerSecond       float64       `json:"tokens_per_second"` // of answers
	PromptTokensPerSecond float64       `json:"prompt_tokens_per_second"`
	CachedTokensPerSecond float64       `json:"cached_tokens_per_second"` // of prompts: that the engine had in its cache
	TTFT                  LiveQuantiles `json:"ttft"`                     // from a request's arrival to the first bytes of its answer
	Duration              LiveQuantiles `json:"duration"`                 // to the end of its answer; upgraded connections and aborted requests are not in it
}

// LiveQuantiles say how long something took, in seconds; 0 where nothing was counted.
type LiveQuantiles struct {
	Count int64   `json:"count"`
	P50   float64 `json:"p50"`
	P95   float64 `json:"p95"`
	P99   float64 `json:"p99"`
}

// Capture is a request that was kept to be looked at, with its answer. Secrets are taken out.
type Capture struct {
	Number           int64           `json:"number"` // the next one has a higher one; from 1 again after a restart
	At               time.Time       `json:"at"`
	Ended            bool            `json:"ended"` // what follows status is known at the end
	Method           string          `json:"method"`
	Target           string          `json:"target"` // path and query; in lists the path alone
	RequestSize      int64           `json:"request_size"`
	AnswerSize       int64           `json:"answer_size"`
	RequestID        string          `json:"request_id,omitempty"`
	Status           int             `json:"status,omitempty"`
	Error            string          `json:"error,omitempty"` // code of the refusal, or what went wrong with the route
	Route            string          `json:"route,omitempty"`
	Model            string          `json:"model,omitempty"`
	Client           string          `json:"client,omitempty"`
	Token            string          `json:"token,omitempty"` // id
	TokenName        string          `json:"token_name,omitempty"`
	Aborted          bool            `json:"aborted,omitempty"`
	Repeated         bool            `json:"repeated,omitempty"` // answered from an identical request's answer, by no route
	Retries          int             `json:"retries,omitempty"`
	Duration         float64         `json:"duration,omitempty"` // seconds
	TTFT             float64         `json:"ttft,omitempty"`     // seconds
	PromptTokens     int64           `json:"prompt_tokens,omitempty"`
	CachedTokens     int64           `json:"cached_tokens,omitempty"`
	CompletionTokens int64           `json:"completion_tokens,omitempty"`
	Request          *CaptureMessage `json:"request,omitempty"` // not in lists
	Answer           *CaptureMessage `json:"answer,omitempty"`  // not in lists
}

// CaptureMessage is one side of a capture.
type CaptureMessage struct {
	Fields []CaptureField `json:"fields"` // of the head, by name
	Body   string         `json:"body"`   // its first 64 KiB
	Base64 bool           `json:"base64"` // the body is no text, and written so
	Cut    bool           `json:"cut"`    // there was more of the body
	Size   int64          `json:"size"`   // of the whole body, in bytes
}

// CaptureField is a field of a head.
type CaptureField struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}
