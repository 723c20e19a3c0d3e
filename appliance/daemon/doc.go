// Package daemon owns the wiring: which runtime and store are used, the order of start and stop, the
// listeners, and the glue by which rooms that do not know each other meet. It decides nothing else.
package daemon
