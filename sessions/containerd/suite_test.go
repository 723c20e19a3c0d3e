package containerd_test

import (
	"os"
	"strconv"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/containerd"
	"github.com/palisade-run/palisade/sessions/containerd/containerdtest"
	"github.com/palisade-run/palisade/sessions/network"
	"github.com/palisade-run/palisade/sessions/runtimetest"
)

func shell(script string) []string { return []string{"/bin/sh", "-c", script} }

func program(acts ...runtimetest.Act) []string { return shell(runtimetest.Script(acts...)) }

// place is where one case of the suite runs: ids are told apart by containerd's namespaces, and in a network.
type place struct {
	namespace string
	net       *network.Network
}

// harness is the containerd runtime on the containerd at address, with room for so many cases at once.
func harness(t *testing.T, address string, room int) runtimetest.Harness {
	const files, size = 3, 1 << 20
	places := make(chan place, room)
	for range room {
		p := place{freshNamespace(), openNetwork(t)}
		bring(t, open(t, containerd.Config{Address: address, Root: containerdtest.Dir(t), Namespace: p.namespace}), testImage, v1.Config{})
		places <- p
	}
	return runtimetest.Harness{
		Image:    testImage,
		Program:  program,
		Parallel: room > 1, // they wait for most of their time
		New: func(t *testing.T) func() runtimetest.Box {
			p := <-places
			cfg := containerd.Config{Address: address, Root: containerdtest.Dir(t), Namespace: p.namespace, LogFiles: files, LogSize: size, Network: p.net}
			var opened []*containerd.Runtime
			t.Cleanup(func() { // after the suite has used the last of them
				for _, r := range opened {
					r.Close()
				}
				places <- p
			})
			return func() runtimetest.Box {
				opened = append(opened, connect(t, cfg))
				return opened[len(opened)-1]
			}
		},
		Can: runtimetest.Capabilities{
			Shell: shell, MemoryLimit: true, PidsLimit: true, OwnImage: true, Terminal: true,
			LogBound: files*size + 256<<10,
			Listener: func(_ *testing.T, port int, text string) ([]string, []sessions.Mount) {
				return []string{"nc", "-ll", "-p", strconv.Itoa(port), "-e", "echo", "-n", text}, nil
			},
		},
	}
}

func TestContainerdIsARuntime(t *testing.T) {
	if address := os.Getenv(onSystem); address != "" {
		runtimetest.Run(t, harness(t, address, 1))
		return
	}
	eachContainerd(t, func(t *testing.T, p containerdtest.Program) {
		t.Parallel()
		runtimetest.Run(t, harness(t, shared(t, p), 4))
	})
}
