package containerd_test

import (
	"os"
	"strconv"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/containerd"
	"github.com/palisade-run/palisade/sessions/containerd/containerdtest"
	"github.com/palisade-run/palisade/sessions/runtimetest"
)

func shell(script string) []string { return []string{"/bin/sh", "-c", script} }

func program(acts ...runtimetest.Act) []string { return shell(runtimetest.Script(acts...)) }

// harness is the containerd runtime on the containerd at address.
func harness(t *testing.T, address string) runtimetest.Harness {
	const files, size = 3, 1 << 20
	bring(t, open(t, containerd.Config{Address: address, Root: containerdtest.Dir(t)}), testImage, v1.Config{})
	net := openNetwork(t)
	return runtimetest.Harness{
		Image:   testImage,
		Program: program,
		New: func(t *testing.T) func() runtimetest.Box {
			cfg := containerd.Config{Address: address, Root: containerdtest.Dir(t), LogFiles: files, LogSize: size, Network: net}
			var opened []*containerd.Runtime
			t.Cleanup(func() { // after the suite has used the last of them
				for _, r := range opened {
					r.Close()
				}
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
		runtimetest.Run(t, harness(t, address))
		return
	}
	eachContainerd(t, func(t *testing.T, p containerdtest.Program) {
		t.Parallel() // it waits for most of its time
		runtimetest.Run(t, harness(t, containerdtest.Start(t, p).Address()))
	})
}
