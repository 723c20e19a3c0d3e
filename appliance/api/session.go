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

	// Of sessions of people.
	StartupCommand string         `json:"startup_command,omitempty"` // left out: a shell that is kept
	Mounts         []SessionMount `json:"mounts,omitempty"`
	PreopenPorts   []int          `json:"preopen_ports,omitempty"`
	DependsOn      []string       `json:"depends_on,omitempty"` // ids of sessions that must have ended with success
	StartsAt       *time.Time     `json:"starts_at,omitempty"`  // not before
	Timeout        float64        `json:"timeout,omitempty"`    // seconds of one run
	Retries        int            `json:"retries,omitempty"`    // runs more, after one that failed
	Preemptible    bool           `json:"preemptible,omitempty"`
	MinRuntime     float64        `json:"min_runtime,omitempty"` // seconds that it runs before it may be preempted
	ArrayID        string         `json:"array_id,omitempty"`
	ArrayIndex     *int           `json:"array_index,omitempty"`
	Cluster        *Cluster       `json:"cluster,omitempty"`  // left out: it has one container
	Restarts       int            `json:"restarts,omitempty"` // how often it was started again: preempted, failed, or as its owner wished
	Idle           *SessionIdle   `json:"idle,omitempty"`     // of an interactive one that runs
	Outcome        string         `json:"outcome,omitempty"`  // of a batch session: task-finished, task-failed, task-timeout
}

// Cluster says which container of a session of several one is.
type Cluster struct {
	ID         string      `json:"id"`   // of the session: its main container's
	Role       string      `json:"role"` // main, sub
	Host       string      `json:"host"` // main1, sub1, sub2, ...
	Rank       int         `json:"rank"` // from 0, the main one's
	Size       int         `json:"size"`
	Run        string      `json:"run"`                  // who runs the command: main, all
	Mode       string      `json:"mode"`                 // single-node: on one box; multi-node: they may be on several
	Network    string      `json:"network,omitempty"`    // of multi-node, once it has its places: bridge, all are on one box; vxlan; host
	Containers []Container `json:"containers,omitempty"` // all of them by rank; only where one session is asked for, by its main one
}

// Container is one of several of a session. Its log, its processes and its history are those of a session of its id.
type Container struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Host    string `json:"host"`
	Rank    int    `json:"rank"`
	Status  string `json:"status"`
	Reason  string `json:"reason"`
	Address string `json:"address,omitempty"`
	Exit    *Exit  `json:"exit,omitempty"`
	Claim   *Claim `json:"claim,omitempty"`
}

// SessionMount is a directory that a session sees.
type SessionMount struct {
	Folder   string `json:"folder,omitempty"` // id
	Sub      string `json:"sub,omitempty"`    // the directory in it that alone is mounted
	Notice   string `json:"notice,omitempty"` // of one that may be written: that it holds more than it may
	Target   string `json:"target"`
	ReadOnly bool   `json:"read_only,omitempty"`
}

// SessionCreate asks for a session of one's own.
type SessionCreate struct {
	Name           string            `json:"name,omitempty"` // default: the beginning of its id
	Project        string            `json:"project,omitempty"`
	Type           string            `json:"type,omitempty"` // interactive, batch; default: batch where there is a startup_command
	Image          string            `json:"image"`
	StartupCommand string            `json:"startup_command,omitempty"` // a line for a shell
	Environ        map[string]string `json:"environ,omitempty"`
	Resources      map[string]string `json:"resources,omitempty"`
	ResourceOpts   map[string]string `json:"resource_opts,omitempty"`
	Selector       map[string]string `json:"selector,omitempty"` // labels that its node must have
	Mounts         []Mount           `json:"mounts,omitempty"`   // a target that is left out is /home/work/NAME
	PreopenPorts   []int             `json:"preopen_ports,omitempty"`
	Priority       *int              `json:"priority,omitempty"` // higher first; default 10
	Preemptible    bool              `json:"preemptible,omitempty"`
	MinRuntime     float64           `json:"min_runtime,omitempty"` // seconds
	StartsAt       *time.Time        `json:"starts_at,omitempty"`
	DependsOn      []string          `json:"depends_on,omitempty"`   // ids or names
	Timeout        float64           `json:"timeout,omitempty"`      // seconds
	IdleTimeout    float64           `json:"idle_timeout,omitempty"` // seconds without use after which an interactive one is ended, within what the box has
	MaxLifetime    float64           `json:"max_lifetime,omitempty"` // seconds after which an interactive one is ended, within what the box has
	Retries        int               `json:"retries,omitempty"`
	Array          string            `json:"array,omitempty"`        // 1-100, 0-9%3, 1,5,9: one session for each index
	ClusterSize    int               `json:"cluster_size,omitempty"` // how many containers it has; default 1
	ClusterMode    string            `json:"cluster_mode,omitempty"` // single-node, the default: all on one box; multi-node: on as few boxes as it can be
	ClusterRun     string            `json:"cluster_run,omitempty"`  // who runs the command: main, the default, or all
}

// SessionsCreated are the sessions that were asked for: one, or one for each index of an array.
type SessionsCreated struct {
	Items []Session `json:"items"`
}

// SessionPage is a part of a list of sessions.
type SessionPage struct {
	Items []Session `json:"items"`
	Next  string    `json:"next,omitempty"` // left out where the newest come first
	Total int       `json:"total"`          // how many there are, on other pages too
}

// SessionCheck says what would come of a session if it were asked for now.
type SessionCheck struct {
	Resources map[string]string `json:"resources"` // what it would ask for, with what is given where nothing is said
	Sessions  int               `json:"sessions"`  // how many would be made: more than one of an array
	Starts    bool              `json:"starts"`    // there is a place for it now
	Node      string            `json:"node,omitempty"`
	Ahead     int               `json:"ahead"` // sessions that wait already
	Waits     []Wait            `json:"waits"` // what it would wait for; none where it starts
}

// SessionUpdate changes a session of a person: what is left out stays.
type SessionUpdate struct {
	Name     *string `json:"name,omitempty"`
	Priority *int    `json:"priority,omitempty"` // counts at once
	// Of an interactive one, within what the box has: seconds, 0 for what the box has.
	IdleTimeout *float64 `json:"idle_timeout,omitempty"`
	MaxLifetime *float64 `json:"max_lifetime,omitempty"`
}

// Exit is how a session ended.
type Exit struct {
	Reason     string     `json:"reason"` // completed, failed, stopped, killed, crashed, out-of-memory, start-failed, timed-out, unknown
	Code       int        `json:"code"`   // 128+n for signal n; -1 unknown; -2 timed out
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

// SessionCommit asks for an image of what a session has changed.
type SessionCommit struct {
	Image   string `json:"image"`             // mine:1
	Replace bool   `json:"replace,omitempty"` // takes the name from the image that has it
	Running bool   `json:"running,omitempty"` // the session goes on meanwhile: what it writes then may be in it or not
}
