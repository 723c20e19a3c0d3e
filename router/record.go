package router

import (
	"context"
	"log/slog"
	"time"
)

// done gives back what the exchange holds and counts it, however it ended.
func (x *exchange) done() {
	if x.body != nil {
		x.body.close()
	}
	if x.memory != 0 {
		x.router.buffered.Add(-x.memory)
	}
	x.turn.Drop()
	if x.conversing != nil { // something went wrong here
		x.conversing.close()
	}
	failed := x.fault != "" || x.status >= 500
	if x.route != nil && failed {
		x.route.CountError()
	}
	x.now = time.Now()
	took := x.now.Sub(x.start)
	if s := x.service; s != nil {
		s.flying.Add(-1)
		if failed {
			s.errors.Add(1)
		}
		class := classOf(x.status)
		if x.aborted {
			class = classAborted
		}
		s.metrics.request(x.kind, class)
		if x.route != nil && x.kind != kindUpgrade && !x.aborted {
			s.metrics.duration.Observe(took.Seconds())
		}
		if x.held > 0 {
			s.metrics.held.Observe(x.held.Seconds())
		}
		if x.first > 0 {
			s.metrics.ttft.Observe(x.first.Seconds())
		}
	}
	x.tell(took)
	x.record(failed, took)
	x.release(false) // last: who waits for the route to be idle finds all counted
	x.forgetScan()
	if cap(x.asked) > 64<<10 {
		x.asked = nil // not worth keeping
	}
}

func (x *exchange) forgetScan() {
	if x.scan != nil {
		x.router.scans.Put(x.scan)
		x.scan = nil
	}
}

// record writes the request's line.
func (x *exchange) record(failed bool, took time.Duration) {
	level := slog.LevelDebug
	if failed {
		level = slog.LevelWarn
	}
	ctx := context.Background()
	if !x.router.log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("request", string(x.id)), slog.String("method", string([]byte(x.call.method))), slog.String("path", clip(string([]byte(x.address.Path)))),
		slog.Int("status", x.status), slog.Duration("took", took),
	}
	if x.service != nil {
		attrs = append(attrs, slog.String("service", x.service.Name))
	}
	if x.route != nil {
		attrs = append(attrs, slog.String("route", x.route.ID()))
	}
	if x.who.token != nil {
		attrs = append(attrs, slog.String("token", x.who.token.ID))
	}
	if x.first > 0 {
		attrs = append(attrs, slog.Duration("first", x.first))
	}
	if x.retries > 0 {
		attrs = append(attrs, slog.Int("retries", x.retries))
	}
	if x.aborted {
		attrs = append(attrs, slog.Bool("aborted", true))
	}
	if x.fault != "" {
		attrs = append(attrs, slog.String("fault", string(x.fault)), slog.Any("error", x.err))
	}
	x.router.log.LogAttrs(ctx, level, "request", attrs...)
}
