package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/router"
	"github.com/palisade-run/palisade/router/record"
	"github.com/palisade-run/palisade/router/record/otlp"
	"github.com/palisade-run/palisade/router/record/trace"
	"github.com/palisade-run/palisade/router/usage"
)

// seeing is what looks at requests when they have ended.
type seeing struct {
	live     *record.Live   // of all boxes, where this one leads
	teller   *record.Teller // of this box, to who leads
	captures *record.Captures
	log      *record.AccessLog // nil: none is written
	spans    *otlp.Exporter    // nil: none are sent
	demand   *trace.Recorder
	tracing  record.Tracing
}

func (d *daemon) openSeeing(ctx context.Context) (*seeing, error) {
	c := d.Config
	s := &seeing{
		live: record.NewLive(time.Now()), captures: record.NewCaptures(),
		demand: trace.NewRecorder(filepath.Join(c.Data, "traces"), d.Log.With("room", "traces")),
	}
	s.teller = record.NewTeller(s.live)
	var err error
	if c.AccessLog.Path != "" {
		if s.log, err = record.OpenAccessLog(c.AccessLog, d.Log.With("room", "access-log")); err != nil {
			return nil, err
		}
		d.registry.MustRegister(s.log)
	}
	if otlp.Wanted(c.Traces.Endpoint, os.Getenv) {
		node, _ := os.Hostname() // unnamed is fine
		s.spans, err = otlp.New(ctx, otlp.Config{Endpoint: c.Traces.Endpoint, Version: d.Version.Version, Node: node}, d.Log.With("room", "traces"))
		if err != nil {
			return nil, err
		}
		d.registry.MustRegister(s.spans)
		s.tracing = record.Tracing{On: true, Sample: c.Traces.Sample}
	}
	return s, nil
}

// checkAccessLog tells whether the access log could be written, and makes nothing. "" is none.
func checkAccessLog(path string) error {
	if path == "" {
		return nil
	}
	info, err := os.Stat(path)
	dir := filepath.Dir(path)
	switch {
	case err == nil && info.IsDir():
		return hinted{fmt.Errorf("access_log.path: %s is a directory", path), "name a file in that directory"}
	case err == nil:
		err = unix.Access(path, unix.W_OK)
	case errors.Is(err, fs.ErrNotExist):
		path, err = dir, unix.Access(dir, unix.W_OK|unix.X_OK)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return hinted{fmt.Errorf("access_log.path: there is no directory %s", dir), "make it first"}
	}
	return hinted{fmt.Errorf("access_log.path: %s cannot be written: %w", path, err), "let the user that runs palisade write it"}
}

func (s *seeing) observers(u *usage.Meter) router.Observers {
	o := router.Observers{Live: s.live, Captures: s.captures, Usage: u, Log: s.log, Tracing: s.tracing, Demand: s.demand}
	if s.spans != nil {
		o.Spans = s.spans
	}
	return o
}

// run does what is done once a second, and what is left at the end.
func (s *seeing) run(ctx context.Context) {
	var loops sync.WaitGroup
	loops.Go(func() { s.live.Run(ctx) })
	loops.Go(func() { s.demand.Run(ctx) })
	if s.log != nil {
		loops.Go(func() { s.log.Run(ctx) })
	}
	if s.spans != nil {
		loops.Go(func() { s.spans.Run(ctx) })
	}
	loops.Wait()
}
