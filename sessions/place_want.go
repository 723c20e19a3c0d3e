package sessions

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/palisade-run/palisade/accel"
)

// want is one waiting session while a pass lasts.
type want struct {
	*Waiting
	shape *shape
	kept  *kept  // room that is kept for it; nil: none
	waits []Wait // decided so far
	full  bool   // it has passed every other predicate: it waits for resources
}

// shape is what sessions that ask for the same have in common. What was found out for one of them need not
// be looked for again: while a pass lasts, what is free only gets less.
type shape struct {
	need     accel.Need   // of all containers of the session together
	each     accel.Need   // of one of them
	count    int          // of containers
	spread   bool         // they may be on several nodes: then what is asked of a node is asked for each of them
	engine   bool         // Waiting.Engine, where spread
	apart    bool         // Waiting.Apart, where spread
	needs    []accel.Need // where spread: of so many of them and one more
	slots    accel.Slots  // of all of them
	invalid  error        // the ask is one that no box could grant as it is written
	asks     []ask        // memory, cores, accelerators by name; of all containers, or where spread of one
	selector map[string]string
	strategy Strategy
	chosen   []bool // by node: it has the labels; nil: all have

	cpu, mem       accel.Amount
	perCPU, perMem float64      // how many such sessions one unit would do for; as good as no end of them where none is asked for
	kind           string       // the accelerators that it competes for; "" none
	device         int          // column of the first accelerator that is asked for; cores where none is
	devices        accel.Amount // so much of it
	several        bool         // more than one kind of accelerator is asked for
	pieces         bool         // sums of what is free may be in pieces that are too small

	noRoom    bool         // no node has room now
	noSoon    bool         // nor when all that leave have left
	noVictims map[int]bool // nor by preemption, by priority
}

// ask is one slot of a shape.
type ask struct {
	slot   accel.Slot
	column int
	free   []accel.Amount // the column
	amount accel.Amount
}

// shapes makes one shape of all asks that are alike.
type shapes struct {
	options  accel.Options
	strategy Strategy
	nodes    *nodes
	known    map[shapeKey]*shape
	chosen   map[string][]bool // by selector
}

// shapeKey is equal for asks that are alike.
type shapeKey struct {
	cpu, mem               accel.Amount
	accelerators, selector string
	strategy               Strategy
	count                  int // of containers that ask for it
	spread, engine, apart  bool
}

// acceleratorKey writes the devices that are asked for so that equal ones are written alike.
func acceleratorKey(slots accel.Slots) string {
	names := slots.Accelerators()
	if names == nil {
		return ""
	}
	var key []byte
	for _, name := range names {
		key = append(append(key, name...), '=')
		key = append(strconv.AppendInt(key, int64(slots[name]), 10), ' ')
	}
	return string(key)
}

func (s *shapes) of(w *Waiting) *shape {
	strategy := w.Strategy
	if strategy == "" {
		strategy = s.strategy
	}
	key := shapeKey{
		cpu: w.Slots[accel.SlotCPU], mem: w.Slots[accel.SlotMem], selector: selectorKey(w.Selector), strategy: strategy,
		accelerators: acceleratorKey(w.Slots), count: 1 + len(w.Others), spread: w.Spread && len(w.Others) > 0,
	}
	key.engine, key.apart = key.spread && w.Engine, key.spread && w.Apart
	if known := s.known[key]; known != nil {
		return known
	}
	sh := &shape{selector: w.Selector, strategy: strategy, count: key.count, spread: key.spread, engine: key.engine, apart: key.apart, noVictims: map[int]bool{}}
	s.known[key] = sh
	slots := w.Slots
	sh.each, sh.invalid = accel.NewNeed(slots, s.options)
	if sh.need = sh.each; sh.count > 1 && sh.invalid == nil {
		slots = times(slots, sh.count, s.options)
		sh.need, sh.invalid = accel.NewNeed(slots, s.options)
	}
	sh.slots = slots
	if sh.spread && sh.invalid == nil {
		s.spread(sh, w.Slots)
	} else {
		s.take(sh, slots)
	}
	sh.chosen = s.choose(key.selector, w.Selector)
	return sh
}

// take takes in what is asked for.
func (s *shapes) take(sh *shape, slots accel.Slots) {
	const noEnd = 1e18
	sh.perCPU, sh.perMem = noEnd, noEnd
	var kinds []string
	for _, name := range append([]accel.Slot{accel.SlotMem, accel.SlotCPU}, slots.Accelerators()...) {
		amount := slots[name]
		if amount <= 0 {
			continue
		}
		column := s.nodes.column(name)
		sh.asks = append(sh.asks, ask{name, column, s.nodes.columns[column], amount})
		switch column {
		case cpuColumn:
			sh.cpu, sh.perCPU = amount, 1/float64(amount)
		case memColumn:
			sh.mem, sh.perMem = amount, 1/float64(amount)
		default:
			if kinds == nil {
				sh.device, sh.devices = column, amount
			}
			kinds = append(kinds, string(deviceSlot(name)))
			sh.pieces = sh.pieces || name != deviceSlot(name) && s.options.Quantum > 1
		}
	}
	sh.kind, sh.several = strings.Join(kinds, "+"), len(kinds) > 1
}

// choose tells which nodes have the labels.
func (s *shapes) choose(key string, selector map[string]string) []bool {
	if len(selector) == 0 {
		return nil
	}
	if chosen, known := s.chosen[key]; known {
		return chosen
	}
	chosen := make([]bool, len(s.nodes.now))
	for i, state := range s.nodes.now {
		chosen[i] = labelled(state.Node().Labels, selector)
	}
	s.chosen[key] = chosen
	return chosen
}

func labelled(labels, selector map[string]string) bool {
	for name, value := range selector {
		if got, has := labels[name]; !has || got != value {
			return false
		}
	}
	return true
}

// selectorKey writes a selector so that equal ones are written alike: "gpu=h100, zone=a".
func selectorKey(selector map[string]string) string {
	if len(selector) == 0 {
		return ""
	}
	pairs := make([]string, 0, len(selector))
	for _, name := range slices.Sorted(maps.Keys(selector)) {
		pairs = append(pairs, name+"="+selector[name])
	}
	return strings.Join(pairs, ", ")
}

// on reports whether the shape's selector lets it use a node.
func (s *shape) on(i int) bool { return s.chosen == nil || s.chosen[i] }

// anywhere reports whether any node has the labels.
func (s *shape) anywhere() bool { return s.chosen == nil || slices.Contains(s.chosen, true) }

// deviceSlot is the slot of the devices that serve a slot: cuda.device for cuda.shares. Sessions that ask
// for the one compete with those that ask for the other.
func deviceSlot(slot accel.Slot) accel.Slot {
	if family, fraction := strings.CutSuffix(string(slot), ".shares"); fraction {
		return accel.Slot(family + ".device")
	}
	return slot
}

// accelerator reports whether a slot is one of devices.
func accelerator(slot accel.Slot) bool { return slot != accel.SlotCPU && slot != accel.SlotMem }
