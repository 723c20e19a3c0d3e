package accounts

import (
	"context"
	"time"
)

// Store keeps rows.
type Store interface {
	// SaveSessionUsage writes rows as they are, each in the place of the one of its hour and session.
	SaveSessionUsage(ctx context.Context, rows []Row) error
	// LastSessionUsage returns the newest row of each of the sessions that have one.
	LastSessionUsage(ctx context.Context, sessions []string) ([]Row, error)
	// SessionUsage returns sums over what q chooses, told apart at least as far as q does, times by the hour.
	SessionUsage(ctx context.Context, q Query) ([]Sum, error)
}

// Sum is what one session held and used, or several together: then Session is "".
type Sum struct {
	Row
	Sessions int // how many are in it; 0: nobody has counted
}

// Row is what a session held and used in an hour.
type Row struct {
	Hour    time.Time // its beginning
	Session string    // id
	Name    string    // of the session, then
	User    string    // whose it is
	Project string
	Type    string
	Sums
	// How far it is counted. The newest row of a session says where to go on after a restart.
	Until time.Time     // of what it held
	Run   time.Time     // when the run began that was looked at last
	Clock time.Duration // what that run had used of CPU by then
}
