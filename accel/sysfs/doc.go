// Package sysfs finds the accelerators of all vendors but NVIDIA by what the kernel and CDI specifications say of them.
// One table holds what differs between vendors: how a device is recognised, what it is called, how a session is given
// it. It calls no vendor's library and no vendor's tool, and knows neither claims nor sessions.
package sysfs
