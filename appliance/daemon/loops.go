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
