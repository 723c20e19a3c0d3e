// Package accel owns what sessions can run on: the devices of the nodes, resource slots, claims on
// them and their health. It knows nothing of services or engines.
package accel
