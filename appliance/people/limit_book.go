package people

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// LimitStore keeps the rows of limits.
type LimitStore interface {
	Limits(ctx context.Context) ([]LimitRow, error)
	SaveLimits(ctx context.Context, row LimitRow) error // inserts or replaces; ErrNotFound where whose they are was removed
	DeleteLimits(ctx context.Context, kind LimitKind, name string) error
}

// LimitBook are the limits of all projects and people, in memory: what was set, over what the settings say. It is safe for
// concurrent use: who asks never waits for the rows' store, and changes wait for one another.
type LimitBook struct {
	store    LimitStore
	settings LimitSettings
	now      func() time.Time

	changing sync.Mutex
	follow   func(ctx context.Context) error // guarded by changing
	mu       sync.RWMutex
	rows     map[LimitKind]map[string]LimitRow
}

// OpenLimits reads them.
func OpenLimits(ctx context.Context, store LimitStore, settings LimitSettings, now func() time.Time) (*LimitBook, error) {
	rows, err := store.Limits(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading limits: %w", err)
	}
	b := &LimitBook{store: store, settings: settings, now: now, rows: map[LimitKind]map[string]LimitRow{LimitProject: {}, LimitUser: {}}}
	for _, row := range rows {
		if b.rows[row.Kind] != nil {
			b.rows[row.Kind][row.Name] = row
		}
	}
	return b, nil
}

// Follow has apply called now, and after each change, by one at a time: it puts what the book says into force.
func (b *LimitBook) Follow(ctx context.Context, apply func(ctx context.Context) error) error {
	b.changing.Lock()
	defer b.changing.Unlock()
	b.follow = apply
	return apply(ctx)
}

// Row is what was set of one.
func (b *LimitBook) Row(kind LimitKind, name string) (LimitRow, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	row, is := b.rows[kind][name]
	row.Limits = row.Limits.clone()
	return row, is
}

// Of are the limits that hold for one; of Everybody those of each who is not named.
func (b *LimitBook) Of(kind LimitKind, name string) Effective {
	row, _ := b.Row(kind, name)
	return MergeLimits(append([]LimitLayer{{row.Limits, LimitFromRow}}, b.settings.layers(kind, name)...)...)
}

// Named are those who have limits of their own, by name; Everybody is not among them.
func (b *LimitBook) Named(kind LimitKind) []string {
	names := b.settings.names(kind)
	b.mu.RLock()
	names = slices.AppendSeq(names, maps.Keys(b.rows[kind]))
	b.mu.RUnlock()
	slices.Sort(names)
	return slices.DeleteFunc(slices.Compact(names), func(name string) bool { return name == Everybody })
}

// Set replaces what was set of one; limits that say nothing clear it. They are in force when it returns without an error.
func (b *LimitBook) Set(ctx context.Context, kind LimitKind, name string, limits Limits, by string) (LimitRow, error) {
	if limits.None() {
		return LimitRow{}, b.Clear(ctx, kind, name)
	}
	b.changing.Lock()
	defer b.changing.Unlock()
	row := LimitRow{Kind: kind, Name: name, Limits: limits.clone(), ChangedBy: by, ChangedAt: b.now().UTC()}
	if err := b.store.SaveLimits(ctx, row); err != nil {
		return LimitRow{}, fmt.Errorf("keeping the limits of %s %s: %w", kind, name, err)
	}
	b.mu.Lock()
	b.rows[kind][name] = row
	b.mu.Unlock()
	return row, b.enforce(ctx)
}

// Clear leaves one to the settings again. Nothing set is no error.
func (b *LimitBook) Clear(ctx context.Context, kind LimitKind, name string) error {
	b.changing.Lock()
	defer b.changing.Unlock()
	if err := b.store.DeleteLimits(ctx, kind, name); err != nil {
		return fmt.Errorf("clearing the limits of %s %s: %w", kind, name, err)
	}
	b.mu.Lock()
	delete(b.rows[kind], name)
	b.mu.Unlock()
	return b.enforce(ctx)
}

// Forget leaves out what was set of one that was removed: nothing of it is kept. What was set since, of one that was made anew under
// the name, holds.
func (b *LimitBook) Forget(ctx context.Context, kind LimitKind, name string) error {
	b.changing.Lock()
	defer b.changing.Unlock()
	rows, err := b.store.Limits(ctx)
	if err != nil { // it is removed all the same
		rows = nil
	}
	now, is := LimitRow{}, false
	for _, row := range rows {
		if row.Kind == kind && row.Name == name {
			now, is = row, true
		}
	}
	b.mu.Lock()
	_, was := b.rows[kind][name]
	delete(b.rows[kind], name)
	if is {
		b.rows[kind][name] = now
	}
	b.mu.Unlock()
	if !was && !is {
		return nil
	}
	return b.enforce(ctx)
}

// enforce puts the book into force. The caller holds changing.
func (b *LimitBook) enforce(ctx context.Context) error {
	if b.follow == nil {
		return nil
	}
	if err := b.follow(ctx); err != nil {
		return fmt.Errorf("the limits are kept, but not all in force yet (set them again, or restart the daemon): %w", err)
	}
	return nil
}
