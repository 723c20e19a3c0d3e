// Package agent owns what one node runs in a cluster: it reads what the node should run, starts, adopts and ends sessions in the
// node's own runtime, and reports what became of them. It decides nothing: where a session is placed and when it ends is the
// leader's. While etcd or the leader is away, all that runs goes on; only what may be begun elsewhere under the same id is ended
// by itself.
package agent
