// Package process is the runtime that runs sessions as plain processes of the box: image "host", the
// box's own files, read-only. It owns how such a session is shut in (its root, namespaces, limits), the
// supervisor that holds it, and the directory that keeps all that is known of it. It knows nothing of
// services, of health or of who asked.
//
// A session is held by a supervisor, `palisade supervise DIR`, which is the first process of the
// session's own PID namespace: it reaps what is orphaned there, and when it dies, however it dies, the
// kernel ends everything in the session. It belongs to no daemon: a Runtime opened later on the same
// root talks to it by the socket in DIR. The two sides of this package are the Runtime, in the daemon,
// and the supervisor; what they share is the directory (record.go) and the words on the socket
// (wire.go).
//
// A supervisor holds a lock on a file of DIR for as long as it lives; that lock, never a process id,
// says whether a session runs.
package process
