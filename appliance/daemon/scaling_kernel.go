package daemon

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/autoscaler"
	"github.com/palisade-run/palisade/sessions"
)

// statistics samples what sessions of services use whose rules ask for it.
type statistics struct {
	scaling *scaling
	stats   func(ctx context.Context, session string) (sessions.Stats, error)
	last    map[string]sessions.Stats // by session; of the loop alone
}

const (
	statisticsEvery   = 5 * time.Second
	statisticsTimeout = 2 * time.Second // of one session
)

// run samples until ctx ends.
func (s *statistics) run(ctx context.Context) {
	tick := time.NewTicker(statisticsEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.sample(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// sample takes one sample of every service that wants any. A session that does not answer is left out: the others' mean
// counts without it.
func (s *statistics) sample(ctx context.Context) {
	var nodes []accel.Status
	present := map[string]sessions.Stats{}
	for _, v := range s.scaling.manager.Services("") {
		if len(s.scaling.Wants(v.ID, autoscaler.SourceKernel)) == 0 {
			continue
		}
		if nodes == nil {
			nodes = s.scaling.ledger.Status()
		}
		sums := map[string]*autoscaler.Sample{}
		for _, r := range v.Routes {
			if r.Status != sessions.RouteHealthy {
				continue
			}
			now, err := s.one(ctx, r.ID)
			if err != nil {
				continue
			}
			present[r.ID] = now
			was, known := s.last[r.ID]
			use := usesOf(nodes, r.ID)
			use.count(was, now, known)
			for name, value := range use.of {
				if sums[name] == nil {
					sums[name] = &autoscaler.Sample{At: now.At}
				}
				sums[name].Total += value
				sums[name].Of++
			}
		}
		for name, sample := range sums {
			s.scaling.Tell(v.ID, autoscaler.Metric{Source: autoscaler.SourceKernel, Name: name}, *sample)
		}
	}
	s.last = present
}

func (s *statistics) one(ctx context.Context, session string) (sessions.Stats, error) {
	ctx, cancel := context.WithTimeout(ctx, statisticsTimeout)
	defer cancel()
	return s.stats(ctx, session)
}

// uses is what a session uses of what it holds, by the names of metrics.
type uses struct {
	slots accel.Slots
	of    map[string]float64
}

// usesOf finds what a session holds, and how much of its devices it uses.
func usesOf(nodes []accel.Status, id string) uses {
	u := uses{of: map[string]float64{}}
	for i := range nodes {
		n := &nodes[i]
		at := slices.IndexFunc(n.Claims, func(e accel.Entry) bool { return e.Session == id })
		if at < 0 {
			continue
		}
		u.slots = maps.Clone(n.Claims[at].Slots)
		if len(u.slots) == 0 {
			u.slots = accel.Slots{}
		}
		if u.slots[accel.SlotCPU] == 0 { // it has no bound but the box's
			u.slots[accel.SlotCPU] = n.State.Node().CPU
		}
		if u.slots[accel.SlotMem] == 0 {
			u.slots[accel.SlotMem] = n.State.Node().Memory
		}
		u.devices(n, &n.Claims[at])
	}
	return u
}

// devices adds the use of a claim's devices: the mean over those that tell.
func (u *uses) devices(n *accel.Status, claim *accel.Entry) {
	var busy, held float64
	var told, room int
	for _, share := range claim.Shares {
		if sample, known := n.Samples[share.Device]; known {
			busy += sample.Utilization * 100
			told++
		}
		if bytes, known := claim.Used[share.Device]; known && share.Memory > 0 {
			held += float64(bytes) / float64(share.Memory) * 100
			room++
		}
	}
	if told > 0 {
		u.of["cuda_util"] = busy / float64(told)
	}
	if room > 0 {
		u.of["cuda_mem"] = held / float64(room)
	}
}

// count adds what the session's first process and all below it use. was is an earlier look, if there was one: without
// it nothing is known of what happens in a second.
func (u *uses) count(was, now sessions.Stats, known bool) {
	if all := u.slots[accel.SlotMem]; all > 0 {
		u.of["mem"] = float64(now.Memory) / float64(all) * 100
	}
	elapsed := now.At.Sub(was.At).Seconds()
	if !known || elapsed <= 0 || now.CPUTime < was.CPUTime { // it was started anew in between
		return
	}
	if all := u.slots[accel.SlotCPU]; all > 0 {
		u.of["cpu_util"] = (now.CPUTime - was.CPUTime).Seconds() / elapsed / (float64(all) / 1000) * 100
	}
	for name, bytes := range map[string][2]int64{
		"net_rx": {was.RxBytes, now.RxBytes}, "net_tx": {was.TxBytes, now.TxBytes},
		"io_read": {was.ReadBytes, now.ReadBytes}, "io_write": {was.WriteBytes, now.WriteBytes},
	} {
		if from, to := bytes[0], bytes[1]; from >= 0 && to >= from { // -1 is not known
			u.of[name] = float64(to-from) / elapsed
		}
	}
}
