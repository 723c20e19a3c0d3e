// Package network owns a session's own network: a namespace with a name, a veth pair into a bridge and
// an address that the box reaches. Both runtimes use it. It knows ids and addresses, nothing of what
// runs in a session.
//
// The kernel is the only book that it keeps. The host's end of each pair carries the session's id and
// address as its alias; Open reads them back, so that a daemon that was killed finds all that is there,
// and what was half made is swept. After a restart of the box there is nothing to find.
//
// What a session can reach: itself on loopback, and the bridge's address. Not other sessions: their
// bridge ports are isolated from each other. Nothing beyond the box, unless Config.DefaultRoute is set
// and the box forwards: no masquerading is set up here.
//
// At the bridge's address only answers to what the box has asked are let through, where the kernel has
// nf_tables (Network.Guarded tells). Where it has not, everything on the box that listens on 0.0.0.0
// is within a session's reach.
package network
