package sessions

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/variants"
)

// Cluster says which container of a session of several one is. Each is a Session of its own, with its own place, instance,
// log and history; the main one is what people see and name, and what becomes of it becomes of all (see fate).
type Cluster struct {
	ID    string     `json:"id"` // the session's id of the main container
	Role  Role       `json:"role"`
	Index int        `json:"index"` // from 1, among those of its role
	Rank  int        `json:"rank"`  // from 0, the main container's
	Size  int        `json:"size"`  // of how many
	Run   ClusterRun `json:"run"`

	Mode ClusterMode `json:"mode,omitempty"` // "": single-node
	// Net is how the containers reach each other, of one that may be on several boxes and has its places.
	Net *ClusterNet `json:"net,omitempty"`
}

// Role of a container in its cluster.
type Role string

// The roles.
const (
	RoleMain Role = "main"
	RoleSub  Role = "sub"
)

// ClusterRun says which containers of a cluster run its command.
type ClusterRun string

// Who runs the command.
const (
	ClusterRunMain ClusterRun = "main" // the main one; the others are there for it, by ssh
	ClusterRunAll  ClusterRun = "all"  // each, with its own RANK
)

// MaxCluster is how many containers one session may have.
const MaxCluster = 64

// ClusterRequest asks for a session of several containers.
type ClusterRequest struct {
	Size int
	Mode ClusterMode // "": single-node
	Run  ClusterRun
	Sub  variants.LaunchSpec // what each but the main one runs
}

// ClusterFiles keep what the containers of a session share and see: a directory for each session.
type ClusterFiles interface {
	// Make makes a session's directory, for containers of these names that answer SSH on these ports, and returns where it is on
	// each box that starts one of them. Where it is there, its keys stay as they are.
	Make(id string, hosts []string, ports []int) (dir string, err error)
	// Open lets what waits in the containers of a run go on.
	Open(id string, run int) error
	// Forget removes a session's directory. What is not there is no error.
	Forget(id string) error
	// Keep forgets all but those of live sessions.
	Keep(live []string) error
}

// ClusterChecker is a Runtime that can tell whether containers of one session would reach each other. A runtime that is
// none cannot do it.
type ClusterChecker interface {
	// CheckCluster says why sessions of an image cannot have several containers.
	CheckCluster(image string) error
}

// Where a container finds what its cluster shares.
const (
	ClusterDir = "/run/palisade/cluster"
	sshPort    = 2200
	masterPort = 29500
	// ownProgram is in every session, and has among others an SSH server.
	ownProgram = "/.palisade/init"
)

// GatedLine is a line for a shell that waits until all containers of the session run.
func GatedLine(line string) string {
	return `until [ -e "$PALISADE_CLUSTER_GATE" ]; do sleep 0.05 || sleep 1; done` + "\n" + line
}

// main reports whether a session is what its owner sees: the main container, or the only one.
func (s Session) main() bool { return s.Task.Cluster == nil || s.Task.Cluster.Role == RoleMain }

// IsSub reports whether a session is a container of another one, and not the main one.
func (s Session) IsSub() bool { return !s.main() }

// clusterID is what the containers of one session have in common; "" of a session that has but one.
func (s Session) clusterID() string {
	if s.Task.Cluster == nil {
		return ""
	}
	return s.Task.Cluster.ID
}

// host is what a container is called within its session: main1, sub1, sub2, ...
func (c Cluster) host() string { return string(c.Role) + strconv.Itoa(c.Index) }

// Host is what a container is called within its session: main1, sub1, sub2, ...
func (c Cluster) Host() string { return c.host() }

// hosts are those of all containers, by rank.
func (c Cluster) hosts() []string {
	hosts := []string{"main1"}
	for i := 1; i < c.Size; i++ {
		hosts = append(hosts, "sub"+strconv.Itoa(i))
	}
	return hosts
}

// names are what each container answers to, by rank: its host's name and its session's.
func (c Cluster) names(session string) [][]string {
	var names [][]string
	for rank, host := range c.hosts() {
		names = append(names, []string{host, memberName(session, rank)})
	}
	return names
}

// memberName is what the session of a container is called, of one that is called name.
func memberName(name string, rank int) string {
	if rank == 0 {
		return name
	}
	return name + "-sub" + strconv.Itoa(rank)
}

// wholeName is what the whole session is called of which s is a container.
func (s Session) wholeName() string {
	if s.main() {
		return s.Name
	}
	return strings.TrimSuffix(s.Name, "-sub"+strconv.Itoa(s.Task.Cluster.Index))
}

// members are the sessions of all containers of a draft: itself first.
func (s Session) members(req *ClusterRequest) []Session {
	if req == nil || req.Size < 2 {
		return []Session{s}
	}
	all := make([]Session, req.Size)
	for rank := range all {
		one := s
		at := Cluster{ID: s.ID, Role: RoleMain, Index: 1, Rank: rank, Size: req.Size, Run: cmp.Or(req.Run, ClusterRunMain)}
		if req.Mode != ClusterSingleNode {
			at.Mode = req.Mode
		}
		if rank > 0 {
			at.Role, at.Index = RoleSub, rank
			one.ID, one.Name, one.Launch = newID("ses"), memberName(s.Name, rank), req.Sub
			one.Task.Timeout = 0 // the main one's is that of all
			if at.Run == ClusterRunMain {
				one.Task.Command = ""
			}
			one.Mounts, one.Task.Folders = slices.Clone(s.Mounts), slices.Clone(s.Task.Folders)
		}
		one.Task.Cluster = &at
		all[rank] = one
	}
	return all
}

// checkCluster says why a session cannot have so many containers.
func (m *Manager) checkCluster(req SessionRequest, each accel.Slots) error {
	if req.Cluster == nil || req.Cluster.Size < 2 {
		return nil
	}
	if err := m.checkContainers(req.Cluster.Size, req.Cluster.Mode, req.Image, Waiting{Slots: each, Selector: req.Selector}); err != nil {
		return err
	}
	return CheckSessionName(memberName(cmp.Or(req.Name, "ses-123456"), req.Cluster.Size-1))
}

// checkContainers says why there cannot be so many containers that belong together, of which w says what each asks for.
func (m *Manager) checkContainers(count int, mode ClusterMode, image string, w Waiting) error {
	switch {
	case count < 1 || count > MaxCluster:
		return fmt.Errorf("%w: %d containers: a number from 1 to %d", ErrInvalid, count, MaxCluster)
	case mode != "" && mode != ClusterSingleNode && mode != ClusterMultiNode:
		return fmt.Errorf("%w: cluster mode %q: %s, all containers on one box, or %s, on several", ErrInvalid, mode, ClusterSingleNode, ClusterMultiNode)
	}
	can, ok := m.Runtime.(ClusterChecker)
	if !ok || m.Clusters == nil {
		return fmt.Errorf("%w: sessions of several containers: %w", ErrInvalid, ErrNotSupported)
	}
	if err := can.CheckCluster(image); err != nil && !(mode == ClusterMultiNode && m.anyHostNet()) {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if mode == ClusterMultiNode {
		w.Others = make([]string, count-1)
		return m.checkOver(w)
	}
	together := Demand{Slots: times(w.Slots, count, m.Queueing.Options), Selector: w.Selector}
	if err := everFits(m.Ledger.Pool(), together, m.Queueing.Options); err != nil {
		return fmt.Errorf("%w: for all %d containers together, on one box: %s", ErrInvalid, count, strings.TrimPrefix(err.Error(), ErrInvalid.Error()+": "))
	}
	return nil
}

// env is what the processes of a container find set of their session's others.
func (c Cluster) env(s Session) map[string]string {
	hosts, size, rank := c.hosts(), strconv.Itoa(c.Size), strconv.Itoa(c.Rank)
	hostfile := path.Join(ClusterDir, "hostfile")
	ssh := "ssh -F " + path.Join(ClusterDir, "ssh_config")
	return map[string]string{
		"BACKENDAI_SESSION_ID":         c.ID,
		"BACKENDAI_SESSION_NAME":       s.wholeName(),
		"BACKENDAI_CLUSTER_SIZE":       size,
		"BACKENDAI_CLUSTER_REPLICAS":   fmt.Sprintf("main:1,sub:%d", c.Size-1),
		"BACKENDAI_CLUSTER_HOSTS":      strings.Join(hosts, ","),
		"BACKENDAI_CLUSTER_HOST":       c.host(),
		"BACKENDAI_CLUSTER_ROLE":       string(c.Role),
		"BACKENDAI_CLUSTER_IDX":        strconv.Itoa(c.Index),
		"BACKENDAI_CLUSTER_LOCAL_RANK": rank,

		"MASTER_ADDR": hosts[0], "MASTER_PORT": strconv.Itoa(c.Net.masterPort()),
		"WORLD_SIZE": size, "RANK": rank, "NNODES": size, "NODE_RANK": rank, "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1",

		"PALISADE_CLUSTER_DIR":  ClusterDir,
		"PALISADE_CLUSTER_GATE": path.Join(ClusterDir, "go."+runOf(s)),
		"PALISADE_HOSTFILE":     hostfile,
		// Open MPI before 5 and since, MPICH, and others by ssh.
		"OMPI_MCA_orte_default_hostfile": hostfile, "OMPI_MCA_plm_rsh_agent": ssh,
		"PRTE_MCA_prte_default_hostfile": hostfile, "PRTE_MCA_plm_ssh_agent": ssh,
		"HYDRA_HOST_FILE": hostfile, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
	}
}

// SpecCluster is what a runtime is told of the other containers of a session.
type SpecCluster struct {
	ID    string     `json:"id"`    // of the session of all of them
	Rank  int        `json:"rank"`  // of this one, from 0
	Names [][]string `json:"names"` // by rank: what each is to be reached as; there are as many as containers
	// Net is how they reach each other where they may be on several boxes; nil: all are on one.
	Net *ClusterNet `json:"net,omitempty"`
	// SSHConfig is a file of the box that is to be one of those that OpenSSH reads for everybody in the session.
	SSHConfig string `json:"ssh_config,omitempty"`
}

// OnHost reports whether containers of a session have no network of their own, and are at their boxes' addresses.
func (c *SpecCluster) OnHost() bool { return c != nil && c.Net != nil && c.Net.Kind == NetHost }

// HostAddresses are those of the containers' boxes, by rank.
func (c *SpecCluster) HostAddresses() []netip.Addr {
	addresses := make([]netip.Addr, len(c.Net.At))
	for rank, at := range c.Net.At {
		if addresses[rank] = c.Net.Boxes[at].Address; !addresses[rank].IsValid() {
			addresses[rank] = netip.AddrFrom4([4]byte{127, 0, 0, 1}) // a box that is alone
		}
	}
	return addresses
}

// inCluster adds to what a runtime is told what a container has of its cluster.
func (s Session) inCluster(spec *Spec) {
	c := s.Task.Cluster
	if c == nil {
		return
	}
	env := c.env(s)
	for name := range s.Launch.Env {
		delete(env, name) // its owner said otherwise
	}
	maps.Copy(spec.Env, env)
	port := c.Net.sshPort(c.Rank)
	ssh := variants.Process{Name: "ssh", Argv: []string{ownProgram, "cluster-ssh", ClusterDir, strconv.Itoa(port)}, WorkDir: "/", Socket: port}
	if c.Net != nil && c.Net.Kind == NetHost {
		ssh.Port = port // of the box: it must be free
	}
	spec.Processes = append(spec.Processes, ssh)
	spec.Name = c.host()
	spec.Cluster = &SpecCluster{ID: c.ID, Rank: c.Rank, Names: c.names(s.wholeName()), Net: c.Net}
}

// placed is what a container runs, that of an engine in several with what is known now. Own program starts its processes when all
// containers run: by then the names of the others resolve everywhere, and none has waited for one that is being fetched.
func (s Session) placed() variants.LaunchSpec {
	c := s.Task.Cluster
	if c == nil {
		return s.Launch
	}
	at := variants.Place{Rank: c.Rank, HeadPort: c.Net.masterPort(), NodePort: c.Net.nodePort(c.Rank), OwnPort: c.Net.ownPort(c.Rank)}
	for rank, host := range c.hosts() {
		if rank > 0 {
			at.Workers = append(at.Workers, net.JoinHostPort(host, strconv.Itoa(c.Net.nodePort(rank))))
		}
	}
	launch := at.Placed(s.Launch)
	for i := range launch.Processes {
		if p := &launch.Processes[i]; p.Together {
			start := []string{ownProgram, "cluster-start", variants.NodeAddress + "=" + c.host(), variants.HeadAddress + "=" + c.hosts()[0]}
			p.Argv = slices.Concat(start, p.Await, []string{"--"}, p.Argv)
		}
	}
	return launch
}

// joinCluster shows a container what its cluster shares.
func (r *runner) joinCluster(s Session, spec *Spec) error {
	if s.Task.Cluster == nil {
		return nil
	}
	c := s.Task.Cluster
	ports := make([]int, c.Size)
	for rank := range ports {
		ports[rank] = c.Net.sshPort(rank)
	}
	dir, err := r.clusters.Make(c.ID, c.hosts(), ports)
	if err != nil {
		return fmt.Errorf("making what the containers of the session share: %w", err)
	}
	spec.Mounts = append(slices.Clip(spec.Mounts), Mount{Source: dir, Target: ClusterDir, ReadOnly: true})
	spec.Cluster.SSHConfig = filepath.Join(dir, "ssh_config")
	return nil
}
