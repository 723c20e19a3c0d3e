package api

import "time"

// TokenLimits are what all requests of a token may use together; 0 is no limit. Tokens are prompt and completion.
type TokenLimits struct {
	RequestsPerMinute  int64  `json:"requests_per_minute,omitempty"`
	TokensPerMinute    int64  `json:"tokens_per_minute,omitempty"`
	ConcurrentRequests int64  `json:"concurrent_requests,omitempty"`
	TokenBudget        int64  `json:"token_budget,omitempty"`
	BudgetWindow       string `json:"budget_window,omitempty"` // hour, day, week or month of the calendar (UTC); "" for ever
}

// TokenStanding is how a token with limits stands now.
type TokenStanding struct {
	RemainingRequests *int64     `json:"remaining_requests,omitempty"` // of requests_per_minute
	RemainingTokens   *int64     `json:"remaining_tokens,omitempty"`   // of tokens_per_minute
	InFlight          int64      `json:"in_flight"`
	Spent             int64      `json:"spent"`                 // of token_budget, in its window
	SpentUntil        *time.Time `json:"spent_until,omitempty"` // when the next window begins
}
