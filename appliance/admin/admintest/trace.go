package admintest

import (
	"context"
	"sync"
	"time"

	"github.com/palisade-run/palisade/router/record/trace"
)

// Traces are what came to services, in memory.
type Traces struct {
	mu  sync.Mutex
	all map[string][]trace.Request
}

// came keeps three requests of the last three minutes; a fourth came two days before.
func (t *Traces) came(serviceID string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all == nil {
		t.all = map[string][]trace.Request{}
	}
	t.all[serviceID] = []trace.Request{{At: now.Add(-47 * time.Hour).UnixMilli(), Prompt: 5, Output: 5}}
	for i := range uint32(3) {
		t.all[serviceID] = append(t.all[serviceID], trace.Request{At: now.Add(time.Duration(i)*time.Minute - 3*time.Minute).UnixMilli(), Prompt: 100 + i, Output: 30})
	}
}

// Window gives those since a time.
func (t *Traces) Window(_ context.Context, serviceID string, since time.Time) ([]trace.Request, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []trace.Request
	for _, q := range t.all[serviceID] {
		if q.At >= since.UnixMilli() {
			out = append(out, q)
		}
	}
	return out, nil
}
