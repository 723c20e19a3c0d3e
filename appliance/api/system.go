package api

import "time"

// Page is a part of a list. Next is the cursor of the next part; "" at the end.
type Page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"`
}

// Version says what answers.
type Version struct {
	Version   string    `json:"version"`
	Commit    string    `json:"commit,omitempty"`
	GoVersion string    `json:"go_version"`
	StartedAt time.Time `json:"started_at"`
	Gateway   string    `json:"gateway"` // base URL for OpenAI clients: http://127.0.0.1:8080/v1
}

// Runtime is a runtime variant: a kind of engine that a service can name.
type Runtime struct {
	Name        string   `json:"name"`
	Port        int      `json:"port,omitempty"`   // 0: from the model definition
	Health      string   `json:"health,omitempty"` // path; "" none, or from the model definition
	Command     []string `json:"command,omitempty"`
	Description string   `json:"description,omitempty"`
	Custom      bool     `json:"custom,omitempty"` // added by the owner of the box
}

// Doctor is the state of the box as the appliance sees it.
type Doctor struct {
	Healthy bool    `json:"healthy"` // no check failed
	Checks  []Check `json:"checks"`
}

// Check is one thing that was looked at.
type Check struct {
	Name   string `json:"name"`
	Status string `json:"status"` // ok, warning, failed
	Detail string `json:"detail"`
	Hint   string `json:"hint,omitempty"`
}

// The statuses of a Check.
const (
	CheckOK      = "ok"
	CheckWarning = "warning"
	CheckFailed  = "failed"
)

// Restarted says what came of a restart.
type Restarted struct {
	PID      int     `json:"pid"`              // of the process that answers now
	Version  string  `json:"version"`          // its version
	Before   string  `json:"before,omitempty"` // that of the process before it
	Took     float64 `json:"took"`             // seconds in which nothing was decided; requests were answered
	InFlight int     `json:"in_flight"`        // requests that the process before it finishes
}

// Key lets a client use this API from elsewhere, until it is revoked or expires. It may no more than its owner, and than its
// scope.
type Key struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Owner     string     `json:"owner,omitempty"`   // the user who answers for it; left out: the appliance itself
	Scope     string     `json:"scope"`             // read, write, or admin: all that its owner may
	Project   string     `json:"project,omitempty"` // the one that it opens; left out: all that its owner has
	CreatedBy string     `json:"created_by"`
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
	Standing  string     `json:"standing"`            // good, expiring (within 14 days), expired, or suspended: its owner may not log in
	LastUsed  *time.Time `json:"last_used,omitempty"` // accurate to a minute
}

// KeyCreate asks for an API key.
type KeyCreate struct {
	Name string `json:"name"`
	// Owner is another user than who asks, for an administrator to say.
	Owner     string     `json:"owner,omitempty"`
	Scope     string     `json:"scope,omitempty"`   // read, write or admin; write where it is left out
	Project   string     `json:"project,omitempty"` // the one that it opens; left out: all that its owner has
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
}

// KeyIssued is a new key: the only time its secret is shown.
type KeyIssued struct {
	Key    Key    `json:"key"`
	Secret string `json:"secret"`
}
