package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// trainer counts its epochs in its checkpoint directory, whole or not at all, and goes on from the last that is there. It
// is slow to hear: an epoch under way when it is asked to end is finished first.
const trainer = `cd "$PALISADE_CHECKPOINT_DIR" && last=0
test -e epoch && last=$(cat epoch)
echo "run $PALISADE_RESTART_COUNT begins after epoch $last" >> /home/work/results/log
trap 'echo "asked to end" >> /home/work/results/log; ending=yes' TERM
while test $last -lt 1000000; do
	sleep 0.05
	last=$((last + 1))
	echo $last > epoch.new
	until (trap '' TERM; mv epoch.new epoch); do :; done # all processes of a session are asked to end
	echo "epoch $last" >> /home/work/results/log
	test -z "$ending" || exit 0
	test -e /home/work/results/fail && rm /home/work/results/fail && exit 9
	test -e /home/work/results/finish && exit 0
done`

// TestCheckpoints: no epoch that was finished is lost or done twice, whatever ends the run: a service that takes the
// accelerators, a failure, the owner, a crash of the daemon.
func TestCheckpoints(t *testing.T) {
	b := newBox(t)
	b.settings = []string{"--runtime", "process", "--simulate", "dgxh100"}
	b.start()
	dir := b.data("results")
	log := filepath.Join(dir, "log")
	b.folder("voices", strings.Replace(voices, "MODE", "recite", 1), map[string]string{"mkhello": have.mkhello})
	b.run("session", "create", "host", "--name", "train", "-v", "results", "-r", "cuda.device=8", "--preemptible", "--retries", "3", "-c", trainer)
	id := b.person("train").ID
	b.contains(log, "epoch 3\n")

	b.run("service", "create", "host", "voices", "1", "--name", "chat", "-r", "cuda.device=1", "--priority", "50", "--wait")
	b.contains(log, "asked to end\n")
	b.becomes("train", "PENDING")
	b.kill()
	b.start()
	b.run("service", "rm", "chat", "--wait")
	b.contains(log, "run 1 begins")
	b.becomes("train", "RUNNING")

	mark := func(name string) {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	mark("fail")
	b.contains(log, "run 2 begins")
	b.becomes("train", "RUNNING")
	b.run("session", "restart", "train")
	b.contains(log, "run 3 begins")
	b.becomes("train", "RUNNING")
	mark("finish")
	b.run("batch", "wait", id)

	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	last := 0
	for line := range strings.Lines(string(text)) {
		var n, run int
		switch line = strings.TrimSpace(line); {
		case line == "asked to end":
		case strings.HasPrefix(line, "run "):
			if _, err := fmt.Sscanf(line, "run %d begins after epoch %d", &run, &n); err != nil || n != last {
				t.Errorf("epoch %d was finished: %s", last, line)
			}
		default:
			if _, err := fmt.Sscanf(line, "epoch %d", &n); err != nil || n != last+1 {
				t.Errorf("epoch %d was finished: %s", last, line)
			}
			last = n
		}
	}
	kept := filepath.Join(b.dir, "checkpoints", id, "epoch")
	if text, err := os.ReadFile(kept); err != nil || strings.TrimSpace(string(text)) != fmt.Sprint(last) {
		t.Errorf("%q %v, and %d epochs were finished", text, err, last)
	}
	if history := b.run("session", "status-history", id); strings.Count(history, "RESTARTING") < 2 || !strings.Contains(history, "PREEMPTED") {
		t.Errorf("%s", history)
	}
}
