package containerd_test

import (
	"errors"
	"path/filepath"
	"sync"
	"testing"

	"github.com/palisade-run/palisade/sessions/containerd/containerdtest"
)

// TestNothingOfRemovedSessionsStaysOnTheDisk: not even of those that are removed while containerd collects what others
// have left, which it overlooks by itself.
func TestNothingOfRemovedSessionsStaysOnTheDisk(t *testing.T) {
	eachContainerd(t, func(t *testing.T, p containerdtest.Program) {
		b := newBoxAlone(t, p)
		layers := func() int {
			kept, err := filepath.Glob(b.dir + "/root/io.containerd.snapshotter.v1.*/snapshots/*")
			if err != nil {
				t.Fatal(err)
			}
			return len(kept)
		}
		image := layers()
		const n = 12
		for i := range n {
			b.start(spec("s"+itoa(i), "sleep", "1000"))
		}
		if with := layers(); with < image+n {
			t.Fatalf("%d layers are not those of an image, %d, and of %d sessions: they are kept elsewhere", with, image, n)
		}
		var all sync.WaitGroup
		for i := range n {
			all.Go(func() {
				id := "s" + itoa(i)
				if err := errors.Join(b.Stop(bounded(t), id, 0), b.Remove(bounded(t), id)); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		b.Settled()
		if left := layers(); left != image {
			t.Errorf("%d layers are left, the image has %d", left, image)
		}
	})
}
