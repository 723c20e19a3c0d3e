package containerd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/variants"
)

// CrashAfter does the first n steps of a start, a stop or a removal and then nothing more, as a daemon does
// that is killed there. It returns the names of all steps; r must not be used any more.
func (r *Runtime) CrashAfter(ctx context.Context, what, id, image string, n int) ([]string, error) {
	var steps []step
	switch what {
	case "start":
		m := &making{r: r, dir: r.dir(id), spec: sessions.Spec{
			ID: id, Image: image, Processes: []variants.Process{{Argv: []string{"sleep", "1000"}}}, Scratch: []string{"/scratch"},
		}}
		steps = m.steps()
	case "stop":
		steps = r.stopping(id, time.Minute)
	case "remove":
		steps = r.discarding(id)
	default:
		return nil, errors.New("there is no " + what)
	}
	var names []string
	for i, s := range steps {
		names = append(names, s.name)
		if i < n {
			if err := s.do(r.in(ctx)); err != nil {
				return nil, fmt.Errorf("%s: %s: %w", what, s.name, err)
			}
		}
	}
	return names, nil
}

func TestStepsAreNamedOnce(t *testing.T) {
	r := &Runtime{}
	for _, steps := range [][]step{(&making{r: r}).steps(), r.stopping("a", 0), r.discarding("a")} {
		var names []string
		for _, s := range steps {
			if slices.Contains(names, s.name) {
				t.Errorf("%q is there twice: %s", s.name, strings.Join(names, ", "))
			}
			names = append(names, s.name)
		}
	}
}

func TestParseStat(t *testing.T) {
	stat := "42 (a (strange) name) S 1 40 40 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 3 0 12345 1000 25 184 1 1 0 0\n"
	if state, started, ok := parseStat(stat); !ok || state != "S" || started != 12345 {
		t.Errorf("%q, %d, %t", state, started, ok)
	}
	if _, _, ok := parseStat("42 (gone"); ok {
		t.Error("half a line was taken")
	}
}

func TestWaitStatus(t *testing.T) {
	for code, want := range map[uint32]string{0: "exit 0", 3: "exit 3", 128: "exit 128", 137: "signal 9", 143: "signal 15", 255: "exit 255"} {
		ws := waitStatus(code)
		got := fmt.Sprintf("exit %d", ws.ExitStatus())
		if ws.Signaled() {
			got = fmt.Sprintf("signal %d", ws.Signal())
		}
		if got != want {
			t.Errorf("%d is %s, want %s", code, got, want)
		}
	}
}

func TestReadOnly(t *testing.T) {
	within := []string{"/", "/proc", "/models/deep/disk"}
	for source, want := range map[string]string{"/models": "rro", "/models/deep": "rro", "/models/deep/disk": "ro", "/mod": "ro", "/": "rro"} {
		if got := readOnly(source, within); got != want {
			t.Errorf("%s: %s, want %s", source, got, want)
		}
	}
}
