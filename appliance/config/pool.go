package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/sessions"
)

// Containerd runs sessions where Runtime says so.
type Containerd struct {
	// Address is the socket of a containerd that is there, or "private" for one that the appliance starts below Data.
	Address string `yaml:"address"`
	// Snapshotter keeps images' layers: overlayfs, or native where the disk cannot do that; "" finds out.
	Snapshotter string `yaml:"snapshotter"`
	// UserNamespace maps a session's root to a user of the box that owns nothing.
	UserNamespace bool `yaml:"user_namespace"`
	// CNI is a conflist file by which sessions get their network; "" for the appliance's own. Absolute after Load.
	CNI string `yaml:"cni"`
	// Insecure are registries (host or host:port) that are asked without TLS. Those on loopback always are.
	Insecure []string `yaml:"insecure_registries"`
}

// PrivateContainerd is the Address of a containerd that the appliance starts itself.
const PrivateContainerd = "private"

// Node is this box as selectors and listings see it.
type Node struct {
	Name   string            `yaml:"name"`   // "" is the host's name
	Labels map[string]string `yaml:"labels"` // what selectors choose by
}

// Accel is how accelerators are found and handed out.
type Accel struct {
	// Simulate makes up the accelerators of a known machine, dgxh100 for one: to try and to rehearse. "" for the real ones.
	Simulate string `yaml:"simulate"`
	// MPS shares NVIDIA devices through the driver's Multi-Process Service, which holds sessions to their part: auto or off.
	MPS string `yaml:"mps"`
	// Overuse is what happens to a session that holds more of a device than its part: show or end.
	Overuse string `yaml:"overuse"`
	// Allocation spreads what one device cannot give: evenly or fill.
	Allocation string `yaml:"allocation"`
	// FractionStep is the smallest part of a device that is handed out: 0.01 to 1.
	FractionStep string `yaml:"fraction_step"`
	// GiveBack is how long a device may take to report its memory free after a session, before it is fenced.
	GiveBack time.Duration `yaml:"give_back"`
	// Every is how often devices are asked how they are.
	Every time.Duration `yaml:"every"`
}

// MPS settings, and what happens on over-use.
const (
	Auto        = "auto"
	Off         = "off"
	OveruseShow = "show"
	OveruseEnd  = "end"
)

// Queue is the order in which sessions that wait get a place, and where.
type Queue struct {
	Order    string      `yaml:"order"`    // inside one priority: fifo, lifo or drf
	Strategy string      `yaml:"strategy"` // which box: dispersed, concentrated or roundrobin
	Limits   QueueLimits `yaml:"limits"`
}

// QueueLimits are how much of each slot, and of "sessions", one project or person may hold at a time.
type QueueLimits struct {
	Projects map[string]map[string]string `yaml:"projects"`
	Users    map[string]map[string]string `yaml:"users"`
}

// defaultPool is what holds where nothing is set.
func defaultPool() (Containerd, Accel, Queue) {
	return Containerd{Address: "/run/containerd/containerd.sock"},
		Accel{MPS: Auto, Overuse: OveruseShow, Allocation: "evenly", FractionStep: "0.01", GiveBack: time.Minute, Every: 15 * time.Second},
		Queue{Order: string(sessions.OrderFIFO), Strategy: string(sessions.StrategyDispersed)}
}

func (c Config) checkPool() (ps catalog.Problems) {
	if c.Containerd.Snapshotter != "" {
		ps = append(ps, oneOf("containerd.snapshotter", c.Containerd.Snapshotter, "overlayfs", "native")...)
	}
	if a := c.Containerd.Address; a != PrivateContainerd && !strings.HasPrefix(a, "/") {
		ps = append(ps, problem("containerd.address", fmt.Sprintf("%q is neither a socket's absolute path nor %q", a, PrivateContainerd), "/run/containerd/containerd.sock is the usual one"))
	}
	ps = append(ps, oneOf("accel.mps", c.Accel.MPS, Auto, Off)...)
	ps = append(ps, oneOf("accel.overuse", c.Accel.Overuse, OveruseShow, OveruseEnd)...)
	ps = append(ps, oneOf("accel.allocation", c.Accel.Allocation, "evenly", "fill")...)
	if _, err := c.Accel.Quantum(); err != nil {
		ps = append(ps, problem("accel.fraction_step", err.Error(), "from 0.01 to 1, such as 0.1"))
	}
	if c.Accel.Every < time.Second {
		ps = append(ps, problem("accel.every", "less than a second is more than devices bear", "15s is usual"))
	}
	if c.Accel.GiveBack < time.Second {
		ps = append(ps, problem("accel.give_back", "less than a second is too soon for any driver", "1m is usual"))
	}
	ps = append(ps, oneOf("queue.order", c.Queue.Order, string(sessions.OrderFIFO), string(sessions.OrderLIFO), string(sessions.OrderDRF))...)
	ps = append(ps, oneOf("queue.strategy", c.Queue.Strategy, string(sessions.StrategyDispersed), string(sessions.StrategyConcentrated), string(sessions.StrategyRoundRobin))...)
	for field, limits := range map[string]map[string]map[string]string{"projects": c.Queue.Limits.Projects, "users": c.Queue.Limits.Users} {
		for _, name := range slices.Sorted(maps.Keys(limits)) {
			if _, err := sessions.ParseQuota(limits[name]); err != nil {
				ps = append(ps, problem("queue.limits."+field+"."+name, err.Error(), "slots as in a service's resources, and sessions for how many at a time"))
			}
		}
	}
	return ps
}

// Quantum is FractionStep as an amount.
func (a Accel) Quantum() (accel.Amount, error) {
	slots, err := accel.ParseSlots(map[string]string{"cuda.shares": a.FractionStep})
	if err != nil {
		return 0, fmt.Errorf("%q is no part of a device", a.FractionStep)
	}
	if q := slots["cuda.shares"]; 100%q == 0 {
		return q, nil
	}
	return 0, fmt.Errorf("a device cannot be cut into parts of %s", a.FractionStep)
}
