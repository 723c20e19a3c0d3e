package daemon

import (
	"context"
	"errors"
	"sync"
)

// loops are goroutines that end together.
type loops struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	all    sync.WaitGroup
}

// newLoops outlive ctx: in what order things end is decided here.
func newLoops(ctx context.Context) *loops {
	l := &loops{}
	l.ctx, l.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	return l
}

func (l *loops) run(loop func(context.Context)) { l.all.Go(func() { loop(l.ctx) }) }

// end returns when they have ended.
func (l *loops) end() {
	l.cancel(errors.New("the daemon stops"))
	l.all.Wait()
}

// leave closes what begin has opened. Where another process goes on with it, a containerd of our own is left to that
// one, though it may be idle.
func (d *daemon) leave(toAnother bool) (err error) {
	if !toAnother {
		err = d.closeBooks()
	}
	if d.seat != nil {
		return errors.Join(err, d.leaveCluster())
	}
	return errors.Join(err, d.runtime.close(toAnother), d.pool.close(), d.blobs.Close(), d.store.Close())
}
