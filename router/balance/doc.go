// Package balance says whose turn it is: which route of a service takes a request, whether it may, and
// what speaks against a route for a while. A Route counts what is in flight on it and remembers its
// faults; a Balance shares requests over the routes of one service by a policy; a retry costs of the
// service's budget.
//
// Everything that happens for each request is atomics on published values: no lock, no allocation, no
// clock of its own. Set, SetClosed and WaitIdle are for the few who change the table.
//
// It knows no HTTP, no sessions and no addresses: a route is an id and what was counted of it.
package balance
