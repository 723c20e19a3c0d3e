package containerd_test

import (
	"context"
	"errors"
	"fmt"
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
