// Package clusterdir owns what the containers of one session share: a directory for each session of several, which all of
// them see, read-only. It has the keys by which they reach each other over SSH, a file of hosts for MPI, and the sign that
// all of them are there. It knows hosts by their names, and nothing of what runs on them.
package clusterdir
