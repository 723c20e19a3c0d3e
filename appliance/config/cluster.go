package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/palisade-run/palisade/catalog"
)

// Cluster is this box's part of an appliance of several boxes. Whether it is in one is not a setting: see `palisade cluster init`
// and `palisade join`.
type Cluster struct {
	// Listen is the port for other boxes, host:port. The two ports above it are those of etcd, where this box keeps a part of it:
	// for boxes, and for its other members.
	Listen string `yaml:"listen"`
	// Advertise is where other boxes reach Listen, host:port; "" is what was said when the box came in.
	Advertise string `yaml:"advertise"`
	// SharedFolders says that the folders' directory is the same storage on all boxes.
	SharedFolders bool `yaml:"shared_folders"`
	// Bandwidth is how many bytes a second may come from other boxes, files and images together: 500m; "" is no bound.
	Bandwidth string `yaml:"bandwidth"`
	// Etcd are the endpoints of an etcd of the owner's, as URLs; none: the boxes keep one among themselves.
	Etcd []string `yaml:"etcd"`
	// Grace is how long a box may be silent before what ran there is begun elsewhere.
	Grace time.Duration `yaml:"grace"`
	// Fence is how long a job, or a person's session, runs on where its box hears nothing of the others. Then the box ends it by itself,
	// and a little later it is begun again elsewhere. Each session keeps what held when it was started.
	Fence time.Duration `yaml:"fence"`
	// SessionNetwork is how sessions of this box reach those of other boxes that they are one session with: auto, vxlan, host or none.
	SessionNetwork string `yaml:"session_network"`
	// SessionPool is where such sessions' ranges of addresses are taken from, a /24 each; VXLANPort is the UDP port of their tunnels.
	// Who leads decides by its own.
	SessionPool netip.Prefix `yaml:"session_pool"`
	VXLANPort   int          `yaml:"vxlan_port"`
}

// How sessions of several boxes reach each other.
const (
	SessionNetworkAuto  = "auto"  // vxlan where the kernel has it, host where sessions share the box's network anyway, else none
	SessionNetworkVXLAN = "vxlan" // by tunnels between the boxes
	SessionNetworkHost  = "host"  // such sessions share the box's network
	SessionNetworkNone  = "none"  // they do not
)

// sessionNetworks are what a setting may say.
var sessionNetworks = []string{SessionNetworkAuto, SessionNetworkVXLAN, SessionNetworkHost, SessionNetworkNone}

// ClusterPort is the port for other boxes where nothing is said.
const ClusterPort = "8480"

func defaultCluster() Cluster {
	return Cluster{
		Listen: ":" + ClusterPort, Grace: 20 * time.Second, Fence: 10 * time.Minute,
		SessionNetwork: SessionNetworkAuto, SessionPool: netip.MustParsePrefix("10.208.0.0/13"), VXLANPort: 4789,
	}
}

// leastSessionPool is the longest pool: one session takes a /24.
const leastSessionPool = 24

// mostClusterPort leaves room for the two above it.
const mostClusterPort = 65533

// leastClusterGrace is more than it takes to take a box's routes out of the tables.
const leastClusterGrace = time.Second

// leastClusterFence is more than it takes to end a session.
const leastClusterFence = 30 * time.Second

// Rate is Bandwidth in bytes a second; 0 is no bound.
func (c Cluster) Rate() (int64, error) { return bandwidth(c.Bandwidth) }

func (c Cluster) check() (ps catalog.Problems) {
	const hint = "write :8480 for every network, or 10.0.0.1:8480; etcd takes the two ports above it"
	at := func(field, text string, anywhere bool) {
		host, port, err := net.SplitHostPort(text)
		n, numeric := strconv.Atoi(port)
		switch {
		case err != nil:
			ps = append(ps, problem(field, fmt.Sprintf("%q is not an address of the form host:port", text), hint))
		case numeric != nil || n < 1 || n > mostClusterPort:
			ps = append(ps, problem(field, fmt.Sprintf("%q is not a port with two above it", port), "a number from 1 to 65533"))
		case host == "" && !anywhere:
			ps = append(ps, problem(field, "names no box", "write the address by which the others reach this one: 10.0.0.1:8480"))
		case host != "" && !hostName(host):
			ps = append(ps, problem(field, fmt.Sprintf("%q is neither a host name nor an address", host), hint))
		}
	}
	at("cluster.listen", c.Listen, true)
	if c.Advertise != "" {
		at("cluster.advertise", c.Advertise, false)
	}
	for _, e := range c.Etcd {
		if u, err := url.Parse(e); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			ps = append(ps, problem("cluster.etcd", fmt.Sprintf("%q is no URL of an etcd", e), "write https://etcd-1.lan:2379"))
		}
	}
	if _, err := c.Rate(); err != nil {
		ps = append(ps, problem("cluster.bandwidth", err.Error(), "like 500m, of bytes a second; empty is no bound"))
	}
	if c.Grace < leastClusterGrace {
		ps = append(ps, problem("cluster.grace", fmt.Sprintf("%s is too short to tell a box that is gone from one that is slow", c.Grace), "20s is usual"))
	}
	if c.Fence < leastClusterFence {
		ps = append(ps, problem("cluster.fence", fmt.Sprintf("%s is too short: jobs would be ended wherever a box hears nothing of the others for a moment", c.Fence), "10m is usual"))
	}
	if !slices.Contains(sessionNetworks, c.SessionNetwork) {
		ps = append(ps, problem("cluster.session_network", fmt.Sprintf("%q is not known", c.SessionNetwork), "auto, vxlan, host or none"))
	}
	if p := c.SessionPool; !p.IsValid() || !p.Addr().Is4() || p.Bits() > leastSessionPool {
		ps = append(ps, problem("cluster.session_pool", fmt.Sprintf("%s has no room for a session's range, which is a /24 of IPv4", p), "10.208.0.0/13 is usual; no box may have a route into it"))
	}
	if c.VXLANPort < 1 || c.VXLANPort > 65535 {
		ps = append(ps, problem("cluster.vxlan_port", fmt.Sprintf("%d is no port", c.VXLANPort), "4789 is usual, the same on all boxes"))
	}
	return ps
}
