package api

import "time"

// SessionIdle says when a session was used last, and when it is ended for want of use.
type SessionIdle struct {
	Timeout     float64    `json:"timeout,omitempty"`      // seconds that nobody may use it; left out: none
	MaxLifetime float64    `json:"max_lifetime,omitempty"` // seconds that it may run; left out: none
	Connections int        `json:"connections"`            // that are open now: commands, terminals, apps, SSH
	UsedAt      *time.Time `json:"used_at,omitempty"`      // by whoever was connected with it last; left out: by nobody yet
	EndsAt      *time.Time `json:"ends_at,omitempty"`      // if nothing changes; left out: it does not end
	Reason      string     `json:"reason,omitempty"`       // why it ends then
}
