// Package usage owns what was used: how many requests, tokens and seconds each token spent on each model, summed by the
// hour. Requests add to it without waiting for each other; a second later the sums are in the store, each exactly once,
// whatever the store did meanwhile.
//
// It knows no HTTP, no SQL and no prices, and it refuses nobody: limits are another room's.
package usage
