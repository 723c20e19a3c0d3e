package router

import (
	"strings"
	"unsafe"

	"github.com/palisade-run/palisade/router/http1"
)

// call is a request as the router's decisions see it, whoever carried it here. On the small path its
// texts are slices of what was read: they last until the answer ends, and what outlives that is copied.
type call struct {
	method string
	path   string // as the client wrote it
	query  string // without "?"
	asks   bool   // there was a "?", though nothing may follow it
	host   string
	fields []http1.Field
	length int64  // of the body; -1: not known
	whole  []byte // all of the body, where it was read already; nil: it was not
	remote string // address of the client, or of the proxy before; without a port
	secure bool
	grpc   bool // a call of gRPC

	authorization, apiKey, contentType, contentEncoding, requestID string
	upgrade                                                        string // the protocol that it wants to switch to
}

// text is b as a string, without a copy: b must not change while it is used.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// field is the value of the first header of a name in lower case; "" for none.
func (c *call) field(lower string) string {
	for i := range c.fields {
		if http1.EqualFold(c.fields[i].Name, lower) {
			return text(c.fields[i].Value)
		}
	}
	return ""
}

// ofRequest is the call that a parsed head makes.
func (c *call) ofRequest(r *http1.Request) {
	c.method, c.host, c.fields = text(r.Method), text(r.Host), r.Fields
	c.path, c.query, c.asks = text(r.Target), "", false
	for i := range r.Target {
		if r.Target[i] == '?' {
			c.path, c.query, c.asks = text(r.Target[:i]), text(r.Target[i+1:]), true
			break
		}
	}
	c.length = max(r.ContentLength, 0)
	c.authorization, c.apiKey = text(r.Authorization), text(r.APIKey)
	c.contentType, c.contentEncoding, c.requestID = text(r.ContentType), text(r.ContentEncoding), text(r.RequestID)
}

// all are the values of the headers of a name in lower case, joined.
func (c *call) all(lower string) string {
	values := ""
	for i := range c.fields {
		if http1.EqualFold(c.fields[i].Name, lower) {
			if values != "" {
				values += ", "
			}
			values += text(c.fields[i].Value)
		}
	}
	return values
}

// cookie is the value of a cookie; "" for none.
func (c *call) cookie(name string) string {
	for i := range c.fields {
		if c.fields[i].Known != http1.Cookie {
			continue
		}
		for pair := range strings.SplitSeq(text(c.fields[i].Value), ";") {
			if k, v, _ := strings.Cut(strings.TrimSpace(pair), "="); k == name {
				return v
			}
		}
	}
	return ""
}
