package api

import (
	"context"
	"net/http"
	"net/url"
	"strings"
)

// UsageQuery chooses what is summed up, and how groups are made. Zero fields take the default: all of the project in the
// last 30 days, in UTC, in one sum.
type UsageQuery struct {
	By       []string // token, user, project, service, model, status; and one of hour, day, month
	From, To string   // RFC 3339, 2026-03-01, 2026-03, or how long ago: 7d, 12h
	Zone     string   // Asia/Seoul, +09:00
	Token    string   // id or name
	Service  string   // name or id
	Model    string
	All      bool // of every project
}

// Usage returns what was used.
func (c *Client) Usage(ctx context.Context, q UsageQuery) (Usage, error) {
	query := url.Values{
		"by": {strings.Join(q.By, ",")}, "from": {q.From}, "to": {q.To}, "zone": {q.Zone},
		"token": {q.Token}, "service": {q.Service}, "model": {q.Model},
	}
	if q.All {
		query.Set("all", "true")
	}
	var out Usage
	return out, c.unary(ctx, call{method: http.MethodGet, path: "/usage", query: query}, &out)
}
