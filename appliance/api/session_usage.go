package api

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// SessionUsage is what sessions held and used in a period.
type SessionUsage struct {
	From   time.Time         `json:"from"`   // a whole hour
	To     time.Time         `json:"to"`     // a whole hour, not part of it
	Zone   string            `json:"zone"`   // days and months are of it
	By     []string          `json:"by"`     // what groups differ in
	Groups []SessionUsageRow `json:"groups"` // by time, in a time the largest first; none where By is empty
	Total  SessionUsageRow   `json:"total"`

	Currency string `json:"currency,omitempty"` // of costs; left out where accelerators have no price
}

// SessionUsageRow is what a group of sessions held and used together. Of its first fields it has those that groups were
// made by. Seconds are exact to the thousandth.
type SessionUsageRow struct {
	Start       *time.Time `json:"start,omitempty"` // of the hour, day or month
	User        string     `json:"user,omitempty"`
	Project     string     `json:"project,omitempty"`
	Session     string     `json:"session,omitempty"`      // id
	SessionName string     `json:"session_name,omitempty"` // the last that it had
	Type        string     `json:"type,omitempty"`         // interactive, batch, inference, system

	Sessions          int     `json:"sessions"`           // how many
	HeldSeconds       float64 `json:"held_seconds"`       // with a place
	CoreSeconds       float64 `json:"core_seconds"`       // cores that were held, whether used or not
	MemorySeconds     float64 `json:"memory_gib_seconds"` // memory that was held
	ShareSeconds      float64 `json:"share_seconds"`      // accelerators that were held, parts of them by their size
	CPUSeconds        float64 `json:"used_core_seconds"`  // cores that were really used
	UsedMemorySeconds float64 `json:"used_gib_seconds"`   // memory that was really used

	Cost *float64 `json:"cost,omitempty"` // of the accelerators that were held; left out where they have no price
}

// SessionUsageQuery chooses what is summed up, and how groups are made. Zero fields take the default: all of the project in
// the last 30 days, in UTC, in one sum.
type SessionUsageQuery struct {
	By       []string // user, project, session, type; and one of hour, day, month
	From, To string   // RFC 3339, 2026-03-01, 2026-03, or how long ago: 7d, 12h
	Zone     string   // Asia/Seoul, +09:00
	User     string
	Session  string // id, or a name that it had
	Type     string
	// Uncounted: how many sessions there were in a time need not be said. Sums over time come faster.
	Uncounted bool
	All       bool // of every project
}

// SessionUsage returns what sessions held and used.
func (c *Client) SessionUsage(ctx context.Context, q SessionUsageQuery) (SessionUsage, error) {
	query := url.Values{
		"by": {strings.Join(q.By, ",")}, "from": {q.From}, "to": {q.To}, "zone": {q.Zone},
		"user": {q.User}, "session": {q.Session}, "type": {q.Type},
	}
	for name, on := range map[string]bool{"all": q.All, "uncounted": q.Uncounted} {
		if on {
			query.Set(name, "true")
		}
	}
	var out SessionUsage
	return out, c.unary(ctx, call{method: http.MethodGet, path: "/usage/sessions", query: query}, &out)
}
