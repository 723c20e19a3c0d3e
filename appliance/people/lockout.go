package people

import (
	"net/netip"
	"slices"
	"sync"
	"time"
)

// backoff is how tries are slowed down: the first free ones are not, then each has to wait twice as long as the one before.
type backoff struct {
	free   int
	first  time.Duration
	most   time.Duration
	forget time.Duration // after the last failure nothing is held against anybody any more
}

// The three things that failures are counted by. A name and an address together are slowed down most; a name alone only so
// much that guessing from many places leads nowhere, and not at all from where its user has logged in before: nobody can lock
// out somebody else. An address alone is given more, for a whole office may share it.
var (
	perPair    = backoff{free: 5, first: time.Second, most: 15 * time.Minute, forget: 24 * time.Hour}
	perName    = backoff{free: 20, first: time.Second, most: time.Minute, forget: time.Hour}
	perAddress = backoff{free: 50, first: time.Second, most: time.Minute, forget: time.Hour}
)

// wait is how long from now the next try has to wait, after failures, the last of them at last. It never is less for more
// failures, nor more than most.
func (b backoff) wait(failures int, last, now time.Time) time.Duration {
	if failures < b.free || now.Sub(last) >= b.forget {
		return 0
	}
	pause := b.most
	if doublings := failures - b.free; doublings < 32 {
		pause = min(b.first<<doublings, b.most)
	}
	return min(max(pause-now.Sub(last), 0), b.most) // a clock that was set back locks nobody out for longer
}

// tally is what is held against somebody.
type tally struct {
	failures int
	last     time.Time
	told     bool // since then it was said that it is too early
}

// mostTallies bounds each of the three tables.
const mostTallies = 4096

// tallies are one table.
type tallies struct {
	backoff
	of map[string]tally
}

// wait is that of a key. It forgets what is long ago.
func (t *tallies) wait(key string, now time.Time) time.Duration {
	v, there := t.of[key]
	if there && now.Sub(v.last) >= t.forget {
		delete(t.of, key)
	}
	return t.backoff.wait(v.failures, v.last, now)
}

// count counts a try as failed until it is known better, and returns what was held before.
func (t *tallies) count(key string, now time.Time) tally {
	before, there := t.of[key]
	if !there && len(t.of) >= mostTallies {
		t.thin(now)
	}
	t.of[key] = tally{failures: before.failures + 1, last: now}
	return before
}

// thin makes room: first goes what is forgotten anyway, then the eighth that was seen longest ago.
func (t *tallies) thin(now time.Time) {
	type entry struct {
		key  string
		last time.Time
	}
	all := make([]entry, 0, len(t.of))
	for key, v := range t.of {
		if now.Sub(v.last) >= t.forget {
			delete(t.of, key)
			continue
		}
		all = append(all, entry{key, v.last})
	}
	slices.SortFunc(all, func(a, b entry) int { return a.last.Compare(b.last) })
	for _, e := range all[:min(len(all), mostTallies/8)] {
		delete(t.of, e.key)
	}
}

// lockout holds wrong tries against those who make them. It is in memory alone: see docs/decisions/0039.
type lockout struct {
	mu        sync.Mutex
	pairs     tallies
	names     tallies
	addresses tallies
}

func newLockout() *lockout {
	return &lockout{
		pairs: tallies{perPair, map[string]tally{}}, names: tallies{perName, map[string]tally{}}, addresses: tallies{perAddress, map[string]tally{}},
	}
}

// attempt is a try that counts as failed, until it is taken back.
type attempt struct {
	l                   *lockout
	pair, name, address string
	before              [3]tally
}

// try counts a try, or refuses it with *Locked. known: the user has logged in from there before.
func (l *lockout) try(name, address string, known bool, now time.Time) (*attempt, error) {
	a := &attempt{l: l, pair: name + "\x00" + network(address), name: name, address: network(address)}
	l.mu.Lock()
	defer l.mu.Unlock()
	pause, in, key := l.pairs.wait(a.pair, now), &l.pairs, a.pair
	if more := l.addresses.wait(a.address, now); more > pause {
		pause, in, key = more, &l.addresses, a.address
	}
	if more := l.names.wait(name, now); more > pause && !known {
		pause, in, key = more, &l.names, name
	}
	if pause > 0 {
		t := in.of[key]
		again := t.told
		t.told = true
		in.of[key] = t
		return nil, &Locked{After: pause, Again: again}
	}
	a.before = [3]tally{l.pairs.count(a.pair, now), l.names.count(name, now), l.addresses.count(a.address, now)}
	return a, nil
}

// undo takes a try back: it was none.
func (a *attempt) undo() {
	a.l.mu.Lock()
	defer a.l.mu.Unlock()
	a.l.pairs.undo(a.pair, a.before[0])
	a.l.names.undo(a.name, a.before[1])
	a.l.addresses.undo(a.address, a.before[2])
}

func (t *tallies) undo(key string, before tally) {
	now, there := t.of[key]
	switch now.failures--; {
	case !there:
	case now.failures <= 0:
		delete(t.of, key)
	default:
		if now.failures == before.failures { // nobody has tried since
			now.last = before.last
		}
		t.of[key] = now
	}
}

// good forgets what was held against the two: somebody knows the password. What was tried from elsewhere, and from there under
// other names, is still held.
func (a *attempt) good() {
	a.undo()
	a.l.mu.Lock()
	defer a.l.mu.Unlock()
	delete(a.l.pairs.of, a.pair)
}

// network is whom an address belongs to: of IPv6 a customer has at least 64 bits.
func network(address string) string {
	addr, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	addr = addr.Unmap().WithZone("")
	if addr.Is4() {
		return addr.String()
	}
	prefix, err := addr.Prefix(64)
	if err != nil {
		return addr.String()
	}
	return prefix.String()
}
