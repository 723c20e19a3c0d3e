package containerd

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	cgroup1 "github.com/containerd/cgroups/v3/cgroup1/stats"
	cgroup2 "github.com/containerd/cgroups/v3/cgroup2/stats"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/pid1"
)

// Stats implements sessions.Observer.
func (r *Runtime) Stats(ctx context.Context, id string) (sessions.Stats, error) {
	st, err := r.stats(r.in(ctx), id)
	if err != nil {
		return sessions.Stats{}, fmt.Errorf("stats of %s: %w", id, down(err))
	}
	return st, nil
}

func (r *Runtime) stats(ctx context.Context, id string) (sessions.Stats, error) {
	t, err := r.running(id)
	if err != nil {
		return sessions.Stats{}, err
	}
	loaded, err := r.load(ctx, id)
	if err != nil {
		return sessions.Stats{}, err
	}
	u, err := r.usage(ctx, loaded)
	if err != nil {
		return sessions.Stats{}, gone(err)
	}
	st := sessions.Stats{At: time.Now(), CPUTime: u.cpu, Memory: u.memory, Pids: u.pids, RxBytes: -1, TxBytes: -1, ReadBytes: u.read, WriteBytes: u.written}
	if r.cfg.Network != nil {
		if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/dev", t.PID)); err == nil {
			st.RxBytes, st.TxBytes = pid1.Traffic(string(b), "eth0")
		}
	}
	return st, nil
}

// running returns the first process of a session that runs.
func (r *Runtime) running(id string) (task, error) {
	if err := r.known(id); err != nil {
		return task{}, err
	}
	if _, ended, err := r.settle(id); err != nil {
		return task{}, err
	} else if ended {
		return task{}, fmt.Errorf("it does not run any more: %w", sessions.ErrNoInstance)
	}
	t, _, err := readTask(r.dir(id))
	return t, err
}

// load asks containerd for the task of a session that runs.
func (r *Runtime) load(ctx context.Context, id string) (client.Task, error) {
	c, err := r.client.LoadContainer(ctx, id)
	if err != nil {
		return nil, gone(err)
	}
	t, err := c.Task(ctx, nil)
	return t, gone(err)
}

// gone says of an error of containerd that the session went away meanwhile, where it did.
func gone(err error) error {
	if errdefs.IsNotFound(err) || errdefs.IsFailedPrecondition(err) {
		return fmt.Errorf("it does not run any more: %w", sessions.ErrNoInstance)
	}
	return err
}

// usage is what a container's cgroup tells; -1 for what it does not.
type usage struct {
	cpu           time.Duration
	memory, pids  int64
	read, written int64
	oomKills      int64
}

func (r *Runtime) usage(ctx context.Context, t client.Task) (usage, error) {
	m, err := t.Metrics(ctx)
	if err != nil {
		return usage{}, err
	}
	said, err := typeurl.UnmarshalAny(m.GetData())
	if err != nil {
		return usage{}, fmt.Errorf("reading the container's metrics: %w", err)
	}
	return usageOf(said), nil
}

func usageOf(said any) usage {
	u := usage{cpu: -1, memory: -1, pids: -1, read: -1, written: -1}
	switch m := said.(type) {
	case *cgroup1.Metrics:
		if c := m.GetCPU().GetUsage(); c != nil {
			u.cpu = time.Duration(c.GetTotal())
		}
		if mem := m.GetMemory(); mem.GetUsage() != nil {
			u.memory = max(0, int64(mem.GetUsage().GetUsage())-int64(mem.GetTotalInactiveFile()))
		}
		if p := m.GetPids(); p != nil {
			u.pids = int64(p.GetCurrent())
		}
		if b := m.GetBlkio(); b != nil {
			u.read, u.written = 0, 0
			for _, e := range b.GetIoServiceBytesRecursive() {
				switch strings.ToLower(e.GetOp()) {
				case "read":
					u.read += int64(e.GetValue())
				case "write":
					u.written += int64(e.GetValue())
				}
			}
		}
		u.oomKills = int64(m.GetMemoryOomControl().GetOomKill())
	case *cgroup2.Metrics:
		if c := m.GetCPU(); c != nil {
			u.cpu = time.Duration(c.GetUsageUsec()) * time.Microsecond
		}
		if mem := m.GetMemory(); mem != nil {
			u.memory = max(0, int64(mem.GetUsage())-int64(mem.GetInactiveFile()))
		}
		if p := m.GetPids(); p != nil {
			u.pids = int64(p.GetCurrent())
		}
		if io := m.GetIo(); io != nil {
			u.read, u.written = 0, 0
			for _, e := range io.GetUsage() {
				u.read += int64(e.GetRbytes())
				u.written += int64(e.GetWbytes())
			}
		}
		u.oomKills = int64(m.GetMemoryEvents().GetOomKill())
	}
	return u
}
