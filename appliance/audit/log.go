package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Bounds of keeping.
const (
	keepBound  = 3 * time.Second // a change is not held up for longer
	mostOwed   = 10_000          // entries that wait for a store that takes none
	retryEvery = 5 * time.Second
)

// Store keeps records. Nothing it has is ever changed or removed.
type Store interface {
	// AppendAudit adds what next makes of the chain's end, in one transaction: two programs at once get one chain. next may
	// be called more than once.
	AppendAudit(ctx context.Context, next func(Head) (Record, error)) error
	// Audit returns records in the order of their numbers; with Query.Newest the other way round.
	Audit(ctx context.Context, q Query) ([]Record, error)
}

// Query chooses records. Zero fields choose all.
type Query struct {
	After, Before  int64 // numbers: After < Seq < Before
	From, To       time.Time
	Actor, Project string
	Action         string
	Target         string // it, or what is below it
	Newest         bool   // newest first
	Limit          int
}

// Log adds to the chain and reads it. It is safe for concurrent use.
type Log struct {
	store   Store
	witness string // file with the head; see Verify
	now     func() time.Time
	log     *slog.Logger

	mu     sync.Mutex
	owed   []Entry // what the store did not take, in order
	lost   int     // for which there was no room
	ended  bool    // Run has: what the store does not take is left to a successor
	leaves int     // how many were
	short  bool    // the chain does not hold what the witness file says; it was logged
}

// New returns the log of a store. The witness file says where the chain ended last: without it, nobody would see that records
// are missing at its end.
func New(store Store, witness string, now func() time.Time, log *slog.Logger) *Log {
	return &Log{store: store, witness: witness, now: now, log: log}
}

// Add keeps an entry. A store that takes none (a full disk, a server that is away) holds nothing up for longer than a few
// seconds: what it owes is kept in memory and given to it later, in order, by Run.
func (l *Log) Add(ctx context.Context, e Entry) {
	if e.At.IsZero() {
		e.At = l.now()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.owed) == 0 {
		last, head, err := l.keep(ctx, e)
		if err == nil {
			l.testify(ctx, last, head)
			return
		}
		if l.ended {
			l.leave(ctx, e)
			return
		}
		l.log.ErrorContext(ctx, "changes cannot be kept in the audit record; they are held in memory and tried again", "error", err)
	}
	if len(l.owed) >= mostOwed {
		l.lost++
		return
	}
	l.owed = append(l.owed, e)
}

// Run gives the store what it owes, until ctx ends, and once more then. What it does not take even then, and what is added
// afterwards to a store that is closed, is left in files for the next process, whose Run begins with them.
func (l *Log) Run(ctx context.Context) {
	l.collect(ctx)
	tick := time.NewTicker(retryEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			l.settle(ctx)
			l.collect(ctx) // a predecessor ends its last requests while this one runs
		case <-ctx.Done():
			l.end(context.WithoutCancel(ctx))
			return
		}
	}
}

func (l *Log) settle(ctx context.Context) {
	for l.pay(ctx) { // one at a time: changes do not wait until all is paid
	}
}

// end is the last settling.
func (l *Log) end(ctx context.Context) {
	l.settle(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	for _, e := range l.owed {
		l.leave(ctx, e)
	}
	l.owed = nil
}

// pay keeps the first of what is owed. It is false where there is nothing more to do.
func (l *Log) pay(ctx context.Context) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.owed) == 0 {
		return false
	}
	last, head, err := l.keep(ctx, l.owed[0])
	if err != nil {
		return false
	}
	if l.owed = l.owed[1:]; len(l.owed) > 0 {
		return true
	}
	l.testify(ctx, last, head)
	if l.lost > 0 {
		l.gap(ctx)
	}
	l.owed = nil
	l.log.InfoContext(ctx, "changes are kept in the audit record again", "lost", l.lost)
	l.lost = 0
	return false
}

// gap writes into the chain itself that it has a gap. The caller holds mu.
func (l *Log) gap(ctx context.Context) {
	e := Entry{At: l.now(), Actor: "palisade", Via: "system", Action: "auditGap", Target: "audit", Detail: strconv.Itoa(l.lost) + " changes could not be kept, and are not here"}
	last, head, err := l.keep(ctx, e)
	if err != nil {
		l.log.ErrorContext(ctx, "changes are missing in the audit record", "lost", l.lost, "error", err)
		return
	}
	l.testify(ctx, last, head)
}

// keep adds one to the chain and returns its end, before and after. The caller holds mu.
func (l *Log) keep(ctx context.Context, e Entry) (last, head Head, err error) {
	// Who asked for the change may have gone; that it happened is kept all the same.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepBound)
	defer cancel()
	err = l.store.AppendAudit(ctx, func(end Head) (Record, error) {
		r, err := Next(end, e)
		last, head = end, r.Head()
		return r, err
	})
	return last, head, err
}

// testify writes the head into the witness file. One that lags behind is no harm: the chain may be longer than it says. One that
// the chain does not hold stays: the next change must not hide that records were taken away.
func (l *Log) testify(ctx context.Context, last, head Head) {
	if !l.holdsWitness(ctx, last, head) {
		return
	}
	next := l.witness + ".new"
	err := os.WriteFile(next, []byte(head.String()+"\n"), 0o600)
	if err == nil {
		err = os.Rename(next, l.witness)
	}
	if err != nil {
		l.log.WarnContext(ctx, "where the audit record ends is not written beside it", "error", err)
	}
}

// holdsWitness tells whether the witness file may say head from now on, which follows last. Another daemon may have written it
// meanwhile.
func (l *Log) holdsWitness(ctx context.Context, last, head Head) bool {
	said, err := l.Witness()
	if err != nil || said.Seq == 0 || said == last {
		return true
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepBound)
	defer cancel()
	found, err := l.store.Audit(ctx, Query{After: said.Seq - 1, Before: said.Seq + 1, Limit: 1})
	switch {
	case err != nil:
		return false // it lags behind
	case len(found) == 1 && found[0].Hash == said.Hash:
		return said.Seq < head.Seq
	}
	if !l.short {
		l.short = true
		l.log.ErrorContext(ctx, "records are missing in the audit record, or were replaced", "known", said.String(), "now", head.String(), "file", l.witness)
	}
	return false
}

// ErrNoHead says that a text is not that of a head.
var ErrNoHead = errors.New("no head of an audit record: SEQ:HASH is wanted")

// ParseHead reads what Head.String has written.
func ParseHead(text string) (Head, error) {
	number, hash, found := strings.Cut(strings.TrimSpace(text), ":")
	seq, err := strconv.ParseInt(number, 10, 64)
	if !found || err != nil || seq < 1 || len(hash) != len(start().Hash) {
		return Head{}, fmt.Errorf("%.100q: %w", text, ErrNoHead)
	}
	return Head{seq, hash}, nil
}

// Witness is what the witness file says; the zero Head where there is none.
func (l *Log) Witness() (Head, error) {
	text, err := os.ReadFile(filepath.Clean(l.witness))
	if errors.Is(err, os.ErrNotExist) {
		return Head{}, nil
	}
	if err != nil {
		return Head{}, err
	}
	return ParseHead(string(text))
}

// List returns records.
func (l *Log) List(ctx context.Context, q Query) ([]Record, error) { return l.store.Audit(ctx, q) }
