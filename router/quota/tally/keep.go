package tally

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/palisade-run/palisade/router/quota"
)

// How the keeper goes about it.
const (
	firstHold = 50 * time.Millisecond // before it tries again; twice as much after each time
	lastHold  = 2 * time.Second
	calmFor   = 10 * time.Second // after so long together the next time alone begins with firstHold
	oneSync   = 64               // subjects told in one round trip, and the most for which requests may wait
	oneTrip   = time.Second      // for what nobody waits for
)

// Run shares counts until ctx ends; then it tells Redis what it still has, for a second at most, and says that this process is
// gone, where nothing of it is in flight.
func (c *Counter) Run(ctx context.Context) {
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	var all sync.WaitGroup
	all.Go(func() { c.carry(working) })
	c.keep(ctx)
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), oneTrip)
	c.part(ending)
	cancel()
	stop()
	all.Wait()
	_ = c.client.Close()
}

// keep has the boxes together, again and again.
func (c *Counter) keep(ctx context.Context) {
	hold, was := firstHold, false
	for ctx.Err() == nil {
		err := c.join(ctx, was)
		if err == nil {
			began := time.Now()
			c.tell(true, nil)
			was = true
			if err = c.stay(ctx); ctx.Err() != nil {
				return
			}
			if time.Since(began) > calmFor {
				hold = firstHold
			}
			c.tell(false, err)
		} else {
			c.note(err)
		}
		select {
		case <-time.After(hold):
		case <-ctx.Done():
		}
		hold = min(2*hold, lastHold)
	}
}

// tell says what has changed to who reads the log.
func (c *Counter) tell(together bool, err error) {
	st := c.Status()
	if together {
		c.o.Log.Info("limits of tokens, projects and people are counted together with the other boxes", "boxes", st.Boxes)
		return
	}
	c.o.Log.Warn("limits of tokens, projects and people are counted by this box alone: Redis is not to be had", "error", err, "boxes", st.Boxes,
		"hint", "each box goes on with its share of each limit; see docs/limits.md")
}

// note keeps why the boxes cannot be together, and tells it once.
func (c *Counter) note(err error) {
	c.mu.Lock()
	first := errors.Is(c.cause, errNotAsked)
	if c.mode == Alone {
		c.cause = err
	}
	c.mu.Unlock()
	if first {
		c.tell(false, err)
	}
}

// stay holds the lease until together ends, and gives why.
func (c *Counter) stay(ctx context.Context) error {
	tick := time.NewTicker(c.o.Lease / 5)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-c.trouble:
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.cause
		case <-tick.C:
		}
		epoch, _ := c.current()
		if _, err := c.beat(ctx, epoch, false, c.o.Bound); err != nil {
			c.lost(epoch, err)
			continue
		}
		c.book.sweep(time.Now())
	}
}

// beat holds the lease. It gives how long ago Redis was empty.
func (c *Counter) beat(ctx context.Context, epoch int64, anew bool, bound time.Duration) (age time.Duration, err error) {
	within, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	first := 0
	if anew {
		first = 1
	}
	k := &run{
		script: &beatScript, keys: []string{c.key("fence", c.name), c.before() + "boxes", c.before() + "born"},
		args: []any{epoch, c.name, c.o.Lease.Milliseconds(), first, c.before()},
	}
	v, err := c.run(within, k)[0].Int64Slice()
	if err == nil && len(v) != 2 {
		err = fmt.Errorf("an answer of %d numbers", len(v))
	}
	if err != nil {
		return 0, fmt.Errorf("telling Redis that this box is there: %w", plain(err))
	}
	c.mu.Lock()
	c.boxes = int(v[0])
	c.mu.Unlock()
	return time.Duration(v[1]) * time.Millisecond, nil
}

// join begins a new epoch and puts all that this box has counted into Redis; then counts are shared. was tells whether
// they have been: then an empty Redis has lost something.
//
//  1. Redis answers in half the time that a request may wait.
//  2. What was sent before is refused from now on.
//  3. All that this box knows of is told, and what was counted meanwhile, until that is little.
//  4. Where Redis was empty, the others are given time to do the same.
//  5. Requests wait while the rest is told.
func (c *Counter) join(ctx context.Context, was bool) error {
	warm, cancel := context.WithTimeout(ctx, oneTrip) // connections, with their handshakes
	err := c.client.Ping(warm).Err()
	cancel()
	if err != nil {
		return plain(err)
	}
	c.mu.Lock()
	c.epoch++
	epoch := c.epoch
	c.mu.Unlock()
	age, err := c.beat(ctx, epoch, true, c.o.Bound/2)
	if err != nil {
		return err
	}
	c.book.doubt()
	if err = c.level(ctx, epoch); err != nil {
		return err
	}
	if young := c.o.Settling - age; was && young > 0 {
		select {
		case <-time.After(young):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err = c.level(ctx, epoch); err != nil {
			return err
		}
	}
	return c.merge(ctx, epoch)
}

// level tells Redis what was counted here until little is left to tell.
func (c *Counter) level(ctx context.Context, epoch int64) error {
	for range 8 {
		if c.book.waiting() == 0 {
			return nil
		}
		if err := c.tellAll(ctx, epoch, oneTrip); err != nil {
			return err
		}
		if c.book.waiting() <= oneSync/2 {
			return nil
		}
	}
	return errors.New("too much is counted meanwhile")
}

// tellAll puts what has changed into Redis.
func (c *Counter) tellAll(ctx context.Context, epoch int64, bound time.Duration) error {
	changed := c.book.take()
	for len(changed) > 0 {
		some := changed[:min(len(changed), oneSync)]
		if err := c.tellSome(ctx, epoch, some, bound); err != nil {
			c.book.doubt()
			return fmt.Errorf("telling Redis what this box has counted: %w", err)
		}
		changed = changed[len(some):]
	}
	return nil
}

func (c *Counter) tellSome(ctx context.Context, epoch int64, subjects []*quota.Subject, bound time.Duration) error {
	within, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	calls := make([]*run, len(subjects))
	for i, s := range subjects {
		calls[i] = c.newSync(epoch, s)
	}
	for i, cmd := range c.run(within, calls...) {
		v, err := cmd.Int64Slice()
		if err != nil {
			return plain(err)
		}
		if len(v) != 7 {
			return fmt.Errorf("an answer of %d numbers", len(v))
		}
		subjects[i].Hear(time.Now(), readElsewhere(v))
	}
	return nil
}

func (c *Counter) newSync(epoch int64, s *quota.Subject) *run {
	o := s.Own(time.Now())
	k := c.newRun(&syncScript, epoch)
	k.about(c, &o.Claim)
	told := 0
	if o.Told {
		told = 1
	}
	k.args = append(k.args, o.Concurrent, o.Reserved, o.OwnSpent, told)
	for _, ring := range [][]int64{o.Requests[:], o.Tokens[:]} {
		n := len(k.args)
		k.args = append(k.args, 0)
		for ago, count := range ring {
			if count > 0 {
				k.args = append(k.args, ago, count)
			}
		}
		k.args[n] = (len(k.args) - n - 1) / 2
	}
	return k
}

// merge has requests wait, tells the rest, and lets Redis decide from then on.
func (c *Counter) merge(ctx context.Context, epoch int64) (err error) {
	c.mu.Lock()
	c.mode, c.resume = pausing, make(chan struct{})
	calm := make(chan struct{})
	if c.calm = calm; c.inside == 0 {
		close(calm)
		c.calm = nil
	}
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.mode, c.calm = Alone, nil
		if err == nil {
			select {
			case <-c.trouble: // of an epoch before
			default:
			}
			c.mode, c.since, c.cause, c.over = Together, time.Now(), nil, make(chan struct{})
		}
		waiting := c.late
		c.late = nil
		close(c.resume)
		c.mu.Unlock()
		for _, l := range waiting {
			c.Settle(l.now, l.Settlement)
		}
		if err == nil {
			c.once()
		}
	}()
	timer := time.NewTimer(c.o.Bound / 4)
	defer timer.Stop()
	select {
	case <-calm:
	case <-timer.C:
		return errors.New("requests that are being let in take too long")
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return c.tellAll(ctx, epoch, c.o.Bound/4)
}

// once notes that counts were shared for the first time. Only the keeper calls it.
func (c *Counter) once() {
	select {
	case <-c.first:
	default:
		close(c.first)
	}
}

// part tells the rest, and that this process is gone.
func (c *Counter) part(ctx context.Context) {
	epoch, over := c.current()
	c.lost(epoch, errOver)
	if over && epoch == 0 {
		return
	}
	c.mu.Lock()
	c.epoch++
	epoch = c.epoch
	c.mu.Unlock()
	if _, err := c.beat(ctx, epoch, true, oneTrip); err != nil {
		return // the lease will tell
	}
	c.book.doubt()
	if err := c.level(ctx, epoch); err != nil || !c.book.idle() {
		return
	}
	pipe := c.client.TxPipeline()
	pipe.ZRem(ctx, c.before()+"boxes", c.name)
	pipe.Del(ctx, c.key("fence", c.name), c.key("has", c.name))
	_, _ = pipe.Exec(ctx) // the lease tells the same
}
