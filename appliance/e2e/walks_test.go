package e2e_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/e2e/shell"
	"github.com/palisade-run/palisade/appliance/e2e/transcript"
)

var rewriteWalks = flag.Bool("update", false, "write into docs/walks what the commands print now")

// TestWalks walks through the product as docs/walks has it: each command of a walk is typed into one shell, in order, and
// prints what is written below it. A walk has a machine of its own as far as it can tell: its processes, its network, its
// mounts and its home directory.
func TestWalks(t *testing.T) {
	for _, name := range []string{"developer", "owner", "researcher", "operator"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root, err := moduleRoot()
			if err != nil {
				t.Fatal(err)
			}
			replay(t, filepath.Join(root, "docs", "walks", name+".md"))
		})
	}
}

func replay(t *testing.T, file string) {
	t.Helper()
	document, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	steps, err := transcript.Parse(string(document))
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	home := stage(t)
	sh, err := shell.Start(home, environment(t, home))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sh.Close)
	outputs := make([][]string, 0, len(steps))
	for _, s := range steps {
		output, err := typed(sh, s.Command)
		if err != nil {
			t.Fatalf("%s:%d: $ %s\n%s\n%v", file, s.Line, s.Command, strings.Join(output, "\n"), err)
		}
		outputs = append(outputs, output)
		if !*rewriteWalks && !transcript.Same(s.Output, output) {
			t.Fatalf("%s:%d: $ %s\n(-written, +printed; to write it anew: go test ./appliance/e2e -run TestWalks -args -update)\n%s",
				file, s.Line, s.Command, transcript.Diff(s.Output, output))
		}
		if !transcript.Writable(output) {
			t.Fatalf("%s:%d: $ %s\nprints what looks like a command or the end of a block:\n%s", file, s.Line, s.Command, strings.Join(output, "\n"))
		}
	}
	if *rewriteWalks {
		if err := os.WriteFile(file, []byte(transcript.Rewrite(string(document), steps, outputs)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// aStep is how long a command may take. It is what a person would never wait for, on a box that does much else.
const aStep = 3 * time.Minute

// typed runs a command and returns what it printed; a last line says with which code it ended where that is not 0.
func typed(sh *shell.Shell, command string) ([]string, error) {
	printed, code, err := sh.Type(command, aStep)
	output := transcript.Lines(printed)
	if code != 0 {
		output = append(output, fmt.Sprintf("[exit code %d]", code))
	}
	return output, err
}

// stage is a home directory with what the walk takes for granted: the sources of the project in "palisade", and the
// clients that npm has brought.
func stage(t *testing.T) (home string) {
	t.Helper()
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	// Not below /tmp: sessions have one of their own, and the supervisor's program must be seen in them.
	home, err = os.MkdirTemp("/var/tmp", "pal-walk-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(home); err != nil {
			t.Error(err)
		}
	})
	modules := filepath.Join(home, "node_modules")
	if err := errors.Join(
		os.Symlink(root, filepath.Join(home, "palisade")),
		os.Mkdir(modules, 0o755),
		os.Symlink(filepath.Join(have.openai, "node_modules", "openai"), filepath.Join(modules, "openai")),
		os.Symlink(filepath.Join(have.anthropic, "node_modules", "@anthropic-ai"), filepath.Join(modules, "@anthropic-ai")),
	); err != nil {
		t.Fatal(err)
	}
	return home
}

// environment is what a person's shell has. What Go has downloaded and compiled for the tests need not be downloaded, which
// nobody can in the walk's network, nor compiled again.
func environment(t *testing.T, home string) []string {
	t.Helper()
	cached, err := exec.CommandContext(t.Context(), "go", "env", "-json", "GOCACHE", "GOMODCACHE", "GOFLAGS", "CGO_ENABLED", "CGO_CFLAGS").Output()
	var caches map[string]string
	if err == nil {
		err = json.Unmarshal(cached, &caches)
	}
	if err != nil {
		t.Fatal(err)
	}
	env := []string{
		"HOME=" + home, "USER=root", "LANG=C.UTF-8", "TZ=UTC", "TERM=dumb", "SHELL=/bin/bash", "GOPROXY=off", "GONOSUMDB=*",
		"PATH=" + strings.Join([]string{filepath.Dir(have.palisade), have.engine, os.Getenv("PATH")}, ":"),
	}
	for name, value := range caches {
		env = append(env, name+"="+value)
	}
	return env
}
