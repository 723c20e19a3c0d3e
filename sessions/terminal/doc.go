// Package terminal owns the shells that people have open in sessions: what each has shown last, who watches it, and who
// types. It knows nothing of connections, nor of how a command gets into a session.
package terminal
