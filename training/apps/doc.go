// Package apps owns the programs of a session that people use with a browser or another client of their own: which ones
// a session has, starting one that does not run yet, and the door at /sessions/ID/apps/NAME/ by which they are reached,
// with its log-in. It reaches a session through its manager alone, and keeps no rows: tickets and cookies prove
// themselves. It knows nothing of runtimes, of API keys beyond their ids, nor of the rest of the HTTP API.
package apps
