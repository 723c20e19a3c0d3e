package sessions

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"strconv"

	"github.com/palisade-run/palisade/variants"
)

// Labels that an instance carries, so that a daemon that knows nothing can tell what runs.
const (
	LabelSession  = "run.palisade.session"
	LabelService  = "run.palisade.service"
	LabelRevision = "run.palisade.revision"
	LabelProject  = "run.palisade.project"
	LabelType     = "run.palisade.type"
	LabelClaim    = "run.palisade.claim"   // what it holds of the pool: accel.Claim, encoded
	LabelRun      = "run.palisade.run"     // which run of a person's session it is, from 0
	LabelCluster  = "run.palisade.cluster" // the session that it is a container of, with others
	LabelNet      = "run.palisade.net"     // how it reaches those that may be on other boxes: ClusterNet, encoded
)

// labels of a session's instance.
func labels(s Session) map[string]string {
	l := map[string]string{
		LabelSession: s.ID, LabelService: s.ServiceID, LabelRevision: strconv.Itoa(s.Revision),
		LabelProject: s.Project, LabelType: string(s.Type),
	}
	if s.Personal() || s.Task.Cluster != nil {
		l[LabelRun] = runOf(s)
		if id := s.clusterID(); id != "" {
			l[LabelCluster] = id
		}
		if c := s.Task.Cluster; c != nil && c.Net != nil {
			if text, err := json.Marshal(c.Net); err == nil {
				l[LabelNet] = string(text)
			}
		}
	}
	return l
}

// runOf is which run of a person's session is under way, or is to begin.
func runOf(s Session) string { return strconv.Itoa(s.Task.Restarts) }

// environment is what every process of a session finds set, below what the owner and the variant set.
func environment(s Session) map[string]string {
	env := map[string]string{
		"BACKENDAI_SESSION_ID":         s.ID,
		"BACKENDAI_SESSION_NAME":       s.Name,
		"BACKENDAI_KERNEL_ID":          s.ID,
		"BACKENDAI_KERNEL_IMAGE":       s.Image,
		"BACKENDAI_USER_NAME":          s.CreatedBy,
		"BACKENDAI_CLUSTER_SIZE":       "1",
		"BACKENDAI_CLUSTER_REPLICAS":   "main:1",
		"BACKENDAI_CLUSTER_HOSTS":      "main1",
		"BACKENDAI_CLUSTER_HOST":       "main1",
		"BACKENDAI_CLUSTER_ROLE":       "main",
		"BACKENDAI_CLUSTER_IDX":        "1",
		"BACKENDAI_CLUSTER_LOCAL_RANK": "0",
		"BACKENDAI_PREOPEN_PORTS":      "",
	}
	if s.Personal() {
		maps.Copy(env, s.personalEnv())
	}
	if port := s.Port(); s.Type == TypeInference && port != 0 {
		env["BACKENDAI_SERVICE_PORTS"] = fmt.Sprintf("inference:http:%d", port)
	}
	return env
}

// runtimeSpec is what the runtime is told to run for a session.
func runtimeSpec(s Session) Spec {
	env, launch := environment(s), s.placed()
	maps.Copy(env, launch.Env)
	if s.Personal() {
		env["PALISADE_RESTART_COUNT"] = strconv.Itoa(s.Task.Restarts)
	}
	spec := Spec{
		ID: s.ID, Name: s.Name, Labels: labels(s), Image: s.Image,
		Processes: append([]variants.Process(nil), launch.Processes...),
		Env:       env, Mounts: s.Mounts, Scratch: scratch(s), Limits: s.Limits,
	}
	s.inCluster(&spec)
	return spec
}

// routeAddress is where an instance answers for the service; of a session that is no route, its host.
func routeAddress(s Session, in Instance) string {
	port := s.Port()
	if port == 0 {
		return in.Address
	}
	return net.JoinHostPort(in.Address, strconv.Itoa(port))
}

// Port is where a route answers, as its session sees it: the variant's port, or one of the session's own where it shares those of its
// box. 0: it is no route.
func (s Session) Port() int {
	if s.Task.Cluster == nil {
		return s.Launch.Port
	}
	return s.Launch.PortAt(s.Task.Cluster.Net.ownPort(s.Task.Cluster.Rank))
}
