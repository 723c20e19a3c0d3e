package goods

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// glimpses are those that were made since this program runs. The zero value is ready.
type glimpses struct {
	mu    sync.Mutex
	all   map[string]*glimpsed     // by ID@VERSION
	turns map[string]chan struct{} // by folder; holds one while somebody makes a glimpse of it
}

// glimpsed is one of them.
type glimpsed struct {
	bytes int64
	used  time.Time // when it was asked for last
}

const (
	// mostGlimpses bounds the bytes of all. Those that nobody has asked for for the longest go first.
	mostGlimpses = 1 << 30
	// lookedAt is for how long one that was asked for stays, whatever else there is: somebody reads it.
	lookedAt = time.Minute
)

// turn lets one look at a folder at a time: who comes second finds the glimpse there.
func (g *glimpses) turn(ctx context.Context, folder string) (release func(), err error) {
	g.mu.Lock()
	if g.turns == nil {
		g.turns = map[string]chan struct{}{}
	}
	if g.turns[folder] == nil {
		g.turns[folder] = make(chan struct{}, 1)
	}
	turn := g.turns[folder]
	g.mu.Unlock()
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// has tells whether one is there, which is asked for.
func (g *glimpses) has(name string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	one := g.all[name]
	if one != nil {
		one.used = time.Now()
	}
	return one != nil
}

// made is told of a new one, and gives the names of those that are to be removed for it: others of its folder, and what is beyond
// the bound.
func (g *glimpses) made(name string, bytes int64) (old []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.all == nil {
		g.all = map[string]*glimpsed{}
	}
	now := time.Now()
	g.all[name] = &glimpsed{bytes: bytes, used: now}
	old = superfluous(g.all, name, now)
	for _, one := range old {
		delete(g.all, one)
	}
	return old
}

// superfluous are those of all that are to be removed when one of them is new.
func superfluous(all map[string]*glimpsed, name string, now time.Time) (old []string) {
	sum := int64(0)
	for _, one := range all {
		sum += one.bytes
	}
	names := slices.SortedFunc(maps.Keys(all), func(a, b string) int { return cmp.Or(all[a].used.Compare(all[b].used), cmp.Compare(a, b)) })
	for _, other := range names {
		if other == name || now.Sub(all[other].used) < lookedAt {
			continue
		}
		if folderOf(other) == folderOf(name) || sum > mostGlimpses {
			old = append(old, other)
			sum -= all[other].bytes
		}
	}
	return old
}
