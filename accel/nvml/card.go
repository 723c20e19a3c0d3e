package nvml

// box is a machine's NVIDIA devices, real or simulated. Its answers are whole: no handle of the library
// leaves it. Calls come one at a time.
type box interface {
	// open makes the devices reachable, again after they were lost. Until it has answered nil, and after
	// close, no other method is called.
	open() error
	close()
	// cards lists the devices. One that does not answer is listed with its fault. An error means all.
	cards() ([]card, error)
	// read asks how one device or slice is. An error of kind errGone means that none can be asked.
	read(uuid string) (reading, error)
	// events are the critical ones since the last call; it does not wait.
	events() ([]event, error)
}

// card is one GPU as the library describes it.
type card struct {
	index    int    // NVML's, which nvidia-smi shows
	minor    int    // of /dev/nvidiaN; -1 unknown
	uuid     string // "" where the device is so broken that it does not even say this
	name     string
	pci      string // as sysfs writes it: 0000:1b:00.0
	memory   int64  // bytes
	arch     string // sm_90; "" unknown
	fault    string
	mig      bool // only its slices can be had
	slices   []slice
	peers    map[string]int      // NVLinks that lead straight to another card, by its PCI address
	switches int                 // NVLinks that lead to an NVSwitch
	levels   map[string]topology // what lies between it and another card, by uuid
}

// slice is one MIG device of a card.
type slice struct {
	index   int // among the slices of its card, as nvidia-smi shows
	uuid    string
	profile string // "1g.10gb"
	memory  int64  // bytes
	gi, ci  int    // numbers of its GPU instance and compute instance; -1 unknown
	fault   string
}

// reading is what a card or a slice says of itself; -1 is "does not say".
type reading struct {
	utilization float64
	memory      int64
	temperature float64
	power       float64
	processes   map[int]int64 // PID to bytes (-1 unknown); nil where the device does not tell
	fault       string
}

// event is one critical event.
type event struct {
	uuid string // of the card
	gi   int    // GPU instance that it hit; -1 all of the card
	xid  uint64 // 0 for an uncorrectable memory error
}

func unknown() reading {
	return reading{utilization: -1, memory: -1, temperature: -1, power: -1}
}
