package containerd_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/containerd"
	"github.com/palisade-run/palisade/sessions/containerd/containerdtest"
	"github.com/palisade-run/palisade/sessions/network"
	"github.com/palisade-run/palisade/sessions/terminal"
)

// BenchmarkStart is a session from nothing to its first process running, by turns with the same done by a
// bare client of containerd: the ratio of the two is what the runtime costs.
func BenchmarkStart(b *testing.B) {
	for _, p := range containerdtest.Programs(b) {
		b.Run(p.Name, func(b *testing.B) {
			d := containerdtest.Start(b, p)
			net := openNetwork(b)
			r := open(b, containerd.Config{Address: d.Address(), Root: containerdtest.Dir(b), Network: net})
			bring(b, r, testImage, v1.Config{})
			c, err := client.New(d.Address(), client.WithDefaultNamespace("palisade"))
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			bare := bareClient{c: c, net: net, ctx: namespaces.WithNamespace(context.Background(), "palisade")}
			var ours, theirs time.Duration
			n := 0
			for ; b.Loop(); n++ {
				begin := time.Now()
				id := fmt.Sprintf("ours-%d", n)
				s := spec(id, "sleep", "1000")
				s.Limits = sessions.Limits{MilliCPU: 1000, Memory: 256 << 20, Pids: 100}
				if _, err := r.Start(b.Context(), s); err != nil {
					b.Fatal(err)
				}
				ours += time.Since(begin)
				b.StopTimer()
				if err := errors.Join(r.Stop(b.Context(), id, 0), r.Remove(b.Context(), id)); err != nil {
					b.Fatal(err)
				}
				begin = time.Now()
				t, err := bare.start(fmt.Sprintf("bare-%d", n))
				theirs += time.Since(begin)
				if err = errors.Join(err, bare.remove(fmt.Sprintf("bare-%d", n), t)); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			b.ReportMetric(float64(theirs.Microseconds())/1000/float64(n), "bare-ms/op")
			b.ReportMetric(float64(ours)/float64(theirs), "times-bare")
		})
	}
}

// bareClient does what a session asks of containerd, and nothing else.
type bareClient struct {
	c   *client.Client
	net *network.Network
	ctx context.Context //nolint:containedctx // a benchmark's only one
}

func (b bareClient) start(id string) (client.Task, error) {
	at, err := b.net.Create(id)
	if err != nil {
		return nil, err
	}
	img, err := b.c.GetImage(b.ctx, testImage)
	if err != nil {
		return nil, err
	}
	memory, pids, period, quota := int64(256<<20), int64(100), uint64(100_000), int64(100_000)
	c, err := b.c.NewContainer(b.ctx, id, client.WithNewSnapshot(id, img), client.WithNewSpec(
		oci.WithImageConfigArgs(img, []string{"sleep", "1000"}), oci.WithDefaultUnixDevices, oci.WithCgroup("/palisade/"+id),
		oci.WithLinuxNamespace(specs.LinuxNamespace{Type: specs.NetworkNamespace, Path: at.Path}),
		oci.WithMemoryLimit(uint64(memory)), oci.WithPidsLimit(pids), oci.WithCPUCFS(quota, period), seccomp.WithDefaultProfile()))
	if err != nil {
		return nil, err
	}
	t, err := c.NewTask(b.ctx, cio.NullIO)
	if err != nil {
		return nil, err
	}
	return t, t.Start(b.ctx)
}

func (b bareClient) remove(id string, t client.Task) error {
	if t == nil {
		return errors.New("nothing was started")
	}
	_, err := t.Delete(b.ctx, client.WithProcessKill)
	c, loadErr := b.c.LoadContainer(b.ctx, id)
	if loadErr == nil {
		loadErr = c.Delete(b.ctx, client.WithSnapshotCleanup)
	}
	return errors.Join(err, loadErr, b.net.Remove(id))
}

// BenchmarkShell is from nothing to a shell's prompt on a terminal: a session and a terminal that is held in it, by turns
// with the same done by a bare client of containerd. The difference of the two is what Palisade adds below its API.
func BenchmarkShell(b *testing.B) {
	for _, p := range containerdtest.Programs(b) {
		b.Run(p.Name, func(b *testing.B) {
			d := containerdtest.Start(b, p)
			net := openNetwork(b)
			r := open(b, containerd.Config{Address: d.Address(), Root: containerdtest.Dir(b), Network: net})
			bring(b, r, testImage, v1.Config{})
			c, err := client.New(d.Address(), client.WithDefaultNamespace("palisade"))
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			bare := bareClient{c: c, net: net, ctx: namespaces.WithNamespace(context.Background(), "palisade")}
			k := terminal.NewKeeper()
			var ours, theirs, starts []time.Duration
			for n := 0; b.Loop(); n++ {
				id, begin := fmt.Sprintf("ours-%d", n), time.Now()
				s := spec(id, "sleep", "1000")
				s.Limits = sessions.Limits{MilliCPU: 1000, Memory: 256 << 20, Pids: 100}
				if _, err := r.Start(b.Context(), s); err != nil {
					b.Fatal(err)
				}
				starts = append(starts, time.Since(begin))
				v, err := k.Attach(terminal.Request{Session: id, Name: "main", Exec: func(ctx context.Context, cmd sessions.ExecSpec) (sessions.Exit, error) {
					return r.Exec(ctx, id, cmd)
				}})
				if err != nil {
					b.Fatal(err)
				}
				prompt(b, v)
				ours = append(ours, time.Since(begin))
				b.StopTimer()
				v.Close()
				if err := errors.Join(r.Stop(b.Context(), id, 0), r.Remove(b.Context(), id)); err != nil {
					b.Fatal(err)
				}
				id, begin = fmt.Sprintf("bare-%d", n), time.Now()
				t, err := bare.start(id)
				if err == nil {
					err = bare.shell(b, t)
				}
				theirs = append(theirs, time.Since(begin))
				if err = errors.Join(err, bare.remove(id, t)); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			k.End(context.Background(), errors.New("over"))
			for name, took := range map[string][]time.Duration{"ours": ours, "bare": theirs, "start": starts} {
				slices.Sort(took)
				for _, q := range []int{50, 95} {
					b.ReportMetric(float64(took[len(took)*q/100].Microseconds())/1000, fmt.Sprintf("ms-%s-p%d", name, q))
				}
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// prompt reads until a shell says that it waits.
func prompt(tb testing.TB, from io.Reader) {
	tb.Helper()
	var seen []byte
	for p := make([]byte, 256); !bytes.Contains(seen, []byte("# ")); {
		n, err := from.Read(p)
		seen = append(seen, p[:n]...)
		if err != nil {
			tb.Fatalf("%q, %v", seen, err)
		}
	}
}

// shell starts a shell on a terminal, waits for its prompt, and ends it.
func (b bareClient) shell(tb testing.TB, t client.Task) error {
	tb.Helper()
	spec, err := t.Spec(b.ctx)
	if err != nil {
		return err
	}
	process := *spec.Process
	process.Args, process.Terminal = []string{"sh"}, true
	in, typed := io.Pipe()
	shown, out := io.Pipe()
	defer typed.Close()
	p, err := t.Exec(b.ctx, "shell", &process, cio.NewCreator(cio.WithStreams(in, out, nil), cio.WithTerminal))
	if err != nil {
		return err
	}
	if err := p.Start(b.ctx); err != nil {
		return err
	}
	prompt(tb, shown)
	shown.Close()
	_, err = p.Delete(b.ctx, client.WithProcessKill)
	return err
}
