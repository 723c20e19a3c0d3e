// Command bench measures Palisade's data plane beside nginx, haproxy, Caddy and a tuned httputil.ReverseProxy: all in one
// run, in turns, on one machine, with the one that is measured on a core of its own. It owns how that is measured and
// what is aimed at; it knows the router only as a program. README.md says how to read what it prints.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/router/bench/engine"
	"github.com/palisade-run/palisade/router/bench/load"
)

func main() {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if err := run(os.Args[1:], log); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run is `bench MODE... [flags]`; `bench engine` and `bench load` are the programs that it starts itself.
func run(args []string, log *slog.Logger) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if len(args) > 0 {
		switch args[0] {
		case "engine":
			return runEngine(ctx, args[1:])
		case "load":
			return runLoad(args[1:])
		}
	}
	var o options
	names, err := o.parse(args)
	if err != nil {
		return err
	}
	return measure(ctx, o, names, log)
}

// options are the flags of a run.
type options struct {
	only      string
	rounds    int
	time      time.Duration
	patience  time.Duration
	foreign   float64
	steal     float64
	conns     int
	streams   int
	idle      int
	gap       time.Duration
	bodyBytes int
	nice      int
	programs  string
	palisade  string
	keep      string
}

func (o *options) parse(args []string) ([]string, error) {
	var names []string
	for len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		names, args = append(names, args[0]), args[1:]
	}
	here, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding the other programs: %w", err)
	}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.Usage = func() {
		fmt.Fprintf(f.Output(), "bench [%s]... [flags]\n", strings.Join(modeNames(), "|"))
		f.PrintDefaults()
	}
	f.StringVar(&o.only, "only", "", "measure these only, with commas: "+strings.Join(peerNames(), ","))
	f.IntVar(&o.rounds, "rounds", 0, "rounds that nobody disturbed; 0: as the mode has it")
	f.DurationVar(&o.time, "time", 5*time.Second, "of one measurement")
	f.DurationVar(&o.patience, "patience", 30*time.Second, "to wait for a quiet machine before each")
	f.Float64Var(&o.foreign, "foreign", .1, "cores that others may use before a round counts as disturbed")
	f.Float64Var(&o.steal, "steal", .1, "cores that the hypervisor may take before a round counts as disturbed")
	f.IntVar(&o.conns, "conns", 64, "connections of throughput and fail")
	f.IntVar(&o.streams, "streams", 1000, "of streams")
	f.IntVar(&o.idle, "idle", 10000, "streams of idle")
	f.DurationVar(&o.gap, "gap", 20*time.Millisecond, "between two events of a stream")
	f.IntVar(&o.bodyBytes, "body", 1024, "bytes of a request's body")
	f.IntVar(&o.nice, "nice", -10, "priority, where it may be had")
	f.StringVar(&o.programs, "programs", filepath.Dir(here), "where gate and plain are")
	f.StringVar(&o.palisade, "palisade", "bin/palisade", "the whole program, for palisade-daemon")
	f.StringVar(&o.keep, "keep", "", "add each measurement to this file, as a line of JSON")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("%q comes after flags: modes come first", f.Arg(0))
	}
	for _, n := range names {
		if !slices.Contains(modeNames(), n) && n != "fail" {
			return nil, fmt.Errorf("no mode is called %q: %s", n, strings.Join(modeNames(), ", "))
		}
	}
	if i := slices.Index(names, "fail"); i >= 0 {
		names = slices.Replace(names, i, i+1, "kill", "freeze", "roll")
	}
	if len(names) == 0 {
		names = modeNames()
	}
	return names, o.check()
}

func (o *options) check() error {
	if o.only == "" {
		return nil
	}
	for name := range strings.SplitSeq(o.only, ",") {
		if !slices.Contains(peerNames(), name) {
			return fmt.Errorf("nothing is called %q: %s", name, strings.Join(peerNames(), ", "))
		}
	}
	return nil
}

func runEngine(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("bench engine", flag.ContinueOnError)
	addr := f.String("addr", "127.0.0.1:8000", "where it answers")
	s := engine.Settings{}
	f.IntVar(&s.Events, "events", 100, "of a stream")
	f.DurationVar(&s.Gap, "gap", 20*time.Millisecond, "between two of them")
	f.IntVar(&s.EventBytes, "bytes", 200, "of one")
	f.DurationVar(&s.Delay, "delay", 0, "before an answer that is no stream")
	f.StringVar(&s.Journal, "journal", "", "file for the ids of requests")
	err := f.Parse(args)
	if err == nil {
		s.Addr, err = netip.ParseAddrPort(*addr)
	}
	if err != nil {
		return err
	}
	uncollected()
	return engine.Run(ctx, s)
}

func runLoad(args []string) error {
	f := flag.NewFlagSet("bench load", flag.ContinueOnError)
	addr := f.String("addr", "127.0.0.1:8080", "who is asked")
	s := load.Settings{}
	f.BoolVar(&s.Streams, "streams", false, "each connection asks for a stream")
	f.IntVar(&s.Conns, "conns", 64, "connections")
	f.DurationVar(&s.Warm, "warm", 0, "before what is counted")
	f.DurationVar(&s.Time, "time", 5*time.Second, "that is counted")
	f.DurationVar(&s.Patience, "patience", 10*time.Second, "with what is late")
	f.DurationVar(&s.Ramp, "ramp", time.Second, "in which streams are begun")
	f.DurationVar(&s.Gap, "gap", 20*time.Millisecond, "at which their events are sent")
	f.StringVar(&s.Model, "model", "bench", "that is asked for")
	f.StringVar(&s.Token, "token", "", "that is shown")
	f.IntVar(&s.BodyBytes, "body", 1024, "bytes of a request's body")
	f.BoolVar(&s.IDs, "ids", false, "each request has an id")
	err := f.Parse(args)
	if err == nil {
		s.Addr, err = netip.ParseAddrPort(*addr)
	}
	if err != nil {
		return err
	}
	uncollected()
	return load.Run(s, os.Stdout)
}

// uncollected turns the collection of garbage off, which would come in between what is measured: engine and load
// allocate at their start, and little afterwards.
func uncollected() {
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(2 << 30)
}

// openFiles lets this process and those it starts hold as many files as are wanted, or as many as may be had: it says
// how many.
func openFiles(want uint64) (uint64, error) {
	var have unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &have); err != nil {
		return 0, fmt.Errorf("reading the limit of open files: %w", err)
	}
	for _, most := range []uint64{max(want, have.Max), have.Max} { // to go beyond takes a privilege
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: most, Max: most}); err == nil {
			return most, nil
		}
	}
	return have.Cur, nil
}
