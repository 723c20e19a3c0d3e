package accel

import (
	"context"
	"errors"
	"time"
)

// Device is one accelerator of a node, or one slice of it, as its plugin found it.
type Device struct {
	ID     string `json:"id"`     // unique on its node and the same after a restart: NVML's UUID, else the PCI address
	Index  int    `json:"index"`  // as the vendor's own tools number it
	Family string `json:"family"` // "cuda", "rocm", ...: which plugin speaks for it
	Slot   Slot   `json:"slot"`   // what a whole one is asked for as: cuda.device, cuda.device:1g.10gb-mig, rocm.device
	Name   string `json:"name"`   // "NVIDIA H100 80GB HBM3"
	Memory int64  `json:"memory"` // bytes; 0 where the device does not say
	// Architecture is what programs for it are built for: sm_90, gfx942. "" where the device does not say.
	Architecture string `json:"architecture,omitempty"`
	NUMA         int    `json:"numa"` // -1 where the box does not say
	PCI          string `json:"pci,omitempty"`
	Parent       string `json:"parent,omitempty"` // of a slice: the device that it is cut from
	// Links leads from another device's ID to what joins the two: "NV18", "PIX". What is not joined is not in it.
	Links     map[string]string `json:"links,omitempty"`
	Simulated bool              `json:"simulated,omitempty"` // nothing is behind it
	Fault     string            `json:"fault,omitempty"`     // why it must not be used; "" while it is well
	// Busy is why it is not handed out although it works: someone else's process uses it, memory was not given
	// back, an operator took it out. Who has it keeps it.
	Busy string `json:"busy,omitempty"`
}

// Sample is what a device said of itself at one moment. What it cannot tell is -1, and Processes is nil.
type Sample struct {
	Device      string       `json:"device"`
	At          time.Time    `json:"at"`
	Utilization float64      `json:"utilization"` // 0 to 1
	MemoryUsed  int64        `json:"memory_used"` // bytes
	Temperature float64      `json:"temperature"` // degrees Celsius
	Power       float64      `json:"power"`       // watts
	Processes   []ProcessUse `json:"processes,omitempty"`
	Fault       string       `json:"fault,omitempty"` // XID, ECC, fell off the bus; "" while it is well
}

// ProcessUse is what one process of the box holds of a device's memory.
type ProcessUse struct {
	PID    int   `json:"pid"`
	Memory int64 `json:"memory"` // bytes; -1 unknown
	// Name is the program's, for people; "" unknown. Plugins may leave it to the Watcher.
	Name string `json:"name,omitempty"`
}

// ErrLost is what a plugin answers that worked before and cannot reach its devices any more.
var ErrLost = errors.New("accelerators cannot be reached")

// Plugin speaks for one family of accelerators. Methods are called by one goroutine at a time, except Grant.
type Plugin interface {
	// Name is what listings call it: "nvidia", "sysfs", "simulated dgxh100".
	Name() string
	// Devices lists what is there. None at all is no error.
	Devices(ctx context.Context) ([]Device, error)
	// Sample asks each device how it is. A device that does not answer gets a Sample with a Fault.
	Sample(ctx context.Context, devices []Device) ([]Sample, error)
	// Grant says what a session is given so that it sees its shares, and nothing else. All of them are of
	// devices that this plugin listed.
	Grant(shares []Share) (Grant, error)
}

// Grant is how a session is given its devices.
type Grant struct {
	CDI    []string          `json:"cdi,omitempty"`    // names of the Container Device Interface: nvidia.com/gpu=GPU-...
	Nodes  []string          `json:"nodes,omitempty"`  // device files, where there is no CDI
	Env    map[string]string `json:"env,omitempty"`    // NVIDIA_VISIBLE_DEVICES, CUDA_MPS_PINNED_DEVICE_MEM_LIMIT, ...
	Mounts map[string]string `json:"mounts,omitempty"` // directory of the box to path in the session, such as the pipes of MPS
	// Enforced says whether hardware or driver holds the session to its fractions.
	Enforced bool `json:"enforced"`
}
