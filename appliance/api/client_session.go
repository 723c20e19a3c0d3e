package api

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
)

// SessionFilter chooses sessions; what is "" or empty chooses all.
type SessionFilter struct {
	Type     string
	Types    []string // any of these
	Status   string
	Statuses []string // any of these
	Service  string   // id or name
	Owner    string   // who made it
	Search   string   // in its name, id or image
	Array    string   // id of the array that it is of, or the name that the array was given; of several of that name any
	All      bool     // ended ones too
}

func (f SessionFilter) values() url.Values {
	q := url.Values{"type": f.Types, "status": f.Statuses, "service": {f.Service}, "owner": {f.Owner}, "search": {f.Search}, "array": {f.Array}}
	if f.Type != "" {
		q.Add("type", f.Type)
	}
	if f.Status != "" {
		q.Add("status", f.Status)
	}
	if f.All {
		q.Set("all", "true")
	}
	return q
}

// Sessions lists sessions, oldest first.
func (c *Client) Sessions(ctx context.Context, f SessionFilter) ([]Session, error) {
	return list[Session](ctx, c, "/sessions", f.values())
}

// SessionsPage returns a part of a list, newest first: limit of them behind the first offset, with how many there are.
func (c *Client) SessionsPage(ctx context.Context, f SessionFilter, offset, limit int) (SessionPage, error) {
	q := f.values()
	q.Set("order", "newest")
	q.Set("offset", strconv.Itoa(offset))
	q.Set("limit", strconv.Itoa(limit))
	var out SessionPage
	return out, c.unary(ctx, call{method: http.MethodGet, path: "/sessions", query: q}, &out)
}

// CheckSession says what would come of a session if it were asked for now; nothing is made. What is wrong with it is a Problem,
// as it is for CreateSession.
func (c *Client) CheckSession(ctx context.Context, in SessionCreate) (SessionCheck, error) {
	var out SessionCheck
	return out, c.unary(ctx, call{method: http.MethodPost, path: "/sessions/check", in: in}, &out)
}

// Session returns one by id or name.
func (c *Client) Session(ctx context.Context, ref string) (Session, error) {
	var out Session
	return out, c.unary(ctx, call{method: http.MethodGet, path: "/sessions/" + seg(ref)}, &out)
}

// SessionLogs streams what a session writes.
func (c *Client) SessionLogs(ctx context.Context, ref string, o LogOptions) (io.ReadCloser, error) {
	return c.stream(ctx, "/sessions/"+seg(ref)+"/logs", o.query())
}

// EarlierLogs streams what a session's earlier runs have written.
func (c *Client) EarlierLogs(ctx context.Context, ref string) (io.ReadCloser, error) {
	return c.stream(ctx, "/sessions/"+seg(ref)+"/logs", url.Values{"earlier": {"true"}})
}

// StatusHistory of a session, oldest first.
func (c *Client) StatusHistory(ctx context.Context, ref string) ([]Transition, error) {
	return list[Transition](ctx, c, "/sessions/"+seg(ref)+"/status-history", nil)
}

// Stats samples what a session uses.
func (c *Client) Stats(ctx context.Context, ref string) (Stats, error) {
	var out Stats
	return out, c.unary(ctx, call{method: http.MethodGet, path: "/sessions/" + seg(ref) + "/stats"}, &out)
}

// TerminateSession ends a session; forced skips its grace.
func (c *Client) TerminateSession(ctx context.Context, ref string, forced bool) error {
	q := url.Values{}
	if forced {
		q.Set("forced", "true")
	}
	return c.unary(ctx, call{method: http.MethodDelete, path: "/sessions/" + seg(ref), query: q}, nil)
}

// CreateSession asks for sessions of one's own; it does not wait for them to run.
func (c *Client) CreateSession(ctx context.Context, in SessionCreate) ([]Session, error) {
	var out SessionsCreated
	err := c.unary(ctx, call{method: http.MethodPost, path: "/sessions", in: in}, &out)
	return out.Items, err
}

// UpdateSession changes a live session of a person.
func (c *Client) UpdateSession(ctx context.Context, ref string, in SessionUpdate) (Session, error) {
	var out Session
	return out, c.unary(ctx, call{method: http.MethodPatch, path: "/sessions/" + seg(ref), in: in}, &out)
}

// RestartSession ends what runs of a person's session and starts it again.
func (c *Client) RestartSession(ctx context.Context, ref string) error {
	return c.unary(ctx, call{method: http.MethodPost, path: "/sessions/" + seg(ref) + "/restart"}, nil)
}

// CommitSession makes an image of what a session has changed. each, which may be nil, is told how far it is. Ending ctx
// ends it, and nothing is left.
func (c *Client) CommitSession(ctx context.Context, ref string, in SessionCommit, each func(PullProgress)) (Image, error) {
	resp, err := c.send(ctx, call{method: http.MethodPost, path: "/sessions/" + seg(ref) + "/commit", in: in})
	if err != nil {
		return Image{}, err
	}
	return pulled(ctx, resp, "making "+in.Image, each)
}
