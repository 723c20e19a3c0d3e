// Package simulation holds a leader against a fleet of a thousand nodes that are not there: each is a goroutine with the real agent on
// the real protocol and a real etcd, and with a runtime in memory. The leader is the real manager of sessions over the real
// fleet, with its rows in a real PostgreSQL, in a process of its own, whose processor time and memory are measured. It is
// tests and a benchmark alone.
package simulation
