package api

import "time"

// Node is one box of the appliance: what it has to give, and how much of that sessions hold.
type Node struct {
	Name      string            `json:"name"`
	Labels    map[string]string `json:"labels,omitempty"` // selectors choose by them
	Runtime   string            `json:"runtime"`          // how sessions run there: containerd, process
	Simulated bool              `json:"simulated"`        // nothing is behind some of its devices
	CPU       Cores             `json:"cpu"`
	Memory    Bytes             `json:"memory"`
	NUMA      []NUMANode        `json:"numa,omitempty"` // left out where the box has one, or does not say
	Devices   []DeviceCount     `json:"devices"`        // a row for each kind
}

// Cores of a node. What the box cannot tell is -1.
type Cores struct {
	Total float64 `json:"total"`
	Taken float64 `json:"taken"` // what sessions have asked for and hold
	Free  float64 `json:"free"`  // what the next session may ask for
	Used  float64 `json:"used"`  // busy now, whoever keeps them so; -1 unknown
}

// Bytes of a node's memory. What the box cannot tell is -1.
type Bytes struct {
	Total int64 `json:"total"`
	Taken int64 `json:"taken"` // what sessions have asked for and hold
	Free  int64 `json:"free"`  // what the next session may ask for
	Used  int64 `json:"used"`  // in use now, whoever uses it; -1 unknown
}

// NUMANode is one memory node of a box, with the cores that are near to it.
type NUMANode struct {
	ID     int    `json:"id"`
	CPUs   string `json:"cpus"`   // numbers of cores: 0-15,32-47
	Memory int64  `json:"memory"` // bytes
}

// DeviceCount is how many devices of one kind a node has, and how they are.
type DeviceCount struct {
	Slot      string `json:"slot"` // what one is asked for as: cuda.device
	Name      string `json:"name"` // NVIDIA H100 80GB HBM3
	Total     int    `json:"total"`
	Free      int    `json:"free"`     // healthy, and nobody holds any part of them
	Shared    int    `json:"shared"`   // healthy, and somebody holds a part of them
	Taken     int    `json:"taken"`    // healthy, and all of them is held
	Unusable  int    `json:"unusable"` // fenced, busy or lost
	Simulated bool   `json:"simulated"`
}

// The states of a device's health.
const (
	DeviceOK     = "ok"
	DeviceFenced = "fenced" // it must not be used: broken, or taken out by a person
	DeviceBusy   = "busy"   // somebody who is no session holds its memory
	DeviceLost   = "lost"   // it does not answer any more
)

// Device is one accelerator of a node, or one slice of it. What it cannot tell is -1.
type Device struct {
	ID     string `json:"id"`   // unique on its node and the same after a restart
	Ref    string `json:"ref"`  // what people call it: cuda:0, cuda:0:1 for a slice, gpu-box/cuda:0 where several nodes have one
	Node   string `json:"node"` // name of its box
	Index  int    `json:"index"`
	Name   string `json:"name"`
	Family string `json:"family"` // cuda, rocm, ...
	Slot   string `json:"slot"`   // what a whole one is asked for as
	// Architecture is what programs for it are built for: sm_90, gfx942.
	Architecture string     `json:"architecture,omitempty"`
	PCI          string     `json:"pci,omitempty"`
	NUMA         int        `json:"numa"`                 // memory node it is near to; -1 unknown
	Parent       string     `json:"parent,omitempty"`     // of a slice: id of the device that it is cut from
	Simulated    bool       `json:"simulated"`            // nothing is behind it
	Health       string     `json:"health"`               // ok, fenced, busy, lost
	Reason       string     `json:"reason,omitempty"`     // one sentence: why it is not ok
	Since        *time.Time `json:"since,omitempty"`      // of a fence
	MemoryTotal  int64      `json:"memory_total"`         // bytes
	MemoryUsed   int64      `json:"memory_used"`          // bytes, whoever uses them
	Utilization  float64    `json:"utilization"`          // 0 to 1
	Temperature  float64    `json:"temperature"`          // degrees Celsius
	Power        float64    `json:"power"`                // watts
	SampledAt    *time.Time `json:"sampled_at,omitempty"` // when it said so; of one that is lost, the last time
	Taken        string     `json:"taken"`                // the part of it that sessions hold: 0.00 to 1.00
	Holders      []Holder   `json:"holders"`
	Links        []Link     `json:"links,omitempty"` // to other devices of the node
}

// The states of a holder.
const (
	HolderHeld    = "held"
	HolderLeaving = "leaving" // it has ended; its part is free once the device shows the memory free
)

// Holder is a session that holds a part of a device.
type Holder struct {
	Session    string `json:"session"` // id
	Name       string `json:"name,omitempty"`
	Project    string `json:"project,omitempty"`
	Service    string `json:"service,omitempty"` // name of the service whose route it is
	Slot       string `json:"slot"`              // what it asked for: cuda.device, cuda.shares
	Share      string `json:"share"`             // of the whole device: 0.01 to 1.00
	Memory     int64  `json:"memory"`            // bytes of the device's memory that the share stands for
	MemoryUsed int64  `json:"memory_used"`       // bytes that its processes hold; -1 unknown
	State      string `json:"state"`             // held, leaving
}

// Link joins two devices.
type Link struct {
	Device string `json:"device"` // id of the other one
	Ref    string `json:"ref"`
	Kind   string `json:"kind"` // NV18, PIX, ...
}

// DeviceHistory is what a device said of itself over a time.
type DeviceHistory struct {
	Device string        `json:"device"` // id
	From   time.Time     `json:"from"`
	To     time.Time     `json:"to"`
	Step   float64       `json:"step"`   // seconds from point to point; more than was asked for where no finer ones are kept
	Points []DevicePoint `json:"points"` // oldest first; none where nothing was seen
}

// DevicePoint is the mean of what a device said in one step. What it could not tell is -1.
type DevicePoint struct {
	At          time.Time `json:"at"`
	Utilization float64   `json:"utilization"` // 0 to 1
	MemoryUsed  int64     `json:"memory_used"` // bytes
	Power       float64   `json:"power"`       // watts
	Temperature float64   `json:"temperature"` // degrees Celsius
}

// Fence takes a device out of use.
type Fence struct {
	Reason string `json:"reason"` // one sentence, for those who ask why
}

// Claim is what a session holds of a node.
type Claim struct {
	Node    string        `json:"node"`
	State   string        `json:"state"` // held, leaving
	NUMA    int           `json:"numa"`  // memory node that all of it is near to; -1 any
	Devices []ClaimDevice `json:"devices"`
}

// ClaimDevice is the part of one device that a session holds.
type ClaimDevice struct {
	Device     string `json:"device"` // id
	Ref        string `json:"ref"`    // cuda:0
	Name       string `json:"name,omitempty"`
	Slot       string `json:"slot"`        // what was asked for: cuda.device, cuda.shares
	Share      string `json:"share"`       // 0.01 to 1.00
	Memory     int64  `json:"memory"`      // bytes that the share stands for
	MemoryUsed int64  `json:"memory_used"` // bytes that its processes hold; -1 unknown
}

// Wait is one thing that keeps a session from starting.
type Wait struct {
	Predicate string `json:"predicate"`       // what was asked: starts-at, dependencies, user-limit, project-limit, selector, capacity, resources
	Sentence  string `json:"sentence"`        // waits for 2 cuda.device: 1 of 8 free
	Would     string `json:"would,omitempty"` // what would make it fit
}

// Waiting is a session in the queue.
type Waiting struct {
	Position    int               `json:"position"` // 1 is tried first
	Session     string            `json:"session"`  // id
	Name        string            `json:"name"`
	Project     string            `json:"project"`
	Type        string            `json:"type"`
	ServiceName string            `json:"service_name,omitempty"`
	CreatedBy   string            `json:"created_by"`
	Priority    int               `json:"priority"` // 0 to 100, higher first
	Resources   map[string]string `json:"resources,omitempty"`
	Since       time.Time         `json:"since"`
	Waits       []Wait            `json:"waits"` // the first is the one to look at
}
