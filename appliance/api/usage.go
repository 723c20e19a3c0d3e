package api

import "time"

// Usage is what was used in a period.
type Usage struct {
	From   time.Time  `json:"from"`   // a whole hour
	To     time.Time  `json:"to"`     // a whole hour, not part of it
	Zone   string     `json:"zone"`   // days and months are of it
	By     []string   `json:"by"`     // what groups differ in
	Groups []UsageRow `json:"groups"` // by time, in a time the largest first; none where By is empty
	Total  UsageRow   `json:"total"`

	Currency string `json:"currency,omitempty"` // of costs; left out where nothing has a price
}

// UsageRow is what a group of requests used together. Of its first fields it has those that groups were made by.
type UsageRow struct {
	Start     *time.Time `json:"start,omitempty"`      // of the hour, day or month
	Token     string     `json:"token,omitempty"`      // id; "(other)": too many to tell apart; left out for requests without one
	TokenName string     `json:"token_name,omitempty"` // left out where the token is known no more
	User      string     `json:"user,omitempty"`       // who made the token; left out for requests without one
	Project   string     `json:"project,omitempty"`    // of the service
	Service   string     `json:"service,omitempty"`    // name
	Model     string     `json:"model,omitempty"`      // as clients named it; "(other)": too many to tell apart
	Status    string     `json:"status,omitempty"`     // how they ended: aborted, 1xx, 2xx, 3xx, 4xx, 5xx, cut

	Requests         int64    `json:"requests"`
	Failed           int64    `json:"failed"`            // requests that ended in 4xx or 5xx, or were cut off by their route
	Aborted          int64    `json:"aborted"`           // requests whose client went before the end
	PromptTokens     int64    `json:"prompt_tokens"`     // with those of cached_tokens
	CompletionTokens int64    `json:"completion_tokens"` // with those of estimated_tokens
	CachedTokens     int64    `json:"cached_tokens"`     // that the engine had in its cache
	EstimatedTokens  int64    `json:"estimated_tokens"`  // counted by the router, since the engine did not say
	TotalTokens      int64    `json:"total_tokens"`      // prompt and completion
	TTFT             *float64 `json:"ttft,omitempty"`    // seconds to the first bytes, mean of streamed answers; left out where there were none
	Duration         float64  `json:"duration"`          // seconds to the end of an answer, mean

	Cost           *float64 `json:"cost,omitempty"`            // of what has a price; left out where nothing has
	UnpricedTokens int64    `json:"unpriced_tokens,omitempty"` // of total_tokens: those that have no price
}
