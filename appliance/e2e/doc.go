// Package e2e holds the tests of the whole appliance: the real binary, the real engine, real clients.
// It has no code of its own. Everything runs in a network namespace that the tests make for themselves.
package e2e
