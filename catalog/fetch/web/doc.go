// Package web fetches single files over HTTP, and carries the requests of the other places: ranges, redirects that take no
// credentials along, and what the answers mean.
package web
