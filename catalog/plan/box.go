package plan

import "time"

// Wish is what somebody wants of a model. What is zero is left to the recipe and to what fits.
type Wish struct {
	Name        string   // of the service, for sentences
	Variant     string   // of the recipe
	Devices     int      // accelerators of each replica
	On          []string // ids or kinds of accelerators that it is to run on; empty: any
	Context     int      // tokens of a sequence
	Concurrency int      // sequences at once, of a replica
	Replicas    int
}

// Box is what a box has, as it is now. Callers gather it; nothing is looked up here.
type Box struct {
	Platform   string // amd64, arm64
	Devices    []Device
	Host       Host
	Disk       Disk
	Containers bool             // images can be run
	Processes  bool             // programs of the box can be run
	Programs   map[string]bool  // runtimes whose program is found on the box
	Images     []string         // references that are here already
	Here       map[string]int64 // bytes of a source (by its Where) that are here already
	Measured   Measured
}

// Device is one accelerator.
type Device struct {
	ID, Name     string
	Node         string // of several; a replica is on one of them
	Kind         string // cuda, rocm, ...
	Architecture string // sm_90, gfx942; empty: not known
	Total        int64  // bytes; 0: it does not say
	Free         int64  // bytes that a newcomer can have
	Holders      []Holder
	Trouble      string // why it cannot be used now; empty: it can
}

// Holder is who has a part of a device.
type Holder struct {
	Name  string // service chat
	Bytes int64
	// MayMove says that it makes room for others: a session that may be interrupted.
	MayMove bool
}

// Host is the box's own memory and cores.
type Host struct {
	Total, Free      int64   // bytes
	Cores, FreeCores float64 // 0, 0: not known
}

// Disk is where files of models are kept.
type Disk struct {
	Free    int64 // bytes; -1: not known
	Reserve int64 // bytes that stay free
}

// Measured is what was seen on this box. Zero: nothing yet.
type Measured struct {
	Download     Speed
	Pull         Speed // of images
	Load         Speed // of weights, from the disk to a device
	Calibrations []Calibration
}

// Speed is a measured speed.
type Speed struct {
	Rate float64 // bytes in a second; 0: not measured
	From string  // what it was measured on: the last 3 downloads
}

// Calibration is what a variant was seen to take.
type Calibration struct {
	Recipe, Variant      string
	Device               string // name of the kind: NVIDIA H100 80GB HBM3
	Devices              int
	Context, Concurrency int
	Memory               int64 // bytes of all its devices; 0: not known, or whatever the engine is given
	Load                 time.Duration
}
