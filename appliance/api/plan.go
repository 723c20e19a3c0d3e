package api

// PlanCreate asks what an install would do. What is left out is left to the recipe and to what fits.
type PlanCreate struct {
	Recipe      string   `json:"recipe"`         // NAME, NAME@VERSION or CATALOG/NAME
	Name        string   `json:"name,omitempty"` // of the service that it would be; default the recipe's
	Variant     string   `json:"variant,omitempty"`
	Devices     int      `json:"devices,omitempty"` // accelerators of each replica
	On          []string `json:"on,omitempty"`      // ids or kinds of accelerators
	Context     int      `json:"context,omitempty"` // tokens of a sequence
	Concurrency int      `json:"concurrency,omitempty"`
	Replicas    int      `json:"replicas,omitempty"`
}

// Plan is what an install would do.
type Plan struct {
	Recipe       string            `json:"recipe"` // id
	Version      string            `json:"version"`
	Verdict      string            `json:"verdict"`
	Sentence     string            `json:"sentence"` // the verdict with its reasons
	Variant      string            `json:"variant,omitempty"`
	Runtime      string            `json:"runtime_variant,omitempty"`
	Image        string            `json:"image,omitempty"` // host: a program of the box
	ImageHere    bool              `json:"image_here"`
	Source       string            `json:"source,omitempty"`
	Kind         string            `json:"kind,omitempty"` // of accelerator; cpu for none
	Quantization string            `json:"quantization,omitempty"`
	Context      int               `json:"context,omitempty"`
	Concurrency  int               `json:"concurrency,omitempty"`
	Resources    map[string]string `json:"resources,omitempty"` // of each replica
	Secrets      []string          `json:"secrets,omitempty"`   // that it wants
	Memory       int64             `json:"memory"`              // bytes of one replica
	Parts        []PlanPart        `json:"parts"`               // of that memory
	Replicas     []PlanPlace       `json:"replicas"`            // where each would run
	Moves        []PlanMove        `json:"moves"`               // who makes room
	Disk         PlanDisk          `json:"disk"`
	Steps        []PlanStep        `json:"steps"` // what takes time
	Considered   []PlanAttempt     `json:"considered"`
	Alternatives []PlanAlternative `json:"alternatives"`
	Warnings     []string          `json:"warnings"`
}

// PlanPart is a part of memory.
type PlanPart struct {
	Name     string `json:"name"` // weights, cache, overhead; all where it was measured
	Bytes    int64  `json:"bytes"`
	Measured bool   `json:"measured"`
}

// PlanPlace is where one replica runs; without devices: in the box's own memory.
type PlanPlace struct {
	Devices []PlanUse `json:"devices"`
}

// PlanUse is what a replica takes of a device.
type PlanUse struct {
	ID    string  `json:"id"`
	Name  string  `json:"name"`
	Bytes int64   `json:"bytes"` // that it needs
	Free  int64   `json:"free"`  // before
	Total int64   `json:"total"`
	Share float64 `json:"share"` // 1: all of it
}

// PlanMove is somebody who makes room.
type PlanMove struct {
	Who    string `json:"who"`
	Device string `json:"device"`
	Bytes  int64  `json:"bytes"`
}

// PlanDisk is what an install does to the disk, in bytes.
type PlanDisk struct {
	Bytes int64 `json:"bytes"` // of all files; 0 unknown
	Here  int64 `json:"here"`  // of them, here already
	Free  int64 `json:"free"`  // -1 unknown
}

// PlanStep is one thing that takes time.
type PlanStep struct {
	Name    string   `json:"name"` // download, image, load
	Bytes   int64    `json:"bytes,omitempty"`
	Seconds *float64 `json:"seconds,omitempty"` // not given: not known
	From    string   `json:"from"`              // what it was worked out from, or why it is not known
}

// PlanAttempt is a variant that was looked at before the one that was taken, and why it was not.
type PlanAttempt struct {
	Variant string `json:"variant"`
	Kind    string `json:"kind"`
	Reason  string `json:"reason"`
}

// PlanAlternative is a change with which it would fit.
type PlanAlternative struct {
	Change string `json:"change"`
	Value  string `json:"value"`
	Option string `json:"option,omitempty"` // of palisade install: --context 8192
	Text   string `json:"text"`
	Needs  int64  `json:"needs"` // bytes
}
