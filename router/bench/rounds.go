package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// sample is one measurement of one peer.
type sample struct {
	Mode, Peer string
	Round      int
	At         time.Time
	Disturbed  bool
	Values     map[string]float64
	Notes      map[string]int `json:",omitempty"` // failed requests by kind
	Noise      noise
}

// bench is one run.
type bench struct {
	options
	log     *slog.Logger
	machine *machine
	yard    *yard
	self    string
	place   place
	dir     string
	engines []*process
	flags   []string // of the engines
	missing map[string]string
}

// measure runs the modes one after another and prints what they gave.
func measure(ctx context.Context, o options, names []string, log *slog.Logger) (err error) {
	b, end, err := open(ctx, o, log)
	if err != nil {
		return err
	}
	defer end()
	fmt.Println(b.header())
	for _, name := range names {
		m := modes()[slices.Index(modeNames(), name)]
		samples, err := b.run(ctx, m)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		b.print(os.Stdout, m, samples)
	}
	return nil
}

func open(ctx context.Context, o options, log *slog.Logger) (*bench, func(), error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	cache, err := cacheDir()
	if err != nil {
		return nil, nil, err
	}
	files, err := openFiles(uint64(4*max(o.idle, o.streams) + 4096))
	if err != nil {
		return nil, nil, err
	}
	// A proxy has two sockets for each stream, and a few files of its own.
	if most := (int(files) - 200) / 2; o.idle > most {
		log.Warn("fewer streams than wanted: so many open files are allowed (ulimit -Hn)", "wanted", o.idle, "streams", most, "files", files)
		o.idle = most
	}
	unlock, err := lock(ctx, cache, log)
	if err != nil {
		return nil, nil, err
	}
	m, err := newMachine()
	if err != nil {
		return nil, nil, err
	}
	dir, err := os.MkdirTemp("", "palisade-bench-")
	if err != nil {
		return nil, nil, err
	}
	for _, p := range []*string{&o.programs, &o.palisade} {
		if *p, err = filepath.Abs(*p); err != nil {
			return nil, nil, err
		}
	}
	b := &bench{options: o, log: log, machine: m, self: self, dir: dir, missing: map[string]string{}}
	b.yard = newYard(m, dir, o.nice)
	b.place = place{Most: max(o.idle, o.streams, o.conns) + 100, Dir: dir, Root: os.Getuid() == 0, programs: o.programs, cache: cache}
	return b, func() {
		b.yard.stopAll()
		_ = os.RemoveAll(dir)
		unlock()
	}, nil
}

// lock keeps a second run from disturbing this one: it waits.
func lock(ctx context.Context, cache string, log *slog.Logger) (func(), error) {
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(cache, "bench.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for told := false; ; told = true {
		if err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("locking %s: %w", f.Name(), err)
		}
		if !told {
			log.Info("another bench runs on this machine: waiting for it")
		}
		if !pause(ctx, time.Second) {
			return nil, errEnded
		}
	}
}

// run measures all peers of a mode in turns until each has as many undisturbed rounds as are wanted, or three times as
// many in all.
func (b *bench) run(ctx context.Context, m mode) ([]sample, error) {
	who := b.chosen(m)
	rounds := cmp.Or(b.rounds, m.rounds)
	good := map[string]int{}
	b.missing = map[string]string{}
	var out []sample
	for round := range 3 * rounds {
		turn := round * 3 % len(who) // nobody is always after the same one
		for _, p := range slices.Concat(who[turn:], who[:turn]) {
			if good[p.name] >= rounds || b.missing[p.name] != "" {
				continue
			}
			s, err := b.once(ctx, m, p, round)
			if ctx.Err() != nil {
				return nil, errEnded
			}
			if err != nil {
				b.missing[p.name] = firstLine(err)
				b.log.Error("not measured", "mode", m.name, "peer", p.name, "err", err)
				continue
			}
			if !s.Disturbed {
				good[p.name]++
			}
			out = append(out, s)
			b.log.Info("measured", "mode", m.name, "peer", p.name, "round", round, "disturbed", s.Disturbed, "foreign", fmt.Sprintf("%.2f cores", s.Noise.Foreign), "values", brief(m, s))
			if err := b.keepSample(s); err != nil {
				return nil, err
			}
		}
	}
	b.stopEngines()
	if len(out) == 0 {
		return nil, errors.New("nothing could be measured; the reasons are above")
	}
	return out, nil
}

func (b *bench) chosen(m mode) []peer {
	var out []peer
	for _, p := range peers() {
		if b.only != "" {
			if slices.Contains(strings.Split(b.only, ","), p.name) {
				out = append(out, p)
			}
		} else if slices.Contains(m.peers, p.name) {
			out = append(out, p)
		}
	}
	return out
}

// once measures one peer: engines as the mode wants them, a fresh proxy, a quiet machine.
func (b *bench) once(ctx context.Context, m mode, p peer, round int) (sample, error) {
	s := sample{Mode: m.name, Peer: p.name, Round: round, At: time.Now()}
	if err := b.wantEngines(ctx, m); err != nil {
		return s, err
	}
	quiet := b.machine.quiet(ctx, b.patience, b.foreign)
	speed := b.machine.speed()
	b.place.Again = m.again
	target, err := b.startPeer(ctx, p)
	if err != nil {
		return s, err
	}
	defer target.end()
	got, err := m.measure(ctx, b, target)
	s.Values, s.Notes, s.Noise = got.values, got.notes, got.noise
	s.Noise.Speed = speed
	s.Disturbed = !quiet || s.Noise.Foreign > b.foreign || s.Noise.Steal > b.steal
	return s, err
}

func (b *bench) keepSample(s sample) error {
	if b.keep == "" {
		return nil
	}
	f, err := os.OpenFile(b.keep, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	return errors.Join(json.NewEncoder(f).Encode(s), f.Close())
}

// target is a peer that runs.
type target struct {
	peer    peer
	addr    string
	process *process // of which CPU and memory are measured; nil with direct
	token   string
	end     func()
}

func (b *bench) startPeer(ctx context.Context, p peer) (*target, error) {
	switch p.name {
	case direct:
		return &target{peer: p, addr: b.place.Engines[0], token: secret, end: func() {}}, nil
	case whole:
		return b.startDaemon(ctx, p)
	}
	at := b.place
	var err error
	if at.Listen, err = freeAddress(ctx); err != nil {
		return nil, err
	}
	c, err := p.command(at)
	if err != nil {
		return nil, err
	}
	c.cores = &b.machine.proxy
	run, err := b.yard.start(c)
	if err != nil {
		return nil, err
	}
	t := &target{peer: p, addr: at.Listen, process: run, token: secret, end: func() { run.stop(unix.SIGTERM) }}
	if err := run.ready(ctx, "http://"+at.Listen+"/health"); err != nil {
		t.end()
		return nil, err
	}
	return t, nil
}

const engineCount = 4

// wantEngines sees to it that four engines run with the mode's flags. Those whose engines come to harm get new ones each
// time.
func (b *bench) wantEngines(ctx context.Context, m mode) error {
	flags := m.engine(b)
	if !m.harms && slices.Equal(flags, b.flags) && len(b.engines) == engineCount {
		return nil
	}
	b.stopEngines()
	b.flags, b.place.Engines = flags, nil
	for i := range engineCount {
		addr, err := freeAddress(ctx)
		if err != nil {
			return err
		}
		b.place.Engines = append(b.place.Engines, addr)
		_ = os.Remove(b.journal(i))
	}
	for i := range engineCount {
		e, err := b.startEngine(ctx, i)
		if err != nil {
			return err
		}
		b.engines = append(b.engines, e)
	}
	return nil
}

func (b *bench) journal(i int) string { return filepath.Join(b.dir, fmt.Sprintf("journal-%d", i)) }

func (b *bench) startEngine(ctx context.Context, i int) (*process, error) {
	args := append([]string{b.self, "engine", "-addr", b.place.Engines[i]}, b.flags...)
	if slices.Contains(b.flags, "-journal") {
		args[len(args)-1] = b.journal(i)
	}
	e, err := b.yard.start(command{name: fmt.Sprintf("engine-%d", i), args: args, cores: &b.machine.rest})
	if err != nil {
		return nil, err
	}
	return e, e.ready(ctx, "http://"+b.place.Engines[i]+"/health")
}

func (b *bench) stopEngines() {
	for _, e := range b.engines {
		e.stop(unix.SIGKILL)
	}
	b.engines, b.flags = nil, nil
}

// freeAddress is one on loopback that nobody has at this moment.
func freeAddress(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("looking for a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

func brief(m mode, s sample) string {
	var parts []string
	for _, c := range m.columns {
		if v, ok := s.Values[c.key]; ok {
			parts = append(parts, fmt.Sprintf("%s "+c.format, c.title, v))
		}
	}
	return strings.Join(parts, ", ")
}
