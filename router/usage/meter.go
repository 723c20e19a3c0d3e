package usage

import (
	"cmp"
	"context"
	"crypto/rand"
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
	Number int64  // from 1, by one
	At     time.Time
	Rows   []Row // each bucket once, in one order everywhere: writers must not wait for each other in a ring
}

// Meter adds up what requests use, and brings it to the store. All methods may be called at once.
type Meter struct {
	store Store
	now   func() time.Time
	log   *slog.Logger

	shards []shard

	flushing chan struct{} // holds one: who has it may touch what follows
	writer   string
	number   int64
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
		writer: rand.Text(), waiting: newTable(), models: map[string]map[string]struct{}{},
	}
	for i := range m.shards {
		m.shards[i].open, m.shards[i].spare = newTable(), newTable()
	}
	return m
}

// Add counts one request. It keeps neither k nor s nor the memory of their text.
func (m *Meter) Add(k *Key, s *Sample) {
	hour, class := s.At.Unix()/hourSeconds, s.class()
	sh := lockAny(m.shards)
	sh.open.at(k, hour, class, maxOpen).sample(s)
	sh.mu.Unlock()
}

// Flush brings all that was added before it to the store. What fails stays, and goes the next time; nothing goes twice.
func (m *Meter) Flush(ctx context.Context) error {
	select {
	case m.flushing <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("keeping usage: %w", context.Cause(ctx))
	}
	defer func() { <-m.flushing }()
	m.collect()
	for m.sending != nil || len(m.waiting.rows) > 0 {
		if m.sending == nil {
			m.number++
			m.sending = &Batch{Writer: m.writer, Number: m.number, At: m.now(), Rows: m.waiting.sorted()}
			m.waiting = newTable()
		}
		if err := m.store.AddUsage(ctx, *m.sending); err != nil {
			return fmt.Errorf("keeping usage: %w", err)
		}
		m.sending = nil
	}
	return nil
}

// Run flushes each second until ctx ends; less often while the store fails. What requests add after that needs a last
// Flush, once they have ended.
func (m *Meter) Run(ctx context.Context) {
	wait, failing := flushEvery, false
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		err := m.Flush(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && failing:
			m.log.InfoContext(ctx, "usage is kept again; nothing was lost")
		case err != nil && !failing:
			m.log.WarnContext(ctx, "usage cannot be kept; it is held in memory and tried again", "error", err)
		}
		if failing = err != nil; failing {
			wait = min(2*wait, flushRetry)
		} else {
			wait = flushEvery
		}
	}
}

// collect moves what the shards have to waiting.
func (m *Meter) collect() {
	if hour := m.now().Unix() / hourSeconds; hour != m.hour {
		m.hour = hour
		clear(m.models)
	}
	for i := range m.shards {
		full := m.shards[i].swap()
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
	// Text that is none would be changed by stores: two names might then become one row twice.
	name := strings.ReplaceAll(strings.ToValidUTF8(e.Model[:min(len(e.Model), maxName)], ""), "\x00", "")
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
