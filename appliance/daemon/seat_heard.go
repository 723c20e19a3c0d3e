package daemon

import (
	"os"
	"sync"
	"time"
)

// heardFile remembers until when etcd knew of this box, for the process after this one.
type heardFile struct {
	path string

	mu    sync.Mutex
	until time.Time
	noted time.Time
}

func (h *heardFile) note(until time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.until = until
	if later := until.Sub(h.noted); later >= 0 && later < time.Second { // earlier where a shorter lease took the place of a longer one
		return
	}
	if os.Chtimes(h.path, until, until) != nil && os.WriteFile(h.path, nil, 0o600) != nil {
		return // noted the next time
	}
	h.noted = until
}

// last is until when it is known to have been heard.
func (h *heardFile) last() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.until.IsZero() {
		if info, err := os.Stat(h.path); err == nil {
			h.until = info.ModTime()
		}
	}
	return h.until
}
