package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The whole of Palisade: a daemon with its store, its process runtime and a service whose four sessions are engines of
// ours. Only the daemon's own process is measured. Its engines have networks of their own, which costs it something that
// the others have not.

const definition = `models:
  - name: bench
    service:
      start_command: [/models/bench, engine, -addr, "0.0.0.0:8000"%s]
      port: 8000
      health_check: {path: /health, interval: 5, initial_delay: 10}
`

func (b *bench) startDaemon(ctx context.Context, p peer) (*target, error) {
	if !runs(b.palisade) {
		return nil, fmt.Errorf("%s is not there: make build", b.palisade)
	}
	listen, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(b.dir, "d")
	if err != nil {
		return nil, err
	}
	folder := filepath.Join(dir, "model")
	if err := b.writeModel(folder); err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	run, err := b.yard.start(command{
		name: p.name, cores: &b.machine.proxy,
		args: []string{b.palisade, "serve", "--data", data, "--listen", listen, "--runtime", "process", "--log-level", "warn"},
	})
	if err != nil {
		return nil, err
	}
	run.only = true
	tell := func(ctx context.Context, args ...string) (string, error) {
		cmd := exec.CommandContext(ctx, b.palisade, append([]string{"--data", data}, args...)...)
		var words strings.Builder
		cmd.Stderr = &words
		out, err := cmd.Output()
		if err != nil {
			return "", fmt.Errorf("palisade %s: %w: %s", args[0], err, words.String())
		}
		return strings.TrimSpace(string(out)), nil
	}
	t := &target{peer: p, addr: listen, process: run, end: func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		if _, err := tell(end, "service", "rm", modelName, "--wait", "-q"); err != nil {
			b.log.Error("its sessions may still run", "err", err)
		}
		run.stop(unix.SIGTERM)
	}}
	err = run.ready(ctx, "http://"+listen+"/readyz")
	for _, args := range [][]string{
		{"folder", "import", folder, "--name", modelName, "-q"},
		{"service", "create", "host", modelName, fmt.Sprint(engineCount), "--runtime-variant", "custom", "--name", modelName, "--wait", "--timeout", "1m", "-q"},
	} {
		if err == nil {
			_, err = tell(ctx, args...)
		}
	}
	if err == nil {
		t.token, err = tell(ctx, "service", "generate-token", modelName, "--duration", "1d", "--name", modelName, "-q")
	}
	if err != nil {
		t.end()
		return nil, errors.Join(err, errors.New(run.lastWords()))
	}
	b.moveEngines(run)
	return t, nil
}

// writeModel makes a model folder whose model is this program.
func (b *bench) writeModel(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	program, err := os.ReadFile(b.self)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, "bench"), program, 0o755); err != nil { //nolint:gosec // the folder is one that we have made
		return err
	}
	var flags strings.Builder
	for _, f := range b.flags {
		fmt.Fprintf(&flags, ", %q", f)
	}
	return os.WriteFile(filepath.Join(folder, "model-definition.yaml"), fmt.Appendf(nil, definition, flags.String()), 0o644)
}

// moveEngines takes what the daemon has started off the daemon's core, and gives it the priority that all have.
func (b *bench) moveEngines(daemon *process) {
	for _, pid := range tree(daemon.cmd.Process.Pid)[1:] {
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
		for _, t := range threads {
			var id int
			if _, err := fmt.Sscan(filepath.Base(t), &id); err == nil {
				_ = unix.SchedSetaffinity(id, &b.machine.rest)
			}
		}
	}
}
