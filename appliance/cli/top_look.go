package cli

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/palisade-run/palisade/appliance/api"
)

// The bounds of one look.
const (
	lookPatience = 10 * time.Second
	lookAtOnce   = 8 // sessions that are asked for what they use at the same time
)

// looker sees all that top shows. It remembers what sessions had used the last time: what is busy is the difference.
// It is used from one goroutine.
type looker struct {
	client *api.Client
	before map[string]api.Stats // by session
	busy   map[string]float64   // cores, as they were counted the last time
}

func newLooker(c *api.Client) *looker { return &looker{client: c} }

// host is what is looked at, for people.
func (l *looker) host() string { return l.client.Host() }

// counts says whether there is something whose use can only be told by a second look.
func (l *looker) counts() bool { return len(l.before) > 0 }

// look asks for everything once.
func (l *looker) look(ctx context.Context, now time.Time) (topView, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lookPatience, fmt.Errorf("%s did not answer within %s", l.client.Host(), lookPatience))
	defer cancel()
	v := topView{host: l.host(), at: now}
	var sessions []api.Session
	for _, ask := range []func() error{
		func() (err error) { v.nodes, err = l.client.Nodes(ctx); return },
		func() (err error) { v.devices, err = l.client.Devices(ctx); return },
		func() (err error) { v.services, err = l.client.Services(ctx, api.ServiceFilter{}); return },
		func() (err error) { sessions, err = l.client.Sessions(ctx, api.SessionFilter{}); return },
		func() error {
			queue, err := l.client.Queue(ctx, true)
			v.waiting = len(queue)
			return err
		},
	} {
		if err := ask(); err != nil {
			return v, err
		}
	}
	stats := l.stats(ctx, sessions)
	for i, s := range sessions {
		row := topSession{Session: s, cores: -1, memory: -1, deviceMemory: -1}
		if got := stats[i]; got != nil {
			row.cores, row.memory, row.deviceMemory = l.cores(s.ID, *got), got.Memory, got.DeviceMemory
		}
		v.sessions = append(v.sessions, row)
	}
	l.remember(sessions, stats)
	return v, nil
}

// stats asks running sessions what they use; nil where one cannot tell, or has ended in between.
func (l *looker) stats(ctx context.Context, sessions []api.Session) []*api.Stats {
	out := make([]*api.Stats, len(sessions))
	slots := make(chan struct{}, lookAtOnce)
	var wg sync.WaitGroup
	for i, s := range sessions {
		if s.Status != "RUNNING" {
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if got, err := l.client.Stats(ctx, s.ID); err == nil {
				out[i] = &got
			}
		})
	}
	wg.Wait()
	return out
}

// cores is how many a session has kept busy since the look before; -1 where there was none.
func (l *looker) cores(session string, now api.Stats) float64 {
	before, ok := l.before[session]
	elapsed := now.At.Sub(before.At).Seconds()
	switch {
	case !ok || now.CPUTime < before.CPUTime:
		return -1
	case elapsed <= 0: // the box looks less often than we
		if busy, counted := l.busy[session]; counted {
			return busy
		}
		return -1
	}
	return (now.CPUTime - before.CPUTime) / elapsed
}

func (l *looker) remember(sessions []api.Session, stats []*api.Stats) {
	before, busy := map[string]api.Stats{}, map[string]float64{}
	for i, s := range sessions {
		if stats[i] != nil {
			before[s.ID], busy[s.ID] = *stats[i], l.cores(s.ID, *stats[i])
		}
	}
	l.before, l.busy = before, busy
}
