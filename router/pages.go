package router

import (
	"net/http"
	"strings"
)

// A page of another origin (CORS) may read what it has a token for, as any other program may: a token is given in words, and
// never by a browser on its own, as a cookie would be. Of what a service answers to all without a token, its engine says who
// may read it, for a page may come to where the one who wrote it cannot.

const allowOrigin = "Access-Control-Allow-Origin"

// preflight tells whether a browser asks what a page of another origin may send. It gives no token with that.
func (x *exchange) preflight() bool {
	return x.call.method == http.MethodOptions && x.call.field("origin") != "" && x.call.field("access-control-request-method") != ""
}

// openToAll tells whether what an address names needs no token: then a preflight is for its engine.
func (x *exchange) openToAll(what string) bool {
	return x.address.Kind != ByModel && choose(x.table.find(x.address, what), visitor{}, x.address, what) != nil
}

// answerPreflight lets the request come: who it is from is looked at then.
func (x *exchange) answerPreflight() {
	x.respond(http.StatusOK, []header{
		{allowOrigin, "*"},
		{"Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"},
		// "*" would not stand for Authorization.
		{"Access-Control-Allow-Headers", orElse(x.call.all("access-control-request-headers"), "*")},
		{"Access-Control-Max-Age", "7200"}, // seconds; the most that browsers keep it
		{"Vary", "Access-Control-Request-Headers"},
	}, nil)
}

// opensPages tells whether the answer is for pages of any origin to read, whatever the engine says of that. A token for another
// service opens nothing of one that is open to all.
func (x *exchange) opensPages() bool {
	return x.who.token != nil && (x.service == nil || x.who.allowed(x.service)) && x.call.field("origin") != ""
}

// openPage says so.
func (x *exchange) openPage() {
	x.client.header([]byte(allowOrigin), []byte("*"))
	x.client.header([]byte("Access-Control-Expose-Headers"), []byte("*")) // of limits, how long to wait, the request's id
}

// speaksOfPages tells an answer's header that says what pages of other origins may do.
func speaksOfPages(name string) bool {
	const prefix = "access-control-"
	return len(name) > len(prefix) && strings.EqualFold(name[:len(prefix)], prefix)
}
