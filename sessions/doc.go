// Package sessions owns the services that are wanted and the sessions that run: their state machines,
// the plan that brings one to the other, and the runner of each session. It defines what it needs of
// others beside its own code: Runtime (how a session runs), Store (how rows are kept) and Traffic (how
// a route leaves the balance). It knows nothing of HTTP APIs, of SQL or of how a request finds a route.
package sessions
