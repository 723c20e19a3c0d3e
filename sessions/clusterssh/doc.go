// Package clusterssh is the SSH server by which the containers of one session reach each other. It is part of the program
// that every session has, so that it needs nothing of an image but a shell, and runs as the session's user: who logs in has
// the same rights, and the same environment, as the session's own processes. The keys are those of the session's directory
// (sessions/clusterdir); whoever has the one, which only its containers have, is let in.
//
// It does what mpirun, rsync, scp, pdsh and people ask of an SSH server: commands and shells, with a terminal or without,
// files, signals, exit codes. It forwards nothing: the containers reach each other's ports without.
package clusterssh
