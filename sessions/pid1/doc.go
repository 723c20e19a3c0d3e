// Package pid1 is what runs as the first process of a session: it does the pre-start actions, starts the
// session's processes, passes SIGTERM on, waits for what is orphaned, and in the end kills what is left
// and says how it went. Both runtimes use it: the process runtime inside its supervisor (Crew), the
// containerd runtime as a program of its own that is mounted into every container (Run; palisade-init is
// its main).
//
// It must stay small, for every container pays for it, and it knows nothing of the daemon, of health, or
// of what its runtime is.
package pid1
