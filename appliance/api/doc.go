// Package api owns the wire between the appliance and its clients: the JSON shapes, the problem that
// every refusal is told in, the OpenAPI document, and the Go client. It knows nothing of how any of it
// is answered, and none of the rooms' own types appears here: what a room calls a thing may change
// without a client noticing.
//
// Shapes: field names are snake_case; times are RFC 3339 in UTC and left out while there is none;
// durations are seconds, fractions allowed; sizes are bytes; lists are never null.
package api

// Prefix is the path below which the API is served.
const Prefix = "/api/v1"
