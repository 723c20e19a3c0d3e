package accel

// Node is what one box has to give, as it was found.
type Node struct {
	Name    string            `json:"name"`
	Labels  map[string]string `json:"labels,omitempty"` // selectors choose by them
	CPU     Amount            `json:"cpu"`              // thousandths of a core
	Memory  Amount            `json:"memory"`           // bytes
	NUMA    []NUMA            `json:"numa,omitempty"`   // nil where the box has one, or does not say
	Devices []Device          `json:"devices,omitempty"`
}

// NUMA is one memory node of a box with the cores that are near to it.
type NUMA struct {
	ID     int   `json:"id"`
	CPUs   []int `json:"cpus"`   // numbers of cores
	Memory int64 `json:"memory"` // bytes
}

// Share is a part of one device.
type Share struct {
	Device string `json:"device"` // Device.ID
	Slot   Slot   `json:"slot"`   // what was asked for: cuda.device or cuda.shares
	Amount Amount `json:"amount"` // hundredths; 100 is the whole device
	Memory int64  `json:"memory"` // bytes of the device's memory that the amount stands for
}

// Claim is what one session holds of one node. It is kept with the session and with its instance, so that
// who holds what is known again after any crash.
type Claim struct {
	Session string  `json:"session"`
	Node    string  `json:"node"`
	Slots   Slots   `json:"slots"`            // what was asked for
	Shares  []Share `json:"shares,omitempty"` // in the order of the node's devices
	NUMA    int     `json:"numa"`             // the memory node all of it is near to; -1 any
}
