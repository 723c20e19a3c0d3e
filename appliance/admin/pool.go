package admin

import (
	"context"
	"time"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/sessions"
)

// Pool is what sessions can run on. The daemon puts it together of accel's ledger and the history of its devices.
type Pool interface {
	// Boxes returns every node as it is now.
	Boxes() []Box
	// History returns what a device said of itself, oldest first, and the step that the points have: the asked one, or
	// the finest that is kept where that is longer; a step of 0 asks for the finest.
	History(ctx context.Context, of Device, p Period) ([]Point, time.Duration, error)
	// Fence takes a device out of use, Unfence puts it back and forgets the fault that took it out. Both are idempotent.
	Fence(ctx context.Context, which Device, reason, by string) error
	Unfence(ctx context.Context, which Device, by string) error
}

// Device names one of them.
type Device struct {
	Node string
	ID   string // accel.Device.ID
}

// Box is one node at one moment.
type Box struct {
	accel.Status
	Runtime string // how sessions run there
	// BusyCores and UsedMemory are of the whole box, whoever keeps them so; -1 where it does not say.
	BusyCores  float64
	UsedMemory int64 // bytes
}

// Period is a part of a device's history.
type Period struct {
	From, To time.Time
	Step     time.Duration
}

// Point is the mean of what a device said in one step. What it could not tell is -1.
type Point struct {
	At          time.Time
	Utilization float64 // 0 to 1
	MemoryUsed  int64   // bytes
	Power       float64 // watts
	Temperature float64 // degrees Celsius
}

// Queue says who waits for a place. *sessions.Manager is one.
type Queue interface {
	// Queue returns every session that has no place, in the order in which they are tried.
	Queue() []sessions.Waiting
}
