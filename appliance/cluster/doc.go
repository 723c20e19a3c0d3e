// Package cluster owns several boxes as one appliance, as far as they have to agree on it: who is a node of it and lives, who
// decides and in which term, what each node should run and what became of that. All of it is in etcd, below one prefix, and
// read back as it is there; nothing here is a second truth. One box needs none of it.
//
// Only the leader writes what nodes should run, and each such write is refused by etcd once another leads. Only the node writes
// what became of it. No package here knows how a session is placed, or how a router answers.
package cluster
