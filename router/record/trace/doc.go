// Package trace keeps what came to each service, so that it can be rehearsed with other rules: when each request arrived
// and how many tokens it took, and nothing else of it. It decides nothing and never holds a request up.
//
// It owns the files and their form. It must not know how a service is scaled.
package trace
