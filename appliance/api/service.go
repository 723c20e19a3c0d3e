package api

import "time"

// Service is a service as it is wanted and as it is.
type Service struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Project   string    `json:"project"`
	CreatedBy string    `json:"created_by"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	Version   int64     `json:"version"` // counts changes of what is wanted; the ETag

	ModelName string `json:"model_name"` // what clients ask for

	Status string `json:"status"` // PROVISIONING, HEALTHY, DEGRADED, UNHEALTHY, IDLE, DESTROYING, DESTROYED
	Reason string `json:"reason"` // one sentence: why it is in Status

	Replicas      int        `json:"replicas"`            // wanted
	ScaledBy      string     `json:"scaled_by,omitempty"` // who set replicas last; "" the autoscaler, or nobody since it was created
	ScaledAt      *time.Time `json:"scaled_at,omitempty"` // when that was set
	ReadyAt       *time.Time `json:"ready_at,omitempty"`  // when a route that starts is expected to answer, where none does and it is known
	HealthyRoutes int        `json:"healthy_routes"`      // how many answer now
	OpenToPublic  bool       `json:"open_to_public"`      // no token needed
	Endpoint      string     `json:"endpoint"`            // URL; what follows it goes to the engine
	Policy        Policy     `json:"policy"`
	Routing       Routing    `json:"routing"`
	Priority      int        `json:"priority"` // 0 to 100, higher first
	Recipe        Recipe     `json:"recipe"`

	Revision     int        `json:"revision"`      // what should run
	GoodRevision int        `json:"good_revision"` // the newest that became healthy; 0 none
	Failures     int        `json:"failures"`      // starts that failed in a row
	LastError    string     `json:"last_error,omitempty"`
	NextRetry    *time.Time `json:"next_retry,omitempty"` // no start before it

	// Autoscaling is the policy of scaling; left out where there never was one. How it stands: /services/{id}/autoscaling.
	Autoscaling *Autoscaling `json:"autoscaling,omitempty"`
	// AutoscalingPaused: the number that scaled_by set stands until the policy is edited, or resumed.
	AutoscalingPaused bool `json:"autoscaling_paused,omitempty"`

	// Warnings are what is doubtful in the recipe. Only the answer to creating and updating has them.
	Warnings []FieldError `json:"warnings,omitempty"`

	Routes []Route `json:"routes"`
}

// Recipe is what a service runs. A change of any of it makes a new revision.
type Recipe struct {
	Image               string            `json:"image"`  // reference, or "host" on the process runtime
	Folder              string            `json:"folder"` // id of the model folder; "" none
	FolderName          string            `json:"folder_name,omitempty"`
	RuntimeVariant      string            `json:"runtime_variant"`
	ModelDefinitionPath string            `json:"model_definition_path,omitempty"`
	ModelMount          string            `json:"model_mount_destination,omitempty"`
	Environ             map[string]string `json:"environ,omitempty"`
	Resources           map[string]string `json:"resources,omitempty"`
	ResourceOpts        map[string]string `json:"resource_opts,omitempty"`
	Selector            map[string]string `json:"selector,omitempty"` // labels that its node must have
	Mounts              []Mount           `json:"mounts,omitempty"`
	ClusterSize         int               `json:"cluster_size,omitempty"` // how many containers each route is, each with all of the resources; left out: one
	ClusterMode         string            `json:"cluster_mode,omitempty"` // single-node: all of a route on one box; multi-node: on as few boxes as it can be
}

// Mount is an extra folder in a session.
type Mount struct {
	Folder   string `json:"folder"`           // id or name; NAME/SUB for a directory in it
	Target   string `json:"target,omitempty"` // default /home/work/NAME, or the last word of SUB
	ReadOnly bool   `json:"read_only,omitempty"`
}

// Policy is how a service's routes are treated. In a request, what is left out keeps its value, or
// takes the default.
type Policy struct {
	UnhealthyTTL     *float64 `json:"unhealthy_ttl,omitempty"`     // seconds
	OnUnhealthy      *string  `json:"on_unhealthy,omitempty"`      // "replace" or "hold"
	TerminationGrace *float64 `json:"termination_grace,omitempty"` // seconds
	StartTimeout     *float64 `json:"start_timeout,omitempty"`     // seconds
	MaxSurge         *int     `json:"max_surge,omitempty"`
	MaxUnavailable   *int     `json:"max_unavailable,omitempty"`
}

// Routing is how a service's requests find their routes. A change counts at once and makes no new revision. In a
// request, what is left out keeps its value, or takes the default.
type Routing struct {
	Balance        *string  `json:"balance,omitempty"`         // round_robin, least_in_flight, session_affinity or prefix
	AffinityHeader *string  `json:"affinity_header,omitempty"` // of session_affinity: the header that names the session; "" none
	AffinityCookie *string  `json:"affinity_cookie,omitempty"` // and the cookie, where there is no such header; else the body's user
	MaxInFlight    *int     `json:"max_in_flight,omitempty"`   // requests on one route at once; 0: as many as come
	MaxHeld        *int     `json:"max_held,omitempty"`        // requests that wait for a route; 0: none does
	HoldTimeout    *float64 `json:"hold_timeout,omitempty"`    // seconds that each waits at most; 0: none does
	RepeatWindow   *float64 `json:"repeat_window,omitempty"`   // seconds in which an identical request of a token is answered from the first one's answer; 0: off
	Capture        *int     `json:"capture,omitempty"`         // the last so many requests are kept to be looked at; 0: off
	Usage          *string  `json:"usage,omitempty"`           // of streams: "auto" asks engines for it, "off" does not
}

// ServiceCreate asks for a service.
type ServiceCreate struct {
	Name                string            `json:"name,omitempty"` // default: svc- and 6 characters
	Project             string            `json:"project,omitempty"`
	Image               string            `json:"image"`
	Folder              string            `json:"folder,omitempty"`          // id or name
	Replicas            *int              `json:"replicas,omitempty"`        // default 1
	RuntimeVariant      string            `json:"runtime_variant,omitempty"` // default custom
	OpenToPublic        bool              `json:"open_to_public,omitempty"`
	ModelDefinitionPath string            `json:"model_definition_path,omitempty"`
	ModelMount          string            `json:"model_mount_destination,omitempty"`
	Environ             map[string]string `json:"environ,omitempty"`
	Resources           map[string]string `json:"resources,omitempty"`
	ResourceOpts        map[string]string `json:"resource_opts,omitempty"`
	Selector            map[string]string `json:"selector,omitempty"` // labels that its node must have
	Mounts              []Mount           `json:"mounts,omitempty"`
	ClusterSize         int               `json:"cluster_size,omitempty"` // how many containers each route is, each with all of the resources; default 1
	ClusterMode         string            `json:"cluster_mode,omitempty"` // single-node, the default: all of a route on one box; multi-node: on as few boxes as it can be
	Policy              *Policy           `json:"policy,omitempty"`
	Routing             *Routing          `json:"routing,omitempty"`
	Priority            *int              `json:"priority,omitempty"` // 0 to 100, higher first; default 10
	Autoscaling         *Autoscaling      `json:"autoscaling,omitempty"`
}

// ServiceUpdate changes a service: what is left out stays. In the maps a key with null is taken away and
// the other keys stay; Mounts replaces all of them.
type ServiceUpdate struct {
	Name                *string            `json:"name,omitempty"`
	OpenToPublic        *bool              `json:"open_to_public,omitempty"`
	Replicas            *int               `json:"replicas,omitempty"`
	Policy              *Policy            `json:"policy,omitempty"`
	Routing             *Routing           `json:"routing,omitempty"`
	Autoscaling         *Autoscaling       `json:"autoscaling,omitempty"` // an edit of it ends a pause
	Image               *string            `json:"image,omitempty"`
	Folder              *string            `json:"folder,omitempty"`
	RuntimeVariant      *string            `json:"runtime_variant,omitempty"`
	ModelDefinitionPath *string            `json:"model_definition_path,omitempty"`
	ModelMount          *string            `json:"model_mount_destination,omitempty"`
	Environ             map[string]*string `json:"environ,omitempty"`
	Resources           map[string]*string `json:"resources,omitempty"`
	ResourceOpts        map[string]*string `json:"resource_opts,omitempty"`
	Selector            map[string]*string `json:"selector,omitempty"`
	Priority            *int               `json:"priority,omitempty"`
	Mounts              *[]Mount           `json:"mounts,omitempty"`
	ClusterSize         *int               `json:"cluster_size,omitempty"` // 1: each route is one container again
	ClusterMode         *string            `json:"cluster_mode,omitempty"`
	Reload              bool               `json:"reload,omitempty"` // read the model definition again, though nothing else changes
}

// Scale asks for a number of routes.
type Scale struct {
	To     *int   `json:"to"`
	Reason string `json:"reason,omitempty"`
}

// Route is the balance's view of one inference session.
type Route struct {
	ID            string     `json:"id"`
	SessionID     string     `json:"session_id"`
	Status        string     `json:"status"`         // PROVISIONING, HEALTHY, UNHEALTHY, DRAINING, FAILED_TO_START, TERMINATED
	SessionStatus string     `json:"session_status"` // PENDING, PULLING, RUNNING, ...
	Reason        string     `json:"reason"`         // one sentence
	Health        string     `json:"health"`         // what the probes say
	Exit          *Exit      `json:"exit,omitempty"` // once it has ended
	Revision      int        `json:"revision"`
	TrafficRatio  float64    `json:"traffic_ratio"` // weight; 0 takes it out of the balance
	Address       string     `json:"address,omitempty"`
	Claim         *Claim     `json:"claim,omitempty"` // what it holds of a node; left out while it waits for a place
	InFlight      int        `json:"in_flight"`       // requests now
	CreatedAt     time.Time  `json:"created_at"`
	StartedAt     *time.Time `json:"started_at,omitempty"`
	Waits         []Wait     `json:"waits,omitempty"`    // what keeps it from starting; capacity and selector stay whoever else ends
	ReadyAt       *time.Time `json:"ready_at,omitempty"` // of one that starts: when it is expected to answer, as others like it did

	Containers []Container `json:"containers,omitempty"` // all that it is of, by rank; left out: it is one
}

// RouteUpdate changes a route.
type RouteUpdate struct {
	TrafficRatio *float64 `json:"traffic_ratio"`
}

// ServiceErrors is what keeps a service from being healthy.
type ServiceErrors struct {
	Failures  int          `json:"failures"`
	LastError string       `json:"last_error,omitempty"`
	NextRetry *time.Time   `json:"next_retry,omitempty"`
	Routes    []RouteError `json:"routes"`
}

// RouteError is one route that is not healthy and why.
type RouteError struct {
	SessionID string `json:"session_id"`
	Status    string `json:"status"`
	Reason    string `json:"reason"`
}

// Event is something that happened to a service, and why.
type Event struct {
	At        time.Time `json:"at"`
	Kind      string    `json:"kind"`
	SessionID string    `json:"session_id,omitempty"`
	Message   string    `json:"message"`
	Decision  *Decision `json:"decision,omitempty"` // of kind autoscaled: all that led to it
}

// Revision is one version of what a service runs.
type Revision struct {
	Number    int       `json:"number"`
	CreatedAt time.Time `json:"created_at"`
	CreatedBy string    `json:"created_by"`
	Recipe    Recipe    `json:"recipe"`
	Current   bool      `json:"current"`
	Good      bool      `json:"good"`             // the newest that became healthy
	Failed    string    `json:"failed,omitempty"` // why it never became healthy
}

// RollBack asks for an earlier revision; 0 means the newest that was healthy before the current one.
type RollBack struct {
	Revision int `json:"revision,omitempty"`
}

// Token lets a client use one service, or every service of a project.
type Token struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Project   string     `json:"project"`
	ServiceID string     `json:"service_id,omitempty"` // "" for all services of the project
	CreatedBy string     `json:"created_by"`
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt time.Time  `json:"expires_at"`
	LastUsed  *time.Time `json:"last_used,omitempty"` // accurate to a minute
	RevokedAt *time.Time `json:"revoked_at,omitempty"`

	Limits   *TokenLimits   `json:"limits,omitempty"`
	Standing *TokenStanding `json:"standing,omitempty"` // where it has limits
}

// TokenCreate asks for a token. One of Duration (3600, 90s, 15m, 12h, 3d, 2w, 1mo, 1yr) and ValidUntil (RFC
// 3339) is needed; ValidUntil wins.
type TokenCreate struct {
	Name       string       `json:"name,omitempty"`
	Duration   string       `json:"duration,omitempty"`
	ValidUntil string       `json:"valid_until,omitempty"`
	Limits     *TokenLimits `json:"limits,omitempty"`
}

// TokenIssued is a new token: the only time its secret is shown.
type TokenIssued struct {
	Token  Token  `json:"token"`
	Secret string `json:"secret"`
}
