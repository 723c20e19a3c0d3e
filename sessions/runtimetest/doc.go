// Package runtimetest owns what every runtime of sessions is held to: Run, the conformance suite, and
// Fake, a runtime in memory that passes it. It knows the words of the sessions room and nothing of any
// one runtime: what a runtime can and cannot do, its Harness says.
package runtimetest
