// Package store owns the keeping of rows: all that the rooms remember, in one SQL schema with one set of queries, in a
// SQLite file by default and in PostgreSQL where the owner has one; and how that schema came to be, is copied whole, moved
// and filled again. It implements the store interfaces of the rooms whose types it keeps. It decides nothing: what
// a row means, and when one is written, is the business of those rooms.
//
// What holds on both databases:
//
//   - A method that wrote has committed when it returns nil: the row survives SIGKILL of the daemon at
//     once after, and loss of power (SQLite: synchronous=FULL; PostgreSQL: its own synchronous_commit).
//   - Times come back in UTC, cut to microseconds; the zero time comes back as the zero time.
//   - Text may hold anything. NUL and bytes that are not UTF-8 come back as U+FFFD, because
//     PostgreSQL can keep neither and a log's last words may hold both.
//   - Every call is bounded, also where the caller's context is not, and its error tells kinds apart:
//     the room's own (sessions.ErrConflict, ...) or one of this package.
package store
