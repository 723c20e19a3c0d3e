package sessions

import (
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

// demandOf is what one route of a service asks for.
func demandOf(s Service, r Recipe) (Demand, error) {
	slots, err := accel.ParseSlots(r.Resources)
	if err != nil {
		return Demand{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return Demand{Priority: s.Priority, Slots: slots, Selector: maps.Clone(r.Selector)}, nil
}

// everFits reports why no box of the pool could run d, were it empty. A box that is not known yet refuses nothing.
func everFits(pool accel.Pool, d Demand) error {
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

// SlotSessions is the name under which a quota bounds how many sessions there are.
const SlotSessions = "sessions"

// ParseQuota reads a quota as people write it: {cuda.device: 4, mem: 64g, sessions: 10}.
func ParseQuota(written map[string]string) (Quota, error) {
	var q Quota
	slots := maps.Clone(written)
	if text, ok := slots[SlotSessions]; ok {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return Quota{}, fmt.Errorf("%s: %q is not a number from 1", SlotSessions, text)
		}
		q.Sessions = n
		delete(slots, SlotSessions)
	}
	var err error
	q.Slots, err = accel.ParseSlots(slots)
	return q, err
}

// latest of two times.
func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
