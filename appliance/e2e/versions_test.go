package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// steps of the schema that the next program knows: one beside which this one works on, and one that it cannot work with.
const (
	expands   = "-- +goose Up\nCREATE TABLE tried (id TEXT NOT NULL PRIMARY KEY);\nALTER TABLE folders ADD COLUMN tried TEXT NOT NULL DEFAULT '';\n"
	contracts = "-- +goose Up\n-- Contracts: programs before the step before it.\nALTER TABLE tried ADD COLUMN more BIGINT;\n"
)

// nextProgram builds this source with two more steps of the schema, under another version, and returns it with what both know.
func nextProgram(t *testing.T) (program string, known, next int) {
	t.Helper()
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("/var/tmp", "pal-next-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	files, err := filepath.Glob(filepath.Join(root, "appliance/store/migrations/*.sql"))
	if err != nil || len(files) == 0 {
		t.Fatal("no migrations: ", err)
	}
	if _, err := fmt.Sscanf(filepath.Base(files[len(files)-1]), "%05d_", &known); err != nil {
		t.Fatal(err)
	}
	overlay := map[string]map[string]string{"Replace": {}}
	for i, text := range []string{expands, contracts} {
		file := filepath.Join(dir, fmt.Sprint(i, ".sql"))
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		overlay["Replace"][filepath.Join(root, "appliance/store/migrations", fmt.Sprintf("%05d_tried%d.sql", known+1+i, i))] = file
	}
	text, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	program = filepath.Join(dir, "palisade")
	if _, err := output(root, "go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-ldflags", "-X main.linked=99.1.0", "-o", program, "./appliance/cmd/palisade"); err != nil {
		t.Fatal(err)
	}
	return program, known, known + 2
}

// become stops a box, and starts it with another program.
func (b *box) become(program string) {
	b.t.Helper()
	b.stop()
	b.program = program
	b.start()
}

// refusedBy is a start with a program that cannot use the data, and says so.
func (b *box) refusedBy(program string, words ...string) {
	b.t.Helper()
	now := b.program
	b.program = program
	err := b.launch()
	b.program = now
	if err == nil {
		b.t.Fatalf("%s started", program)
	}
	for _, w := range words {
		if !strings.Contains(b.log.String(), w) {
			b.t.Errorf("%q is not said: %s", w, tail(b.log, 5))
		}
	}
}

// schema is the version of the rows.
func (b *box) schema(dsn ...string) int {
	b.t.Helper()
	var status struct{ Version int }
	b.into(&status, append([]string{"database", "status"}, dsn...)...)
	return status.Version
}

// TestChangeOfVersion replaces the programs of three boxes, one at a time, while others are asked: old and new work together, an old one that
// starts again too, what the old one cannot work with waits for the last box, and then the old one is refused.
func TestChangeOfVersion(t *testing.T) {
	next, known, newest := nextProgram(t)
	boxes := newBoxes(t, "one", "two", "three")
	one, two, three := boxes["one"], boxes["two"], boxes["three"]
	dsn := []string{"--database", one.settings[slices.Index(one.settings, "--database")+1]}
	one.folder("voices", strings.Replace(voices, "MODE", "recite", 1), map[string]string{"mkhello": have.mkhello})
	one.run("service", "create", "host", "voices", "3", "--name", "voices", "-r", "cpu=0.1", "--wait")
	token := one.run("service", "generate-token", "voices", "--duration", "1h", "-q")
	settle := func() {
		t.Helper()
		for _, b := range boxes {
			b.settled("all are there, and one decides", func(s clusterStatus) bool { return len(s.alive()) == len(boxes) && s.Leader != "" })
			if err := eventually(60*time.Second, func() error {
				_, err := say(t.Context(), b.client(token), "voices", 4, nil)
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
	// whileAsking changes one box while the other one is asked.
	whileAsking := func(what string, other *box, change func()) {
		t.Helper()
		asker := other.keepAsking(t.Context(), token, "voices")
		change()
		settle()
		asker.stop()
		if asker.failed.Load() > 0 || asker.asked.Load() == 0 {
			t.Errorf("%s: %d of %d requests failed: %v", what, asker.failed.Load(), asker.asked.Load(), asker.reasons())
		}
	}
	settle()
	whileAsking("a new program beside old ones", one, func() { three.become(next) })
	if v := one.schema(dsn...); v != known+1 {
		t.Errorf("the schema is of version %d, want %d: only what expands", v, known+1)
	}
	one.run("project", "create", "lab")
	if out := two.run("cluster", "status"); !strings.Contains(out, fmt.Sprintf("step %d waits: ", newest)) || !strings.Contains(out, "one runs palisade") || !strings.Contains(out, "different programs") {
		t.Error(out)
	}
	whileAsking("an old program starts again", one, func() { two.become(two.program) })
	whileAsking("back to the old one", one, func() { three.become(two.program) })
	whileAsking("the new one again", one, func() { three.become(next) })
	whileAsking("the second one", three, func() { two.become(next) })
	if v := one.schema(dsn...); v != known+1 {
		t.Errorf("the schema is of version %d, want %d", v, known+1)
	}
	whileAsking("the last one, which decided", two, func() { one.become(next) })
	if err := eventually(60*time.Second, func() error {
		if v := one.schema(dsn...); v != newest {
			return fmt.Errorf("the schema is of version %d, want %d", v, newest)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if out := two.run("cluster", "status"); strings.Contains(out, "waits:") || strings.Contains(out, "different programs") {
		t.Error(out)
	}
	settle()
	one.stop()
	one.refusedBy(have.palisade, "data of a newer version", fmt.Sprintf("the data is of version %d, this palisade knows up to %d; nothing was changed", newest, known), "start the palisade that wrote it")
	one.start()
	settle()
}

// TestTwoProgramsOnOneDirectory: of one box the newer program takes all steps at once, and the older one is refused from then on.
func TestTwoProgramsOnOneDirectory(t *testing.T) {
	next, known, newest := nextProgram(t)
	b := newBox(t)
	b.start()
	b.run("project", "create", "lab")
	b.become(next)
	if v := b.schema(); v != newest {
		t.Errorf("the schema is of version %d, want %d", v, newest)
	}
	b.stop()
	b.refusedBy(have.palisade, fmt.Sprintf("the data is of version %d, this palisade knows up to %d; nothing was changed", newest, known))
	b.start()
	if out := b.run("project", "list", "-q"); !strings.Contains(out, "lab") {
		t.Error(out)
	}
}
