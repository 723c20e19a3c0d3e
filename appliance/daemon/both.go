package daemon

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/process"
)

// runner is all of a runtime that the appliance uses.
type runner interface {
	sessions.Runtime
	sessions.Observer
	sessions.ImageChecker
	sessions.Dialer
	sessions.ClusterChecker
	sessions.Committer
}

// both runs images as containers, and the image host as processes of the box. A session's image says where it is
// started; from then on whichever of the two knows its id is asked.
type both struct {
	containers runner
	processes  runner
}

func (b both) byImage(image string) runner {
	if image == process.HostImage {
		return b.processes
	}
	return b.containers
}

// byID asks the processes first: that is a look into a directory, and needs no other daemon.
func (b both) byID(ctx context.Context, id string) runner {
	if _, err := b.processes.Inspect(ctx, id); errors.Is(err, sessions.ErrNoInstance) {
		return b.containers
	}
	return b.processes
}

// CheckImage implements sessions.ImageChecker.
func (b both) CheckImage(image string) error { return b.byImage(image).CheckImage(image) }

// CheckCluster implements sessions.ClusterChecker.
func (b both) CheckCluster(image string) error { return b.byImage(image).CheckCluster(image) }

// Pull implements sessions.Runtime.
func (b both) Pull(ctx context.Context, image string, progress func(sessions.Progress)) error {
	return b.byImage(image).Pull(ctx, image, progress)
}

// Start implements sessions.Runtime.
func (b both) Start(ctx context.Context, spec sessions.Spec) (sessions.Instance, error) {
	return b.byImage(spec.Image).Start(ctx, spec)
}

// Wait implements sessions.Runtime.
func (b both) Wait(ctx context.Context, id string) (sessions.Exit, error) {
	return b.byID(ctx, id).Wait(ctx, id)
}

// Stop implements sessions.Runtime.
func (b both) Stop(ctx context.Context, id string, grace time.Duration) error {
	return b.byID(context.WithoutCancel(ctx), id).Stop(ctx, id, grace)
}

// Remove implements sessions.Runtime.
func (b both) Remove(ctx context.Context, id string) error { return b.byID(ctx, id).Remove(ctx, id) }

// List implements sessions.Runtime.
func (b both) List(ctx context.Context) ([]sessions.Instance, error) {
	processes, err := b.processes.List(ctx)
	if err != nil {
		return nil, err
	}
	containers, err := b.containers.List(ctx)
	return append(processes, containers...), err
}

// Inspect implements sessions.Observer.
func (b both) Inspect(ctx context.Context, id string) (sessions.Instance, error) {
	return b.byID(ctx, id).Inspect(ctx, id)
}

// Logs implements sessions.Observer.
func (b both) Logs(ctx context.Context, id string, opts sessions.LogOptions) (io.ReadCloser, error) {
	return b.byID(ctx, id).Logs(ctx, id, opts)
}

// Stats implements sessions.Observer.
func (b both) Stats(ctx context.Context, id string) (sessions.Stats, error) {
	return b.byID(ctx, id).Stats(ctx, id)
}

// Exec implements sessions.Observer.
func (b both) Exec(ctx context.Context, id string, cmd sessions.ExecSpec) (sessions.Exit, error) {
	return b.byID(ctx, id).Exec(ctx, id, cmd)
}

// Dial implements sessions.Dialer.
func (b both) Dial(ctx context.Context, id string, port int) (net.Conn, error) {
	return b.byID(ctx, id).Dial(ctx, id, port)
}

// Commit implements sessions.Committer.
func (b both) Commit(ctx context.Context, id string, c sessions.Commit, progress func(sessions.Progress)) (sessions.Image, error) {
	return b.byID(ctx, id).Commit(ctx, id, c, progress)
}

// half is the lower or the upper half of a range.
func half(p netip.Prefix, upper bool) netip.Prefix {
	if p.Bits() >= 30 {
		return p
	}
	bytes := p.Addr().As4()
	if upper {
		bytes[p.Bits()/8] |= 0x80 >> (p.Bits() % 8)
	}
	return netip.PrefixFrom(netip.AddrFrom4(bytes), p.Bits()+1)
}
