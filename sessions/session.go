package sessions

import (
	"time"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/variants"
)

// Status of a session. Step holds which follow which.
type Status string

// The statuses of a session, in the order of a good life.
const (
	StatusPending     Status = "PENDING"     // recorded; waits for its turn
	StatusScheduled   Status = "SCHEDULED"   // a place is claimed
	StatusPreparing   Status = "PREPARING"   // what it needs is fetched
	StatusPulling     Status = "PULLING"     // PREPARING, while an image comes
	StatusPrepared    Status = "PREPARED"    // all it needs is on the box
	StatusCreating    Status = "CREATING"    // the runtime starts it
	StatusRunning     Status = "RUNNING"     // its first process runs
	StatusRestarting  Status = "RESTARTING"  // stopped to be started again under the same id
	StatusPreempted   Status = "PREEMPTED"   // gave way to one of higher priority
	StatusTerminating Status = "TERMINATING" // being stopped
	StatusTerminated  Status = "TERMINATED"  // terminal: it ran and has ended
	StatusError       Status = "ERROR"       // something of it could not be cleaned up yet
	StatusCancelled   Status = "CANCELLED"   // terminal: it never ran
)

// Terminal reports whether nothing follows s.
func (s Status) Terminal() bool { return s == StatusTerminated || s == StatusCancelled }

// Type of a session.
type Type string

// The session types.
const (
	TypeInteractive Type = "interactive"
	TypeBatch       Type = "batch"
	TypeInference   Type = "inference"
	TypeSystem      Type = "system"
)

// Result of a session.
type Result string

// The results.
const (
	ResultUndefined Result = "undefined"
	ResultSuccess   Result = "success"
	ResultFailure   Result = "failure"
)

// Session is one running (or once running, or to be run) instance. Its runner is the only writer of
// everything below Status.
type Session struct {
	ID        string // "ses-" and 12 characters, never used twice
	Name      string
	Project   string
	Type      Type
	CreatedBy string
	CreatedAt time.Time

	ServiceID string // inference: whose route it is
	Revision  int    // inference: which revision of the service it runs

	Image  string
	Launch variants.LaunchSpec
	Mounts []Mount
	Limits Limits
	Demand Demand
	Task   Task // of a session that belongs to a person; zero: of no other

	// Claim is what it holds of the pool, or held when it ended; nil while it waits.
	Claim    *accel.Claim
	PlacedAt time.Time // since when it holds Claim; zero while it waits
	Waits    []Wait    // why it is PENDING still; nil once it is not

	Status    Status
	Reason    string // one sentence: why it is in Status
	Result    Result
	Exit      *Exit  // once ended
	Address   string // host:port of the route, once running; the host alone where nothing is routed to
	PID       int
	StartedAt time.Time // zero until RUNNING
	HealthyAt time.Time // of the first probe that passed; zero: none has
	// UnhealthySince is kept so that a restart of the daemon neither sends it requests nor forgives it; zero: it is not.
	UnhealthySince time.Time
	EndedAt        time.Time // zero until terminal

	TrafficRatio float64 // weight in the balance; 1 unless the owner set it. Written by the manager alone
}

// Recorded is the first entry of the session's history: that it was asked for.
func (s Session) Recorded() Transition {
	return Transition{SessionID: s.ID, To: s.Status, Reason: s.Reason, At: s.CreatedAt}
}

// Transition is one change of a session's status.
type Transition struct {
	SessionID string
	From, To  Status
	Reason    string
	At        time.Time
}
