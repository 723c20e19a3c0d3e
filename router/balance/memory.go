package balance

import (
	"hash/maphash"
	"math/bits"
	"slices"
	"sync/atomic"
	"time"
)

// memory is which route was given which beginnings of prompts: an approximation of what the caches of
// their engines hold. It is a table of fixed size, 2 MiB, that forgets what was not seen for longest.
// Each word of it is one beginning on one route and is written whole, so nobody waits for anybody: what
// is overwritten meanwhile is forgotten, which is what engines do with it too.
type memory struct {
	words []atomic.Uint64 // buckets of ways
	block int             // bytes of a block
	unit  time.Duration   // of stamps
	seed  maphash.Seed    // nobody from outside knows whose beginnings meet in a bucket
	mean  atomic.Uint64   // bytes that a request had not computed where it went, of late

	expiry time.Duration
	seats  []*Route // by seat, nil for a free one; only Set looks at it
}

// A word: the upper bits of the beginning's hash, the seat of the route, and when it was last seen.
const (
	ways      = 8       // words of a bucket: one cache line
	buckets   = 1 << 15 // a power of two
	stampBits = 20
	seatBits  = 10
	tagShift  = stampBits + seatBits
	seatMask  = 1<<seatBits - 1
	stampMask = 1<<stampBits - 1
	mostSeats = 1 << seatBits
	stamps    = 32 // from being seen to being forgotten
)

func newMemory(s Settings) *memory {
	return &memory{
		words: make([]atomic.Uint64, buckets*ways), block: s.PrefixBlock, expiry: s.Expiry,
		unit: max(s.Expiry/stamps, time.Millisecond), seed: maphash.MakeSeed(),
	}
}

// fits tells whether what was learned is of use under s.
func (m *memory) fits(s Settings) bool { return m.block == s.PrefixBlock && m.expiry == s.Expiry }

// seat gives every route of next its seat. Seats of those that left are swept before anybody sits there.
func (m *memory) seat(next *roster) {
	for i, r := range m.seats {
		if r != nil && !next.has(r) {
			m.seats[i] = nil
			m.sweep(uint64(i))
		}
	}
	for i := range next.members {
		r := next.members[i].route
		at := slices.Index(m.seats, r)
		if at < 0 {
			at = slices.Index(m.seats, nil)
		}
		switch {
		case at >= 0:
			m.seats[at] = r
		case len(m.seats) < mostSeats:
			at = len(m.seats)
			m.seats = append(m.seats, r)
		default:
			at = i % mostSeats // more than fit share a seat, and what is remembered of it
		}
		next.members[i].seat = uint64(at)
	}
	next.bySeat = make([]int32, mostSeats)
	for i := range next.bySeat {
		next.bySeat[i] = -1
	}
	for i := range next.members {
		next.bySeat[next.members[i].seat] = int32(i)
	}
}

// sweep forgets what was remembered of a seat.
func (m *memory) sweep(seat uint64) {
	for i := range m.words {
		if w := m.words[i].Load(); w != 0 && w>>stampBits&seatMask == seat {
			m.words[i].CompareAndSwap(w, 0)
		}
	}
}

// stamp is now as words have it.
func (m *memory) stamp(now time.Time) uint64 {
	return uint64(now.UnixMilli()/m.unit.Milliseconds()) & stampMask
}

func age(word, stamp uint64) uint64 { return (stamp - word) & stampMask }

// tagged is where a beginning would be, and the upper bits of its words: never 0.
func (m *memory) tagged(hash uint64) (bucket []atomic.Uint64, tag uint64) {
	at := hash % buckets * ways
	return m.words[at : at+ways : at+ways], max(hash>>tagShift, 1)
}

// seen is where find notes what it found: by member, the number of blocks.
type seen struct {
	known  []int32
	bySeat []int32
	blocks int32
}

// find notes the routes that were given this beginning and may have it still. One that fills its bucket
// is one that many have: common, and it tells nobody from another.
func (m *memory) find(hash, stamp uint64, in seen) (some, common bool) {
	bucket, tag := m.tagged(hash)
	count := 0
	for i := range bucket {
		w := bucket[i].Load()
		if w>>tagShift != tag || age(w, stamp) > stamps {
			continue
		}
		count++
		if at := in.bySeat[w>>stampBits&seatMask]; at >= 0 {
			in.known[at] = in.blocks
		}
	}
	return count > 0, count == ways
}

// learn notes that a route was given this beginning. What was noted a moment ago is left as it is.
func (m *memory) learn(hash, stamp, seat uint64) {
	bucket, tag := m.tagged(hash)
	word := tag<<tagShift | seat<<stampBits | stamp
	oldest, victim, was := uint64(0), 0, uint64(0)
	for i := range bucket {
		w := bucket[i].Load()
		if w>>stampBits == word>>stampBits {
			if age(w, stamp) > 1 {
				bucket[i].CompareAndSwap(w, word)
			}
			return
		}
		old := age(w, stamp) + 1
		if w == 0 {
			old = stampMask + 2
		}
		if old > oldest {
			oldest, victim, was = old, i, w
		}
	}
	bucket[victim].CompareAndSwap(was, word)
}

// brought notes how much a request had not computed where it went.
func (m *memory) brought(work uint64) {
	mean := m.mean.Load()
	m.mean.Store(mean - mean/16 + work/16)
}

// step is how far the next remembered beginning is from one of so many blocks: each of the first 64,
// then 32 for every doubling. So one of a million bytes is known to 3 % of its length by 256 words, and
// beginnings are remembered at the same lengths whatever follows them.
func step(blocks int) int { return 1 << max(bits.Len(uint(blocks))-6, 0) }
