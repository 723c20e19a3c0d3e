// Package private owns a containerd that belongs to one appliance alone: its settings, its start, its
// supervision and its end. It knows nothing of images or of sessions.
//
// That containerd is nobody's child for long: it runs in a session of its own, outlives the program that started
// it, and is taken over by the next one. So a restart of the appliance stops no session, and neither does a restart
// of containerd, whose shims hold the containers meanwhile.
//
// Everything lies under one directory, made by Start:
//
//	lock             held while an appliance supervises
//	containerd.json  which process it is: id, start time, boot, version, settings
//	containerd.toml  its settings, written anew at each start
//	containerd.log   what it says; .1 is what it said before that
//	c.sock           its socket
//	root state tmp   its own
package private
