// Package rehearse owns the rehearsal of a policy: a trace of requests is played on virtual time against routes that are
// modelled, and the very same autoscaler.Decide that runs live says how many there are. It also plays two public formulas,
// Knative's and Kubernetes', so that what ours does can be compared with something.
//
// It owns traces, their form and their making, the model of a route, the simulation, and the pictures of it. It must know
// neither a service nor a daemon: no clock, no network, no goroutine but those of a sweep.
package rehearse
