// Package idle owns what ends sessions that nobody needs any more: who uses a session (Book), what limits hold for it
// (Limits), whether they are passed (Decide), and warning its owner before it is ended (Keeper).
//
// It knows no HTTP and no runtime, and it ends interactive sessions alone: a batch job has its timeout, a service its scale.
package idle
