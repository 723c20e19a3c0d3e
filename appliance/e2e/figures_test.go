package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFigures: what a job writes of itself is seen while it runs, over a crash of the daemon, and when it has ended; what a
// session puts there to have the daemon read something else, or never come back, is refused.
func TestFigures(t *testing.T) {
	b := newBox(t)
	b.settings = []string{"--runtime", "process"}
	b.start()
	dir := b.data("results")
	b.run("session", "create", "host", "--name", "train", "-v", "results", "-c", `step=0
while test ! -e /home/work/results/finish; do
	step=$((step + 1))
	printf '{"step": %d, "loss": %d, "grad": NaN}\n' $step $((1000 - step)) >> "$PALISADE_METRICS"
	echo $step >> /home/work/results/log
	sleep 0.1
done
printf '{"step": 100000, "loss": -1}\n{"step": 1000' >> "$PALISADE_METRICS"`)
	b.contains(filepath.Join(dir, "log"), "3\n")
	if table := b.run("session", "metrics", "train"); !strings.Contains(table, "STEP") || !strings.Contains(table, "grad  NaN") {
		t.Errorf("%s", table)
	}
	b.kill()
	b.start()
	followed := make(chan string, 1)
	go func() {
		out, _, _ := b.cli("session", "metrics", "train", "loss", "--follow", "--csv")
		followed <- out
	}()
	if err := os.WriteFile(filepath.Join(dir, "finish"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	b.becomes("train", "TERMINATED")
	if rows := <-followed; !strings.Contains(rows, "\nloss,1,,1,999,999,999\n") || !strings.HasSuffix(rows, "\nloss,100000,,1,-1,-1,-1\n") {
		t.Errorf("%s", rows)
	}
	if plot := b.run("session", "metrics", "train", "loss", "--plot"); !strings.Contains(plot, "999 |*") || !strings.Contains(plot, "100000") {
		t.Errorf("%s", plot)
	}

	b.run("session", "create", "host", "--name", "sly", "-c", "exec sleep 1000")
	b.becomes("sly", "RUNNING")
	b.run("session", "exec", "sly", "--", "sh", "-c", `mkfifo "$PALISADE_METRICS"`)
	b.fails(1, []string{"is no file but a directory, a pipe or a device"}, "session", "metrics", "sly")
	b.run("session", "exec", "sly", "--", "sh", "-c", `ln -sf /etc/passwd "$PALISADE_METRICS"`)
	b.fails(1, []string{"a link that leads out of its directory"}, "session", "metrics", "sly", "--follow")
	b.run("session", "exec", "sly", "--", "sh", "-c", `rm "$PALISADE_METRICS"; truncate -s 3G "$PALISADE_METRICS"; printf '\n{"loss": 5}\n' >> "$PALISADE_METRICS"`)
	if table := b.run("session", "metrics", "sly"); !strings.Contains(table, "loss  5") {
		t.Errorf("%s", table)
	}
}
