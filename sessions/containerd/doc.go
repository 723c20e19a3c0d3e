// Package containerd is the runtime that runs sessions as containerd containers. It passes the same
// conformance suite (sessions/runtimetest) as every other runtime. It owns what a session's container
// looks like, and what of it is kept on the box; it knows nothing of services, of health or of who asked.
//
// The first process of every container is ours (sessions/pid1): it does the pre-start actions, starts
// the session's processes, writes and rotates the log and notes how the session ended in a directory that
// the box sees. So no log line and no exit code is lost while containerd, or the daemon, is away.
package containerd
