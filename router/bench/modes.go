package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/router/bench/load"
)

// mode is one kind of measurement.
type mode struct {
	name    string
	title   func(b *bench) string
	rounds  int
	peers   []string
	again   bool // proxies try requests again
	harms   bool // its engines are not as they were afterwards
	engine  func(b *bench) []string
	measure func(ctx context.Context, b *bench, t *target) (measured, error)
	columns []column
	checks  []check
}

// measured is what one measurement gave.
type measured struct {
	values map[string]float64 // by the columns' keys
	notes  map[string]int     // failed requests by kind
	noise  noise
}

// column is one value in the table.
type column struct{ title, key, format string }

func modes() []mode {
	return []mode{throughput(), streams(), idle(), fail("kill"), fail("freeze"), fail("roll")}
}

func modeNames() []string {
	var names []string
	for _, m := range modes() {
		names = append(names, m.name)
	}
	return names
}

func throughput() mode {
	return mode{
		name: "throughput", rounds: 5,
		title: func(b *bench) string {
			return fmt.Sprintf("Requests with bodies of %d bytes, answers of 400 bytes, on %d kept connections, to %d engines", b.bodyBytes, b.conns, engineCount)
		},
		peers:  []string{palisade, nginx, haproxy, plainGo, caddy, caddyOld, traefik},
		engine: func(*bench) []string { return []string{} },
		columns: []column{
			{"CPU s per 100,000", "cpu", "%.2f"}, {"of it in its own code", "user", "%.2f"}, {"requests/s", "rate", "%.0f"},
			{"p50 us", "p50", "%.0f"}, {"p99 us", "p99", "%.0f"}, {"memory MiB", "memory", "%.1f"}, {"failed", "failed", "%.0f"},
		},
		checks: []check{
			ratio("CPU of a request", "cpu", nginx, 1), ratio("CPU of a request", "cpu", haproxy, 1),
			ratio("CPU of a request", "cpu", caddy, .2), ratio("CPU of a request", "cpu", traefik, .35),
			ratio("CPU of a request", "cpu", plainGo, .3), atMost("failed requests", "failed", 0),
		},
		measure: measureCalls,
	}
}

func measureCalls(ctx context.Context, b *bench, t *target) (measured, error) {
	w, err := b.load(ctx, t, "-conns", strconv.Itoa(b.conns), "-warm", "1500ms", "-time", b.time.String(), "-body", strconv.Itoa(b.bodyBytes))
	if err != nil {
		return measured{}, err
	}
	c := w.result.Calls
	if c == nil || c.OK == 0 {
		return measured{}, fmt.Errorf("no request was answered: %v", c)
	}
	done := float64(c.OK)
	failed := 0
	for _, n := range c.Kinds {
		failed += n
	}
	return measured{map[string]float64{
		"cpu": w.cpu / done * 1e5, "user": w.user / done * 1e5, "rate": done / c.Seconds, "p50": c.Latency.P50, "p99": c.Latency.P99,
		"memory": w.memory / 1024, "failed": float64(failed),
	}, c.Kinds, w.noise}, nil
}

func streams() mode {
	return mode{
		name: "streams", rounds: 3,
		title: func(b *bench) string {
			return fmt.Sprintf("%d streams at once, an event of 200 bytes every %v in each", b.streams, b.gap)
		},
		peers: []string{direct, palisade, nginx, haproxy, plainGo},
		engine: func(b *bench) []string {
			return []string{"-gap", b.gap.String(), "-events", strconv.Itoa(int(b.time / b.gap))}
		},
		columns: []column{
			{"CPU s per 100,000 events", "cpu", "%.2f"}, {"first event p50 ms", "first", "%.2f"}, {"p99 ms", "first99", "%.1f"},
			{"event delay p50 ms", "delay", "%.2f"}, {"p99 ms", "delay99", "%.2f"}, {"KiB a stream", "memory", "%.1f"}, {"events a read", "joined", "%.2f"}, {"broken", "broken", "%.0f"},
		},
		checks: []check{
			ratio("CPU of an event", "cpu", nginx, 1), ratio("CPU of an event", "cpu", haproxy, 1),
			better("first event, added at p50", "first", direct), better("event delay at p50", "delay", direct), better("event delay at p99", "delay99", direct),
			atMost("broken streams", "broken", 0),
		},
		measure: func(ctx context.Context, b *bench, t *target) (measured, error) {
			return measureStreams(ctx, b, t, flow{b.streams, time.Second, b.gap})
		},
	}
}

func idle() mode {
	const hold = 12 * time.Second
	return mode{
		name: "idle", rounds: 1,
		title: func(b *bench) string {
			return fmt.Sprintf("%d streams open at once, silent after their first event", b.idle)
		},
		peers:  []string{palisade, nginx, haproxy, plainGo},
		engine: func(*bench) []string { return []string{"-gap", hold.String(), "-events", "2"} },
		columns: []column{
			{"KiB a stream", "memory", "%.1f"}, {"memory MiB in all", "all", "%.0f"}, {"CPU s to open them", "opening", "%.2f"},
			{"first event p50 ms", "first", "%.2f"}, {"p99 ms", "first99", "%.1f"}, {"broken", "broken", "%.0f"},
		},
		checks: []check{atMost("KiB of an idle stream", "memory", 12), atMost("broken streams", "broken", 0)},
		measure: func(ctx context.Context, b *bench, t *target) (measured, error) {
			return measureStreams(ctx, b, t, flow{b.idle, hold / 2, hold})
		},
	}
}

// flow is so many streams, begun over the ramp, with an event every gap.
type flow struct {
	streams   int
	ramp, gap time.Duration
}

func measureStreams(ctx context.Context, b *bench, t *target, f flow) (measured, error) {
	// The first streams find a proxy that has worked a little: what it makes once is not theirs.
	if _, err := b.load(ctx, t, "-conns", "64", "-time", "1s"); err != nil {
		return measured{}, err
	}
	before := t.memory()
	w, err := b.load(ctx, t, "-streams", "-conns", strconv.Itoa(f.streams), "-ramp", f.ramp.String(), "-gap", f.gap.String(), "-patience", (f.gap + 5*time.Second).String())
	if err != nil {
		return measured{}, err
	}
	s := w.result.Streams
	if s == nil || s.Events == 0 {
		return measured{}, fmt.Errorf("no event came: %+v", s)
	}
	return measured{values: map[string]float64{
		"cpu": w.cpu / float64(s.Events) * 1e5, "opening": w.opening, "first": s.First.P50 / 1e3, "first99": s.First.P99 / 1e3,
		"delay": s.Delay.P50 / 1e3, "delay99": s.Delay.P99 / 1e3, "broken": float64(s.Broken),
		"joined": float64(s.Events) / float64(max(1, s.Reads)), "memory": (w.memory - before) / float64(f.streams), "all": w.memory / 1024,
	}, noise: w.noise}, nil
}

// work is what one load has told and its target has taken.
type work struct {
	reading
	result  load.Event
	memory  float64 // KiB of the target: while all streams are open, or at the end
	opening float64 // seconds on the CPU until all streams were open
}

// load runs one load and measures between its words "begin" and "end".
func (b *bench) load(ctx context.Context, t *target, args ...string) (work, error) {
	var w work
	addr := t.addr
	read, write := io.Pipe()
	args = append([]string{b.self, "load", "-addr", addr, "-token", t.token, "-model", modelName}, args...)
	p, err := b.yard.start(command{name: "load", args: args, cores: &b.machine.rest, out: write})
	if err != nil {
		return w, err
	}
	defer context.AfterFunc(ctx, func() { _ = p.cmd.Process.Kill() })()
	go func() { <-p.ended; _ = write.Close() }()
	var m *meter
	lines := bufio.NewScanner(read)
	lines.Buffer(nil, load.LongestLine)
	for lines.Scan() {
		var e load.Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return w, fmt.Errorf("reading what the load says: %w: %s", err, lines.Text())
		}
		switch e.Event {
		case "begin":
			m, err = b.machine.meter(b.yard, t.process)
		case "open":
			if m != nil {
				w.opening = t.process.cpu() - m.cpu
			}
			pause(ctx, 300*time.Millisecond) // buffers that are not needed any more have been let go by then
			w.memory = t.memory()
		case "end":
			if m == nil {
				return w, errors.New("the load has ended before it began")
			}
			w.reading, err = m.read()
			if w.memory == 0 {
				w.memory = t.memory()
			}
		case "result":
			w.result = e
		}
		if err != nil {
			p.stop(unix.SIGKILL)
			return w, err
		}
	}
	_ = read.CloseWithError(errEnded)
	<-p.ended
	if err := lines.Err(); err != nil {
		return w, fmt.Errorf("reading what the load says: %w", err)
	}
	if w.result.Event == "" {
		return w, fmt.Errorf("the load has said nothing: %s", p.lastWords())
	}
	return w, nil
}

func (t *target) memory() float64 { return t.process.memory() }
