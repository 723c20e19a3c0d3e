// Package logs owns the log of one session: files 00000001, 00000002, ... in a directory, of which the
// newest are kept. It writes them, beside the session, and reads and follows them, in the daemon. It
// knows nothing of what a session is; what it reads may have been written by somebody hostile.
package logs
