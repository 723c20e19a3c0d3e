package usage

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"math/bits"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Bounds of what waits for a store that does not take it.
const (
	flushEvery = time.Second
	flushRetry = 30 * time.Second // at most between two tries
	maxWaiting = 1 << 16          // rows; more of them are kept coarser
	maxModels  = 1000             // that one service is told apart by in an hour: clients may name anything
	maxName    = 200              // bytes of a model's name
)

// Store keeps rows.
type Store interface {
	// AddUsage adds the batch to what is kept, in one transaction and at most once: a batch whose writer and number
	// it has seen already is left alone without an error, since the answer to its first try may have been lost.
	AddUsage(ctx context.Context, b Batch) error
	// Usage returns sums over what q chooses, by the dimensions that q names and by class. With a dimension of time no
	// row sums over two such times, and its Hour lies in its own; without one Hour says nothing. Several rows may be of one
	// group, for Fold to add up. Other fields of the rows' keys are empty.
	Usage(ctx context.Context, q Query) ([]Row, error)
}

// Batch is rows to be added once.
type Batch struct {
	Writer string // unlike any other's, also of those before a restart
	Number int64  // greater than that of any batch of the writer before
	At     time.Time
	Rows   []Row // each bucket once, in one order everywhere: writers must not wait for each other in a ring
}

// Meter adds up what requests use, and brings it to the store. All methods may be called at once.
type Meter struct {
	store Store
	now   func() time.Time
	log   *slog.Logger

	shards []shard

	full chan struct{} // of size 1: a journal's area has no room

	flushing chan struct{} // holds one: who has it may touch what follows
	journal  *journal      // nil: there is none
	writer   string
	number   int64                          // of what is in the shards
	held     bool                           // batches are beside the journal
	dirty    bool                           // what was collected is in the journal's areas
	sending  *Batch                         // begun, not known to have arrived: it goes again as it is, before all else
	waiting  *table                         // collected since
	models   map[string]map[string]struct{} // by service, in the hour
	hour     int64
}

// NewMeter makes a meter. now is the clock. Without a Run beside it, nothing is kept before Flush.
func NewMeter(store Store, now func() time.Time, log *slog.Logger) *Meter {
	// Twice the cores, a power of two: a goroutine that lost its core while it held a shard is stepped around.
	n := 1 << bits.Len(uint(2*runtime.GOMAXPROCS(0)-1))
	m := &Meter{
		store: store, now: now, log: log, shards: make([]shard, n), flushing: make(chan struct{}, 1),
		full: make(chan struct{}, 1), writer: rand.Text(), number: 1, waiting: newTable(), models: map[string]map[string]struct{}{},
	}
	for i := range m.shards {
		m.shards[i].open, m.shards[i].spare = newTable(), newTable()
	}
	return m
}

// Keep has what is counted kept in a file below dir until the store has it, also when this process is killed: see Recover. To be called
// before the first Add. Where it fails the meter counts all the same.
func (m *Meter) Keep(dir string) error {
	j, err := openJournal(dir, m.writer, len(m.shards))
	if err != nil {
		return fmt.Errorf("keeping what is counted until it is in the store: %w", err)
	}
	m.journal = j
	for i := range m.shards {
		m.shards[i].area, m.shards[i].other = j.areas[2*i], j.areas[2*i+1]
		m.shards[i].area.begin(m.number)
	}
	return nil
}

// Close ends the file that Keep made: it is removed where the store has all that is in it, and else there for Recover. Nothing is to be
// added any more.
func (m *Meter) Close() error {
	m.flushing <- struct{}{}
	defer func() { <-m.flushing }()
	if m.journal == nil {
		return nil
	}
	whole := m.sending == nil && len(m.waiting.rows) == 0
	for i := range m.shards {
		whole = m.shards[i].lose() && whole
	}
	j := m.journal
	m.journal, m.dirty = nil, false
	return j.close(whole)
}

// Add counts one request. It keeps neither k nor s nor the memory of their text.
func (m *Meter) Add(k *Key, s *Sample) {
	hour, class := s.At.Unix()/hourSeconds, s.class()
	sh := lockAny(m.shards)
	e := sh.open.at(k, hour, class, maxOpen)
	e.sample(s)
	room := sh.area == nil || sh.area.put(e)
	sh.mu.Unlock()
	if !room {
		select {
		case m.full <- struct{}{}:
		default:
		}
	}
}

// Flush brings all that was added before it to the store. What fails stays, and goes the next time; nothing goes twice.
func (m *Meter) Flush(ctx context.Context) error {
	select {
	case m.flushing <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("keeping usage: %w", context.Cause(ctx))
	}
	defer func() { <-m.flushing }()
	if m.sending != nil {
		if err := m.send(ctx); err != nil {
			if m.settle() == nil {
				m.collect()
			}
			return errors.Join(err, m.settle())
		}
	}
	if err := m.settle(); err != nil {
		if len(m.waiting.rows) == 0 {
			return err
		}
		if failed := m.sendWaiting(ctx); failed != nil { // the disk has no room: the store may have
			return errors.Join(err, failed)
		}
	}
	m.collect()
	if len(m.waiting.rows) == 0 {
		return nil
	}
	if err := m.sendWaiting(ctx); err != nil {
		return errors.Join(err, m.settle())
	}
	return nil
}

// sendWaiting sends what was collected, where nothing goes before it.
func (m *Meter) sendWaiting(ctx context.Context) error {
	m.sending, m.waiting = m.batch(), newTable()
	return m.send(ctx)
}

// batch is what is waiting.
func (m *Meter) batch() *Batch {
	return &Batch{Writer: m.writer, Number: m.number - 1, At: m.now(), Rows: m.waiting.sorted()}
}

func (m *Meter) send(ctx context.Context) error {
	if err := m.store.AddUsage(ctx, *m.sending); err != nil {
		return fmt.Errorf("keeping usage: %w", err)
	}
	if m.sending = nil; m.journal != nil && len(m.waiting.rows) == 0 {
		m.clear()
		if m.held {
			m.held = m.journal.hold(nil) != nil // what is still there then does no harm: the store has it
		}
	}
	return nil
}

// settle has the areas of what was collected empty for the next time: what the store did not take is held beside the journal.
func (m *Meter) settle() error {
	if !m.dirty {
		return nil
	}
	var batches []Batch
	if m.sending != nil {
		batches = append(batches, *m.sending)
	}
	if len(m.waiting.rows) > 0 {
		batches = append(batches, *m.batch())
	}
	if err := m.journal.hold(batches); err != nil {
		return fmt.Errorf("keeping usage until the store takes it: %w", err)
	}
	m.held = len(batches) > 0
	m.clear()
	return nil
}

// clear empties the areas of what was collected.
func (m *Meter) clear() {
	for i := range m.shards {
		m.shards[i].other.clear()
	}
	m.dirty = false
}

// Run flushes each second until ctx ends; less often while the store fails. What requests add after that needs a last
// Flush, once they have ended.
func (m *Meter) Run(ctx context.Context) {
	wait, failing, full := flushEvery, false, m.full
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		case <-full:
		}
		err := m.Flush(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && failing:
			m.log.InfoContext(ctx, "usage is kept again; nothing was lost")
		case err != nil && !failing:
			m.log.WarnContext(ctx, "usage cannot be brought to the database; it is held and tried again", "error", err)
		}
		if failing = err != nil; failing {
			wait, full = min(2*wait, flushRetry), nil
		} else {
			wait, full = flushEvery, m.full
		}
	}
}

// collect moves what the shards have to waiting.
func (m *Meter) collect() {
	if hour := m.now().Unix() / hourSeconds; hour != m.hour {
		m.hour = hour
		clear(m.models)
	}
	m.number++
	m.dirty = m.journal != nil
	for i := range m.shards {
		full := m.shards[i].swap(m.number)
		for j := range full.rows {
			e := &full.rows[j]
			e.Model = m.model(e)
			m.waiting.at(&e.Key, e.hour, e.class, maxWaiting).Add(&e.Sums)
		}
		full.reset()
	}
}

// model is the name under which an entry's model is kept. Clients may name what they like where the address says which
// service they mean: neither long names nor many of them may fill the store.
func (m *Meter) model(e *entry) string {
	name := nameOf(e.Model)
	of := m.models[e.ServiceID]
	if of == nil {
		of = map[string]struct{}{}
		m.models[e.ServiceID] = of
	}
	if _, known := of[name]; !known {
		if len(of) >= maxModels {
			return Other
		}
		of[name] = struct{}{}
	}
	return name
}

// nameOf is a model's name as stores take it: text that is none would be changed by them, and two names might then become one row twice.
func nameOf(model string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(model[:min(len(model), maxName)], ""), "\x00", "")
}

// sorted returns the table's rows in the order of their keys.
func (t *table) sorted() []Row {
	rows := make([]Row, 0, len(t.rows))
	for i := range t.rows {
		rows = append(rows, t.rows[i].row())
	}
	slices.SortFunc(rows, func(a, b Row) int {
		return cmp.Or(a.Hour.Compare(b.Hour), a.compare(&b.Key), cmp.Compare(a.Class, b.Class))
	})
	return rows
}

func (k *Key) compare(o *Key) int {
	return cmp.Or(strings.Compare(k.Token, o.Token), strings.Compare(k.Project, o.Project), strings.Compare(k.ServiceID, o.ServiceID),
		strings.Compare(k.Service, o.Service), strings.Compare(k.Model, o.Model))
}
