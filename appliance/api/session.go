package api

import "time"

// Session is one running (or once running, or to be run) instance.
type Session struct {
	ID           string     `json:"id"`
	Name         string     `json:"name"`
	Project      string     `json:"project"`
	Type         string     `json:"type"` // interactive, batch, inference, system
	CreatedBy    string     `json:"created_by"`
	CreatedAt    time.Time  `json:"created_at"`
	ServiceID    string     `json:"service_id,omitempty"`
	ServiceName  string     `json:"service_name,omitempty"`
	Revision     int        `json:"revision,omitempty"`
	Image        string     `json:"image"`
	Variant      string     `json:"runtime_variant,omitempty"`
	Status       string     `json:"status"`
	Reason       string     `json:"reason"` // one sentence: why it is in Status
	Result       string     `json:"result"` // undefined, success, failure
	Exit         *Exit      `json:"exit,omitempty"`
	Address      string     `json:"address,omitempty"` // host:port, once running
	PID          int        `json:"pid,omitempty"`
	StartedAt    *time.Time `json:"started_at,omitempty"`
	EndedAt      *time.Time `json:"ended_at,omitempty"`
	TrafficRatio float64    `json:"traffic_ratio"`

	Priority  int               `json:"priority"`            // 0 to 100, higher first
	Resources map[string]string `json:"resources,omitempty"` // what it asks for, as people write it
	Claim     *Claim            `json:"claim,omitempty"`     // what it holds of a node; nil while it holds nothing
	Waits     []Wait            `json:"waits,omitempty"`     // what keeps it from starting; the first is the one to look at
}

// Exit is how a session ended.
type Exit struct {
	Reason     string     `json:"reason"` // completed, failed, stopped, killed, crashed, out-of-memory, start-failed, unknown
	Code       int        `json:"code"`   // 128+n for signal n; -1 unknown
	Signal     string     `json:"signal,omitempty"`
	Message    string     `json:"message"`
	FinishedAt *time.Time `json:"finished_at,omitempty"`
}

// Transition is one change of a session's status.
type Transition struct {
	At     time.Time `json:"at"`
	From   string    `json:"from"`
	To     string    `json:"to"`
	Reason string    `json:"reason"`
}

// Stats is a sample of what a session uses. What the box cannot tell is -1.
type Stats struct {
	At      time.Time `json:"at"`
	CPUTime float64   `json:"cpu_time"` // seconds since the start
	Memory  int64     `json:"memory"`   // bytes
	Pids    int64     `json:"pids"`
	RxBytes int64     `json:"rx_bytes"`
	TxBytes int64     `json:"tx_bytes"`
	// Of disks.
	ReadBytes  int64 `json:"read_bytes"`
	WriteBytes int64 `json:"write_bytes"`
	// DeviceMemory is what its processes hold of accelerators' memory, bytes; -1 unknown, or it holds no accelerator.
	DeviceMemory int64 `json:"device_memory"`
}
