package sessions

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"net/netip"
	"slices"
)

// ClusterMode says where the containers of a session may be.
type ClusterMode string

// The modes.
const (
	ClusterSingleNode ClusterMode = "single-node" // all on one box; the default
	ClusterMultiNode  ClusterMode = "multi-node"  // on as few boxes as it can be
)

// NetKind says by what containers of one session reach each other.
type NetKind string

// The kinds.
const (
	NetBridge NetKind = "bridge" // all are on one box
	NetVXLAN  NetKind = "vxlan"  // their boxes' bridges are joined by tunnels
	NetHost   NetKind = "host"   // they have no network of their own: each is at its box's address
)

// ClusterNet is how the containers of a session reach each other that may be on several boxes. It is decided with their places,
// and the same for all of them.
type ClusterNet struct {
	Kind  NetKind      `json:"kind"`
	Boxes []ClusterBox `json:"boxes"` // the main container's first
	At    []int        `json:"at"`    // by rank: which of Boxes it is on
	// Of tunnels: the number of theirs, the UDP port of all boxes, and the containers' range of addresses.
	VNI   uint32       `json:"vni,omitempty"`
	Port  int          `json:"port,omitempty"`
	Range netip.Prefix `json:"range,omitzero"`
	// Ports is the first of a block of hostPorts that are the session's on all its boxes, of NetHost.
	Ports int `json:"ports,omitempty"`
}

// ClusterBox is a box as others reach it.
type ClusterBox struct {
	Name    string     `json:"name"`
	Address netip.Addr `json:"address"`
}

// ClusterNets says what networks there can be between boxes.
type ClusterNets struct {
	// Reach is how sessions of a box reach those of others, and the box's address for it; "": they do not. It does not wait.
	Reach func(node string) (NetKind, netip.Addr)
	// Unasked reports whether sessions of a box are on the boxes' own network though nobody has said that they are to be: engines,
	// whose ports are open to whoever reaches the box, do not go there. Nil: there is no such box.
	Unasked func(node string) bool
	Pool    netip.Prefix // of sessions' ranges, IPv4; each takes a /24
	Port    int          // UDP, of tunnels
}

// rangeBits is how long a session's range is: MaxCluster containers and as many boxes have room.
const rangeBits = 24

// Ports of sessions that have no network of their own are below those that the kernel gives out by itself. Of a session's block
// the first MaxCluster are SSH's, by rank, the next is MASTER_PORT, and behind it are those of an engine's workers, by rank; the last
// MaxCluster are what engines listen on, by rank: two heads of one variant may be on one box.
const (
	hostPortsFrom = 20000
	hostPorts     = 192
	hostBlocks    = 51
)

// sshPort is where a container answers SSH.
func (n *ClusterNet) sshPort(rank int) int {
	if n == nil || n.Kind != NetHost {
		return sshPort
	}
	return n.Ports + rank
}

func (n *ClusterNet) masterPort() int {
	if n == nil || n.Kind != NetHost {
		return masterPort
	}
	return n.Ports + MaxCluster
}

// nodePort is where a worker of an engine in several containers may listen for its head.
func (n *ClusterNet) nodePort(rank int) int {
	if n == nil || n.Kind != NetHost {
		return masterPort + 1
	}
	return n.masterPort() + rank
}

// ownPort is where an engine listens in place of its variant's port; 0: there.
func (n *ClusterNet) ownPort(rank int) int {
	if n == nil || n.Kind != NetHost {
		return 0
	}
	return n.masterPort() + MaxCluster + rank
}

// spread reports whether the containers of a session may be on several boxes.
func (c *Cluster) spread() bool { return c != nil && c.Mode == ClusterMultiNode }

// netOf decides how the containers of a session reach each other. nodes are theirs, by rank; used is what others have of it.
func (n ClusterNets) netOf(id string, nodes []string, used []*ClusterNet) (*ClusterNet, error) {
	net := &ClusterNet{Kind: NetBridge}
	for _, node := range nodes {
		at := slices.IndexFunc(net.Boxes, func(b ClusterBox) bool { return b.Name == node })
		if at < 0 {
			at = len(net.Boxes)
			kind, address := n.reach(node)
			net.Boxes = append(net.Boxes, ClusterBox{node, address})
			switch {
			case at == 0 && kind == NetHost:
				net.Kind = kind
			case at == 1:
				net.Kind = kind
			}
			if first, _ := n.reach(nodes[0]); at > 0 && (kind == "" || kind != first || !address.IsValid() || !net.Boxes[0].Address.IsValid()) {
				return nil, fmt.Errorf("sessions on %s and on %s do not reach each other", nodes[0], node)
			}
		}
		net.At = append(net.At, at)
	}
	var err error
	switch net.Kind {
	case NetVXLAN:
		err = n.tunnel(net, id, used)
	case NetHost:
		net.Ports, err = freePorts(seedOf(id), used)
	case NetBridge:
	}
	return net, err
}

func (n ClusterNets) reach(node string) (NetKind, netip.Addr) {
	if n.Reach == nil {
		return "", netip.Addr{}
	}
	return n.Reach(node)
}

// tunnel chooses a number and a range that no other session has.
func (n ClusterNets) tunnel(net *ClusterNet, id string, used []*ClusterNet) error {
	if !n.Pool.IsValid() || !n.Pool.Addr().Is4() || n.Pool.Bits() > rangeBits {
		return fmt.Errorf("%s is no range of addresses for sessions on several boxes", n.Pool)
	}
	net.Port = n.Port
	taken := func(is func(*ClusterNet) bool) bool { return slices.ContainsFunc(used, is) }
	const first = 4096 // others number from 0 or 1 on
	for vni := first + seedOf(id)%(1<<24-1-first); ; vni = first + (vni-first+1)%(1<<24-1-first) {
		if !taken(func(o *ClusterNet) bool { return o.VNI == vni }) {
			net.VNI = vni
			break
		}
	}
	base, count := binary.BigEndian.Uint32(n.Pool.Masked().Addr().AsSlice()), uint32(1)<<(rangeBits-n.Pool.Bits())
	for i := range count {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], base+(seedOf(id)+i)%count<<(32-rangeBits))
		net.Range = netip.PrefixFrom(netip.AddrFrom4(b), rangeBits)
		if !taken(func(o *ClusterNet) bool { return o.Range == net.Range }) {
			return nil
		}
	}
	return fmt.Errorf("all ranges of %s are in use", n.Pool)
}

var errNoPorts = errors.New("all ports for sessions on the boxes' own network are in use")

// freePorts chooses a block of ports that no other session has.
func freePorts(seed uint32, used []*ClusterNet) (int, error) {
	for i := range uint32(hostBlocks) {
		ports := hostPortsFrom + int((seed+i)%hostBlocks)*hostPorts
		if !slices.ContainsFunc(used, func(o *ClusterNet) bool {
			return o.Ports > ports-hostPorts && o.Ports < ports+hostPorts // of another version's, blocks begin elsewhere
		}) {
			return ports, nil
		}
	}
	return 0, errNoPorts
}

// seedOf is where the search for a session begins: seldom where that for another one does.
func seedOf(id string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id))
	return h.Sum32()
}

// netFor decides how the containers of a session reach each other that is about to have its places; nil where all are on one box
// by its mode.
func (m *Manager) netFor(p Placement, s Session) (*ClusterNet, error) {
	if !s.Task.Cluster.spread() {
		return nil, nil //nolint:nilnil // it needs none
	}
	nodes := []string{p.Claim.Node}
	for _, c := range p.Others {
		nodes = append(nodes, c.Node)
	}
	var used []*ClusterNet
	m.mu.Lock()
	for _, r := range m.sessions {
		if o, _ := r.snapshot(); o.clusterID() == s.clusterID() {
			continue
		}
		if net := r.netTaken(); net != nil {
			used = append(used, net)
		}
	}
	m.mu.Unlock()
	return m.Nets.netOf(s.clusterID(), nodes, used)
}

// reaches says by node how its sessions reach those of others.
func (m *Manager) reaches() map[string]string {
	if m.Nets.Reach == nil {
		return nil
	}
	out := map[string]string{}
	for _, s := range m.Ledger.Pool() {
		if kind, address := m.Nets.Reach(s.Name()); kind != "" && address.IsValid() {
			out[s.Name()] = string(kind)
		}
	}
	return out
}

// unasked are the nodes where engines in several containers would be on the boxes' own network though nobody has said so.
func (m *Manager) unasked() map[string]bool {
	if m.Nets.Unasked == nil {
		return nil
	}
	out := map[string]bool{}
	for node, kind := range m.reaches() {
		if kind == string(NetHost) && m.Nets.Unasked(node) {
			out[node] = true
		}
	}
	return out
}

// openPortsError means that ports of an engine would be open to whoever reaches its boxes, and nobody has said that they may be.
type openPortsError struct{ nodes []string }

func (e *openPortsError) Error() string {
	return fmt.Sprintf("sessions on %s share the boxes' network: whoever reaches the boxes would reach the ports by which the engine's containers talk, and could run programs there", enumerate(e.nodes))
}

// Hint implements what errors tell people.
func (e *openPortsError) Hint() string {
	return "run the appliance as root on these boxes, which gives sessions networks of their own; or, where nobody reaches the boxes who may not do that, set cluster.session_network: host in the settings of each, and restart it"
}

// checkOver says why containers that may be on several boxes would never fit, if they were empty.
func (m *Manager) checkOver(w Waiting) error {
	w.Spread = true
	q := Queue{Pool: m.Ledger.Pool(), Waiting: []Waiting{w}, Reach: m.reaches(), Options: m.Queueing.Options}
	if !w.Engine {
		return everFitOver(q)
	}
	q.Unasked = m.unasked()
	err := everFitOver(q)
	if err == nil || len(q.Unasked) == 0 {
		return err
	}
	without := q
	without.Unasked = nil
	if everFitOver(without) != nil {
		return err
	}
	return fmt.Errorf("%w: %w", ErrInvalid, &openPortsError{slices.Sorted(maps.Keys(q.Unasked))})
}

// anyHostNet reports whether there is a box on which containers of one session need no network of their own.
func (m *Manager) anyHostNet() bool {
	for _, kind := range m.reaches() {
		if kind == string(NetHost) {
			return true
		}
	}
	return false
}

// netOfInstance is how a container reaches its others that was started so; nil: that is not known.
func netOfInstance(in Instance) *ClusterNet {
	net := &ClusterNet{}
	if json.Unmarshal([]byte(in.Labels[LabelNet]), net) != nil {
		return nil
	}
	return net
}

// withNet is a cluster whose containers reach each other so; a copy, for others have the same.
func (c *Cluster) withNet(n *ClusterNet) *Cluster {
	if c == nil || c.Net == n {
		return c
	}
	other := *c
	other.Net = n
	return &other
}
