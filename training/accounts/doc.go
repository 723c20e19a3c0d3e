// Package accounts owns what sessions have held and used: core-seconds, memory and shares of accelerators, by session and
// hour. What a session holds is counted from the times of its own history, so that it is exact whatever became of the
// daemon meanwhile; what it really uses, from samples.
//
// It knows no HTTP, no SQL and no prices, and it ends nothing.
package accounts
