// Package door owns what boxes of a cluster say to each other without etcd: a port of each box, by mutual TLS, and the client of
// it. Through it a box that wants to join asks to be let in, sessions that run on another box are watched and reached, requests
// of people go on to who leads, and boxes tell each other what they carry. It must not know what is agreed on, who leads, or how
// a request finds its route: what stands behind the port is handed to it as Rooms.
//
// All of it is HTTP/1.1. What may go on for long has a connection of its own (tunnels to ports of sessions, commands), so that
// nothing that stands still stops anything else, and a lost packet delays one stream alone. Who the other side is, is asked anew
// for each request, and again and again while one goes on: a box that was removed is cut off, whatever it had open.
package door
