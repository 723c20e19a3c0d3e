package main

import (
	"log/slog"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestTheMeterReadsOneProcess runs a program that is known to work and one that is known to rest.
func TestTheMeterReadsOneProcess(t *testing.T) {
	m := &machine{}
	if err := unix.SchedGetaffinity(0, &m.rest); err != nil {
		t.Fatal(err)
	}
	y := newYard(m, t.TempDir(), 0)
	defer y.stopAll()
	busy, err := y.start(command{name: "busy", args: []string{"/bin/sh", "-c", "while :; do :; done"}, cores: &m.rest})
	if err != nil {
		t.Fatal(err)
	}
	rests, err := y.start(command{name: "rests", args: []string{"/bin/sleep", "100"}, cores: &m.rest})
	if err != nil {
		t.Fatal(err)
	}
	for begun := time.Now(); busy.cpu() < .1; pause(t.Context(), 10*time.Millisecond) {
		if time.Since(begun) > time.Minute {
			t.Fatal("a program that does nothing but work has not worked for a tenth of a second in a minute")
		}
	}
	if cpu := rests.cpu(); cpu > .05 {
		t.Errorf("a program that sleeps has worked for %v s", cpu)
	}
	if all := y.cpu(); all < busy.cpu()-.05 {
		t.Errorf("all together have worked for %v s, one alone for %v", all, busy.cpu())
	}
	if kib := busy.memory(); kib < 50 || kib > 100<<10 {
		t.Errorf("a shell holds %v KiB", kib)
	}
	pid := busy.cmd.Process.Pid
	busy.stop(unix.SIGTERM)
	if cpuOf(pid) != 0 || y.cpu() < .1 {
		t.Errorf("what has ended still works, or is forgotten: %v, all %v", cpuOf(pid), y.cpu())
	}
}

func TestASecondRunWaitsForTheFirst(t *testing.T) {
	dir, log := t.TempDir(), slog.New(slog.DiscardHandler)
	unlock, err := lock(t.Context(), dir, log)
	if err != nil {
		t.Fatal(err)
	}
	second := make(chan error, 1)
	go func() {
		unlock, err := lock(t.Context(), dir, log)
		if err == nil {
			unlock()
		}
		second <- err
	}()
	select {
	case err := <-second:
		t.Fatalf("both have the lock: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	unlock()
	if err := <-second; err != nil {
		t.Error(err)
	}
}
