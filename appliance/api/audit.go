package api

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// AuditRecord is who changed what, once.
type AuditRecord struct {
	Seq     int64         `json:"seq"`
	At      time.Time     `json:"at"`
	Actor   string        `json:"actor"`
	Via     string        `json:"via"` // socket, key
	Key     string        `json:"key,omitempty"`
	From    string        `json:"from,omitempty"`  // address of the client; left out over the socket
	Agent   string        `json:"agent,omitempty"` // the program that it says it is
	Project string        `json:"project"`
	Action  string        `json:"action"` // operationId of this document
	Target  string        `json:"target"` // services/chat
	Status  int           `json:"status"` // of the answer; 101: somebody was let into a session; 0: none was given
	Error   string        `json:"error,omitempty"`
	Request string        `json:"request,omitempty"`
	Detail  string        `json:"detail,omitempty"`
	Changes []AuditChange `json:"changes"` // secrets are hidden
	Hash    string        `json:"hash"`
}

// AuditChange is one value that was changed.
type AuditChange struct {
	Path   string `json:"path"` // resources.cpu; empty: all of it
	Before any    `json:"before,omitempty"`
	After  any    `json:"after,omitempty"`
}

// AuditLine is a record as it is exported. Hash is the SHA-256 of seq, prev and entry with line feeds between them; prev of the
// first are zeros.
type AuditLine struct {
	Seq   int64  `json:"seq"`
	Prev  string `json:"prev"`
	Hash  string `json:"hash"`
	Entry string `json:"entry"` // JSON, to the byte
}

// AuditVerify is what the record is held against.
type AuditVerify struct {
	Head string `json:"head,omitempty"` // an earlier look's, kept elsewhere
}

// AuditVerdict says whether the record is whole.
type AuditVerdict struct {
	Good    bool   `json:"good"`
	Records int64  `json:"records"`
	Head    string `json:"head,omitempty"`  // SEQ:HASH, to be kept elsewhere
	Fault   string `json:"fault,omitempty"` // the first thing that is wrong
	At      int64  `json:"at,omitempty"`    // number of the record at which that is
}

// AuditQuery chooses records. Empty fields choose all.
type AuditQuery struct {
	Actor, Action, Target string
	From, To, Zone        string // 2026-03-01, 2026-03-01T08:00:00Z, or how long ago: 7d; zone of days
	All                   bool   // of every project
}

func (q AuditQuery) values() url.Values {
	v := url.Values{}
	for name, value := range map[string]string{"actor": q.Actor, "action": q.Action, "target": q.Target, "from": q.From, "to": q.To, "zone": q.Zone} {
		if value != "" {
			v.Set(name, value)
		}
	}
	if q.All {
		v.Set("all", "true")
	}
	return v
}

// Audit returns the newest records, newest first, at most limit.
func (c *Client) Audit(ctx context.Context, q AuditQuery, limit int) ([]AuditRecord, error) {
	v, out := q.values(), []AuditRecord{}
	for len(out) < limit {
		v.Set("limit", strconv.Itoa(min(limit-len(out), MaxLimit)))
		var page Page[AuditRecord]
		if err := c.unary(ctx, call{method: http.MethodGet, path: "/audit", query: v}, &page); err != nil {
			return nil, err
		}
		out = append(out, page.Items...)
		if page.Next == "" || len(page.Items) == 0 {
			break
		}
		v.Set("cursor", page.Next)
	}
	return out, nil
}

// AuditPage returns a part of the records, newest first; cursor is the Next of the part before.
func (c *Client) AuditPage(ctx context.Context, q AuditQuery, limit int, cursor string) (Page[AuditRecord], error) {
	v := q.values()
	v.Set("limit", strconv.Itoa(limit))
	v.Set("cursor", cursor)
	var page Page[AuditRecord]
	return page, c.unary(ctx, call{method: http.MethodGet, path: "/audit", query: v}, &page)
}

// ExportAudit copies records to w, a line of JSON each, oldest first.
func (c *Client) ExportAudit(ctx context.Context, q AuditQuery, w io.Writer) error {
	resp, err := c.send(ctx, call{method: http.MethodGet, path: "/audit/export", query: q.values()})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(w, resp.Body)
	return err
}

// VerifyAudit looks at the whole record.
func (c *Client) VerifyAudit(ctx context.Context, in AuditVerify) (AuditVerdict, error) {
	var out AuditVerdict
	resp, err := c.send(ctx, call{method: http.MethodPost, path: "/audit/verify", in: in})
	if err != nil {
		return out, err
	}
	defer resp.Body.Close()
	return out, decodeAnswer(resp, &out)
}
