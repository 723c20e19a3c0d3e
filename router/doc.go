// Package router owns a request's way to a route: which service an address means, whether the token
// may, which route takes it, the proxying, retries, counts and latencies. Its decisions (find, check,
// pick, release) take plain values, not HTTP requests. It knows nothing of sessions, engines or SQL,
// and it probes nobody: its table tells it who may get traffic.
package router
