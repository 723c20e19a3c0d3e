// Package cluster owns several boxes as one appliance: etcd membership, leases and election, and the
// counters that routers share in Redis. One box needs none of it.
package cluster
