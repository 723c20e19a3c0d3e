package usage

import (
	"math/rand/v2"
	"sync"
)

// maxOpen bounds the rows of one shard between two flushes.
const maxOpen = 1 << 14

// shard is one of several places to which requests add: any request may take any of them, so that requests of one
// token do not wait for each other either.
type shard struct {
	mu    sync.Mutex
	open  *table   // guarded by mu
	spare *table   // the flusher's: empty, with the memory of the time before
	area  *area    // of a journal, where open is kept too; nil: there is none
	other *area    // the flusher's
	_     [24]byte // a cache line for each: neighbours must not slow each other down
}

// table is sums by bucket. The index has numbers instead of sums: a known bucket then costs one look-up.
type table struct {
	index map[bucket]int32
	rows  []entry
}

func newTable() *table { return &table{index: map[bucket]int32{}} }

// at returns the entry of a key, an hour and a class, a new one where there were none. With the table full, they are shared
// with other tokens and models of the service: nothing is lost but whose it was.
func (t *table) at(k *Key, hour int64, c Class, limit int) *entry {
	if i, ok := t.index[newBucket(k, hour, c)]; ok {
		return &t.rows[i]
	}
	kept := *k
	if len(t.rows) >= limit { // what comes beyond is bounded too: by services and hours
		kept.Token, kept.Model = Other, Other
		if i, ok := t.index[newBucket(&kept, hour, c)]; ok {
			return &t.rows[i]
		}
	}
	kept = kept.clone()
	t.index[newBucket(&kept, hour, c)] = int32(len(t.rows))
	t.rows = append(t.rows, entry{Key: kept, hour: hour, class: c})
	return &t.rows[len(t.rows)-1]
}

// reset empties the table and keeps its memory, unless one busy moment made it large.
func (t *table) reset() {
	if len(t.rows) > 1024 {
		*t = *newTable()
		return
	}
	clear(t.index)
	clear(t.rows) // lets go of the keys
	t.rows = t.rows[:0]
}

// lockAny locks a shard that nobody holds, or waits for one.
func lockAny(shards []shard) *shard {
	mask := uint32(len(shards) - 1)
	start := rand.Uint32()
	for i := range mask + 1 {
		if s := &shards[(start+i)&mask]; s.mu.TryLock() {
			return s
		}
	}
	s := &shards[start&mask]
	s.mu.Lock()
	return s
}

// swap takes out what was added since the last time. Only the flusher calls it, and resets what it got before the
// next one. What comes is of the batch called number.
func (s *shard) swap(number int64) *table {
	if s.other != nil {
		s.other.begin(number)
	}
	s.mu.Lock()
	full := s.open
	s.open, s.spare = s.spare, full
	s.area, s.other = s.other, s.area
	s.mu.Unlock()
	return full
}

// lose takes the journal away, and tells whether all that is in it was collected.
func (s *shard) lose() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.area, s.other = nil, nil
	return len(s.open.rows) == 0
}
