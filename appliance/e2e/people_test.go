package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type personView struct {
	ID, Name, Status, Reason, Result, Outcome string
	PID, Restarts                             int
	Exit                                      *struct {
		Reason, Message string
		Code            int
	}
}

func (b *box) person(ref string) personView {
	b.t.Helper()
	var v personView
	b.into(&v, "session", "info", ref)
	return v
}

// becomes waits until a person's session is in a status.
func (b *box) becomes(ref, status string) personView {
	b.t.Helper()
	var v personView
	if err := eventually(soon, func() error {
		if v = b.person(ref); v.Status != status {
			return fmt.Errorf("%s is %s, not %s: %s", ref, v.Status, status, v.Reason)
		}
		return nil
	}); err != nil {
		b.t.Fatal(err)
	}
	return v
}

// contains waits until a file of the box has a text.
func (b *box) contains(file, text string) {
	b.t.Helper()
	if err := eventually(soon, func() error {
		got, err := os.ReadFile(file)
		if err == nil && !strings.Contains(string(got), text) {
			err = fmt.Errorf("%s has %q, not %q", file, got, text)
		}
		return err
	}); err != nil {
		b.t.Fatal(err)
	}
}

// data makes a folder for sessions and returns its directory.
func (b *box) data(name string) string {
	b.t.Helper()
	dir := filepath.Join(b.models, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		b.t.Fatal(err)
	}
	b.run("folder", "import", dir, "--name", name)
	return dir
}

// TestBatch: what a job comes to is its exit code, its result, and what it left in its folder.
func TestBatch(t *testing.T) {
	b := newBox(t)
	b.settings = []string{"--runtime", "process"}
	b.start()
	dir := b.data("results")
	b.run("session", "create", "host", "--name", "train", "-v", "results", "-e", "LR=0.1",
		"-c", `echo epoch 1; echo "$LR $BACKENDAI_SESSION_NAME $BACKENDAI_CLUSTER_HOSTS $PWD" > results/model`, "--wait")
	b.contains(filepath.Join(dir, "model"), "0.1 train main1 /home/work\n")
	if v := b.person("train"); v.Result != "success" || v.Outcome != "task-finished" || v.Exit.Code != 0 {
		t.Errorf("%+v", v)
	}
	if log := b.run("session", "logs", "train"); log != "epoch 1" {
		t.Errorf("its log: %q", log)
	}

	b.fails(7, []string{"session broken", "no data", "palisade session logs"}, "session", "create", "host", "--name", "broken", "-c", "echo no data >&2; exit 7", "--wait")
	if v := b.person("broken"); v.Result != "failure" || v.Outcome != "task-failed" || v.Exit.Code != 7 {
		t.Errorf("%+v", v)
	}
	if info := b.run("session", "info", "broken"); !strings.Contains(info, "no data") || !strings.Contains(info, "task-failed") {
		t.Errorf("session info:\n%s", info)
	}
	b.fails(124, []string{"its timeout of 1s"}, "session", "create", "host", "--name", "slow", "-c", "exec sleep 1000", "--timeout", "1s", "--wait")
	if v := b.person("slow"); v.Outcome != "task-timeout" || v.Exit.Code != -2 || v.Exit.Reason != "timed-out" {
		t.Errorf("%+v", v)
	}
	b.fails(127, []string{"not found"}, "session", "create", "host", "--name", "misspelt", "-c", "pyhton train.py", "--wait")
	b.fails(137, []string{"emory"}, "session", "create", "host", "--name", "greedy", "-r", "mem=64m", "--resource-opts", "shmem=1m",
		"-c", `exec tail /dev/zero`, "--wait")
	if v := b.person("greedy"); v.Exit.Reason != "out-of-memory" {
		t.Errorf("%+v", v.Exit)
	}

	t.Run("a run that failed is followed by another", func(t *testing.T) {
		b.run("session", "create", "host", "--name", "flaky", "-v", "results", "--retries", "2",
			"-c", `echo run $PALISADE_RESTART_COUNT >> results/runs; test "$PALISADE_RESTART_COUNT" = 1`, "--wait")
		if text, err := os.ReadFile(filepath.Join(dir, "runs")); err != nil || string(text) != "run 0\nrun 1\n" {
			t.Errorf("%q %v", text, err)
		}
		b.run("session", "create", "host", "--name", "wordy", "--retries", "1", "-c",
			`echo this is run $PALISADE_RESTART_COUNT; test $PALISADE_RESTART_COUNT = 1`, "--wait")
		if earlier := b.run("session", "logs", "wordy", "--earlier"); earlier != "[palisade: run 1]\nthis is run 0" {
			t.Errorf("%q", earlier)
		}
	})
	t.Run("an array", func(t *testing.T) {
		out := b.run("session", "create", "host", "--name", "sweep", "-v", "results", "--array", "1-4%2",
			"-c", `echo $PALISADE_ARRAY_INDEX > results/step-$PALISADE_ARRAY_INDEX`, "--wait", "-q")
		if strings.Count(out, "success") != 4 {
			t.Errorf("%s", out)
		}
		for i := range 4 {
			b.contains(filepath.Join(dir, fmt.Sprintf("step-%d", i+1)), fmt.Sprint(i+1))
		}
	})
}

// TestPipelineOfJobs: one waits for another, across a crash of the daemon; one that waits for a failed one says so.
func TestPipelineOfJobs(t *testing.T) {
	b := newBox(t)
	b.settings = []string{"--runtime", "process"}
	b.start()
	dir := b.data("results")
	gate := filepath.Join(dir, "gate")
	b.run("session", "create", "host", "--name", "prepare", "-v", "results", "-c", "until test -e results/gate; do sleep 0.05; done; echo prepared > results/step")
	b.run("session", "create", "host", "--name", "train", "-v", "results:/data", "--depends", "prepare", "-c", "cat /data/step && exit 3")
	b.run("session", "create", "host", "--name", "report", "--depends", "train", "-c", "true")
	b.becomes("prepare", "RUNNING")
	if v := b.person("train"); v.Status != "PENDING" || !strings.Contains(v.Reason, "prepare") {
		t.Errorf("%+v", v)
	}
	b.kill()
	b.start()
	b.becomes("prepare", "RUNNING")
	b.fails(1, []string{"in use", "session prepare"}, "folder", "rm", "results")
	if err := os.WriteFile(gate, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	b.fails(3, []string{"prepared"}, "batch", "wait", "train")
	if err := eventually(soon, func() error {
		if v := b.person("report"); v.Status != "PENDING" || !strings.Contains(v.Reason, "waits for train, which has failed") {
			return fmt.Errorf("%+v", v)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	// An end that nobody watched is seen all the same.
	b.run("session", "create", "host", "--name", "unwatched", "-v", "results", "-c", "until test -e results/second; do sleep 0.05; done; echo done; exit 5")
	b.becomes("unwatched", "RUNNING")
	b.kill()
	if err := os.WriteFile(filepath.Join(dir, "second"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	b.start()
	b.fails(5, []string{"done"}, "batch", "wait", "unwatched")
	b.run("session", "rm", "report")
	b.becomes("report", "CANCELLED")
}

// TestShell: an interactive session outlives the daemon, is renamed, started again, and ends when its owner says so.
func TestShell(t *testing.T) {
	b := newBox(t)
	b.settings = []string{"--runtime", "process"}
	b.start()
	b.data("results")
	b.run("session", "create", "host", "--name", "desk", "-v", "results:/home/work/results:ro", "-r", "cpu=1", "-r", "mem=256m", "--wait")
	before := b.person("desk")
	if ps := b.run("ps"); !strings.Contains(ps, "desk") || !strings.Contains(ps, "interactive") || !strings.Contains(ps, "cpu=1") {
		t.Errorf("ps:\n%s", ps)
	}
	b.kill()
	b.start()
	after := b.becomes("desk", "RUNNING")
	if after.ID != before.ID || after.PID != before.PID || after.PID == 0 {
		t.Errorf("it was %+v and is %+v", before, after)
	}
	b.restart() // the next daemon takes over while this one lives
	if v := b.becomes("desk", "RUNNING"); v.PID != before.PID {
		t.Errorf("it was %+v and is %+v", before, v)
	}
	b.fails(1, []string{"exists already"}, "session", "create", "host", "--name", "desk")
	b.run("session", "rename", "desk", "workbench")
	b.run("session", "set-priority", "workbench", "70")
	b.run("session", "restart", "workbench")
	if err := eventually(soon, func() error {
		if v := b.person("workbench"); v.Status != "RUNNING" || v.PID == before.PID || v.ID != before.ID || v.Restarts != 1 {
			return fmt.Errorf("%+v", v)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	b.run("session", "rm", "workbench")
	if v := b.becomes(before.ID, "TERMINATED"); v.Result != "undefined" {
		t.Errorf("%+v", v)
	}
	b.run("session", "create", "host", "--name", "desk", "--wait") // its name is free again
}

// TestGivesWay: a job that may be preempted gives its accelerators to a service that needs them, with the time to write
// where it is, and goes on from there under the same id.
func TestGivesWay(t *testing.T) {
	b := newBox(t)
	b.settings = []string{"--runtime", "process", "--simulate", "dgxh100"}
	b.start()
	dir := b.data("results")
	b.folder("voices", strings.Replace(voices, "MODE", "recite", 1), map[string]string{"mkhello": have.mkhello})
	b.run("session", "create", "host", "--name", "train", "-v", "results", "-r", "cuda.device=8", "--preemptible", "-c",
		`trap 'echo saved $PALISADE_RESTART_COUNT >> results/log; exit 0' TERM
		echo began $PALISADE_RESTART_COUNT >> results/log
		until test -e results/gate; do sleep 0.05; done; echo finished >> results/log`)
	log := filepath.Join(dir, "log")
	b.contains(log, "began 0\n")
	id := b.person("train").ID
	b.run("service", "create", "host", "voices", "1", "--name", "chat", "-r", "cuda.device=1", "--priority", "50", "--wait")
	b.contains(log, "began 0\nsaved 0\n")
	waiting := b.becomes("train", "PENDING")
	if waiting.ID != id || !strings.Contains(waiting.Reason, "8 cuda.device") {
		t.Errorf("%+v", waiting)
	}
	b.kill() // it is in the queue after a crash, too
	b.start()
	b.becomes("train", "PENDING")
	b.run("service", "rm", "chat", "--wait")
	b.contains(log, "began 0\nsaved 0\nbegan 1\n")
	if err := os.WriteFile(filepath.Join(dir, "gate"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	b.run("batch", "wait", id)
	b.contains(log, "began 1\nfinished\n")
	history := b.run("session", "status-history", id)
	for _, word := range []string{"PREEMPTED", "chat"} {
		if !strings.Contains(history, word) {
			t.Errorf("its history does not say %s:\n%s", word, history)
		}
	}
}

// TestPeopleInContainers: the same in containers, of an image that has no bash.
func TestPeopleInContainers(t *testing.T) {
	b := containerBox(t)
	dir := b.data("results")
	b.run("session", "create", "engine:1", "--name", "train", "-v", "results", "-r", "mem=128m", "-c", `echo "$HOME $PWD" > results/model`, "--wait")
	b.contains(filepath.Join(dir, "model"), "/home/work /home/work\n")
	b.fails(7, []string{"no data"}, "session", "create", "engine:1", "-c", "echo no data; exit 7", "--wait")
	b.fails(124, []string{"timeout of 1s"}, "session", "create", "engine:1", "-c", "sleep 1000", "--timeout", "1s", "--wait")
	b.run("session", "create", "engine:1", "--name", "desk", "--wait")
	before := b.person("desk")
	b.kill()
	b.start()
	if after := b.becomes("desk", "RUNNING"); after.PID != before.PID {
		t.Errorf("it was %+v and is %+v", before, after)
	}
	b.run("session", "restart", "desk")
	if err := eventually(soon, func() error {
		if v := b.person("desk"); v.Status != "RUNNING" || v.PID == before.PID || v.Restarts != 1 {
			return fmt.Errorf("%+v", v)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	b.run("session", "rm", "desk")
	b.becomes(before.ID, "TERMINATED")
}
