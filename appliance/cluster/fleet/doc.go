// Package fleet is the nodes of a cluster as the leader sees them: each is a runtime of sessions like the one of a single box.
// What it is told goes to the node by way of the cluster's agreement, and what the node reports comes back on it; how logs and
// commands come from there is its caller's.
package fleet
