package sessions

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/palisade-run/palisade/accel"
)

// Demand is what a session asks of the pool and how it stands in the queue.
type Demand struct {
	Priority    int               `json:"priority"` // 0 to 100; higher goes first
	Slots       accel.Slots       `json:"slots,omitempty"`
	Selector    map[string]string `json:"selector,omitempty"` // labels that its node must have
	Preemptible bool              `json:"preemptible,omitempty"`
	MinRuntime  time.Duration     `json:"min_runtime,omitempty"` // not preempted before it has run so long
	StartsAt    time.Time         `json:"starts_at,omitzero"`    // not before
	DependsOn   []string          `json:"depends_on,omitempty"`  // ids of sessions that must have ended with success
}

// Priorities.
const (
	MinPriority     = 0
	MaxPriority     = 100
	DefaultPriority = 10
)

func checkPriority(n int) error {
	if n < MinPriority || n > MaxPriority {
		return fmt.Errorf("%w: priority %d: a number from %d to %d; %d where nothing is said", ErrInvalid, n, MinPriority, MaxPriority, DefaultPriority)
	}
	return nil
}

// demandOf is what one route of a service asks for. Of memory that is all that it may come to use, its shared memory
// too: what the pool counts and what the session is held to must be the same.
func demandOf(s Service, r Recipe) (Demand, error) {
	slots, err := accel.ParseSlots(r.Resources)
	if err != nil {
		return Demand{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	limits, err := limitsOf(r)
	if err != nil {
		return Demand{}, err
	}
	if limits.Memory > 0 {
		slots[accel.SlotMem] = accel.Amount(limits.Memory)
	}
	return Demand{Priority: s.Priority, Slots: slots, Selector: maps.Clone(r.Selector)}, nil
}

// everFits reports why no box of the pool could run d, were it empty. A box that is not known yet refuses nothing.
func everFits(pool accel.Pool, d Demand, options accel.Options) error {
	if _, err := accel.NewNeed(d.Slots, options); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	var why error
	for _, state := range pool {
		if !selects(d.Selector, state.Node().Labels) {
			continue
		}
		err := accel.FitsEmpty(*state.Node(), d.Slots)
		if err == nil {
			return nil
		}
		why = err
	}
	switch {
	case why != nil:
		return fmt.Errorf("%w: %w", ErrInvalid, why)
	case len(pool) > 0:
		return fmt.Errorf("%w: no box has the labels %s", ErrInvalid, labelText(d.Selector))
	}
	return nil
}

// selects reports whether a node's labels are what a selector wants.
func selects(selector, have map[string]string) bool {
	for key, value := range selector {
		if have[key] != value {
			return false
		}
	}
	return true
}

func labelText(selector map[string]string) string {
	text := ""
	for _, key := range slices.Sorted(maps.Keys(selector)) {
		if text != "" {
			text += ", "
		}
		text += key + "=" + selector[key]
	}
	return text
}

// The names under which a quota bounds how many there are.
const (
	SlotSessions = "sessions"
	SlotServices = "services"
	SlotRoutes   = "routes" // of all services together
)

// ParseQuota reads a quota as people write it: {cuda.device: 4, mem: 64g, sessions: 10}. 0 of a slot is none of it.
func ParseQuota(written map[string]string) (Quota, error) {
	var q Quota
	var wrong []error
	for _, name := range slices.Sorted(maps.Keys(written)) {
		text := written[name]
		if count := map[string]*int{SlotSessions: &q.Sessions, SlotServices: &q.Services, SlotRoutes: &q.Routes}[name]; count != nil {
			n, err := strconv.Atoi(text)
			if err != nil || n < 1 {
				wrong = append(wrong, fmt.Errorf("%s: %q is not a number from 1", name, text))
			}
			*count = n
			continue
		}
		none := text == "0"
		if none {
			text = "1" // what may not be asked for may still be limited to
		}
		slots, err := accel.ParseSlots(map[string]string{name: text}) // one by one: together they need not suit one session
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		if q.Slots == nil {
			q.Slots = accel.Slots{}
		}
		if q.Slots[accel.Slot(name)] = slots[accel.Slot(name)]; none {
			q.Slots[accel.Slot(name)] = 0
		}
	}
	return q, errors.Join(wrong...)
}

// latest of two times.
func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
