// Package console owns the pages that a browser sees. It uses what the API uses and can do nothing
// that the API cannot.
package console
