// Package terminal shows people the shells that are open in sessions: who watches which, what is under way to them and
// what they type. The shells themselves are held inside their sessions (sessions/terminal/holder), and outlive this
// program. It knows nothing of connections, nor of how a command gets into a session.
package terminal
