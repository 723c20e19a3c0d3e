package sessions

import (
	"time"

	"github.com/palisade-run/palisade/variants"
)

// ServiceStatus is derived from what is wanted and from the routes; it is never stored.
type ServiceStatus string

// The statuses of a service.
const (
	ServiceProvisioning ServiceStatus = "PROVISIONING" // no route has been healthy yet
	ServiceHealthy      ServiceStatus = "HEALTHY"      // as many healthy routes as wanted
	ServiceDegraded     ServiceStatus = "DEGRADED"     // some
	ServiceUnhealthy    ServiceStatus = "UNHEALTHY"    // none, though there were
	ServiceIdle         ServiceStatus = "IDLE"         // scaled to zero
	ServiceDestroying   ServiceStatus = "DESTROYING"
	ServiceDestroyed    ServiceStatus = "DESTROYED"
)

// RouteStatus is the balance's view of one inference session; derived, never stored.
type RouteStatus string

// The statuses of a route.
const (
	RouteProvisioning  RouteStatus = "PROVISIONING"
	RouteHealthy       RouteStatus = "HEALTHY"
	RouteUnhealthy     RouteStatus = "UNHEALTHY"
	RouteDraining      RouteStatus = "DRAINING"
	RouteFailedToStart RouteStatus = "FAILED_TO_START"
	RouteTerminated    RouteStatus = "TERMINATED"
)

// Lifecycle is the owner's will about a service's existence.
type Lifecycle string

// The lifecycles.
const (
	LifecycleActive     Lifecycle = "active"
	LifecycleDestroying Lifecycle = "destroying"
	LifecycleDestroyed  Lifecycle = "destroyed"
)

// Service is what an owner wants. The manager is its only writer.
type Service struct {
	ID        string // "svc-" and 12 characters
	Name      string
	Project   string
	CreatedBy string
	CreatedAt time.Time
	UpdatedAt time.Time
	Version   int64 // counts saves; a save from an older one is refused
	Lifecycle Lifecycle

	Replicas int // wanted
	// ScaledBy is who set Replicas last, and ScaledAt when. "": the autoscaler did, or nobody since the service was made.
	ScaledBy string
	ScaledAt time.Time
	Public   bool // open_to_public: no token needed
	Priority int  // of its routes in the queue, 0 to 100
	Policy   Policy
	Routing  Routing // how requests find its routes; an edit makes no revision

	Revision     int // the newest: what should run
	GoodRevision int // the newest that became healthy; 0 none. A failed newer one rolls back to it

	Failures  int       // starts that failed in a row
	LastError string    // of the last failed start, or of a roll-back
	RetryAt   time.Time // no start before it; zero: at once
}

// Revision is one version of what a service runs. It never changes once made, except for Failed.
type Revision struct {
	ServiceID string
	Number    int // from 1
	CreatedAt time.Time
	CreatedBy string
	Recipe    Recipe
	Launch    variants.LaunchSpec
	Failed    string // why it never became healthy; "" otherwise
}

// Recipe is what the owner asked to run: an edit of any of it makes a new revision.
type Recipe struct {
	Image            string            `json:"image"`  // reference, or "host" on the process runtime
	Folder           string            `json:"folder"` // folder id, or ID/SUB for a directory in it; "" for a variant that needs none
	Variant          string            `json:"variant"`
	DefinitionPath   string            `json:"definition_path,omitempty"`
	MountDestination string            `json:"mount_destination,omitempty"` // default /models
	Env              map[string]string `json:"env,omitempty"`
	Resources        map[string]string `json:"resources,omitempty"`     // slot to amount as written
	ResourceOpts     map[string]string `json:"resource_opts,omitempty"` // shmem
	Mounts           []FolderMount     `json:"mounts,omitempty"`
	Selector         map[string]string `json:"selector,omitempty"` // labels of the nodes that may run it

	// Of each route, which is that many containers on one box or, ClusterMultiNode, on as few as it can be; each has all of Resources.
	ClusterSize int         `json:"cluster_size,omitempty"` // 0: one
	ClusterMode ClusterMode `json:"cluster_mode,omitempty"`
}

// cluster is what a route is of several containers; nil: it is one.
func (r Recipe) cluster(launch variants.LaunchSpec) *ClusterRequest {
	if r.ClusterSize < 2 {
		return nil
	}
	return &ClusterRequest{Size: r.ClusterSize, Mode: r.ClusterMode, Run: ClusterRunAll, Sub: launch.Workers()}
}

// FolderMount is an extra folder in a session.
type FolderMount struct {
	Folder   string `json:"folder"` // folder id, or ID/SUB for a directory in it
	Target   string `json:"target"`
	ReadOnly bool   `json:"read_only"`
}

// Event is something that happened to a service and why.
type Event struct {
	ServiceID string
	SessionID string // "" where it is about the whole service
	At        time.Time
	Kind      string // created, updated, scaled, autoscaled, started, failed, healthy, unhealthy, replaced, drained, rolled-back, yielded, waits, ...
	Message   string // one sentence
}
