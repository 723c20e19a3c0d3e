// Package ssh owns the appliance's own SSH port: who comes in with which key, which session the name before the @ means,
// and what each channel of a connection becomes there: a shell, a command, files, a port. What runs in a session runs by
// the session's runtime, as the session's user; no image needs a server of its own.
//
// It decides nothing about sessions, knows nothing of how keys are kept or of HTTP, and listens on nothing itself: it is
// given listeners, and for each life of the daemon the World that connections reach.
package ssh
