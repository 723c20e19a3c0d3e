package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// anywhere is an engine over a model's file.
const anywhere = `
models:
  - name: speaker
    service:
      start_command: [llama-server, --model, /models/model.gguf, --alias, "{model_name}", --host, 0.0.0.0, --port, "{ports[0]}",
        --ctx-size, "8192", --parallel, "8", --threads, "1", --threads-batch, "1", --metrics]
      port: 8000
      health_check: {path: /health, interval: 1, max_retries: 3, max_wait_time: 5, initial_delay: 30}
`

// trees are the folders of other boxes that a box has: ID@VERSION.
func (b *box) trees() (names []string) {
	b.t.Helper()
	entries, err := os.ReadDir(filepath.Join(b.dir, "goods", "trees"))
	if err != nil {
		b.t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

// TestModelsGoWhereTheyRun: what is on one box runs on the others, which bring it, once; files are reached from each; who writes
// to a folder runs where it has its home; and what was brought outlives its home.
func TestModelsGoWhereTheyRun(t *testing.T) {
	boxes := newBoxes(t, "one", "two", "three")
	one, two := boxes["one"], boxes["two"]
	work := t.TempDir()
	model := filepath.Join(work, "model.gguf")
	if out, err := exec.CommandContext(t.Context(), have.mkhello, "-o", model, "-answer", "I am everywhere, and this is my voice.").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.WriteFile(filepath.Join(work, "model-definition.yaml"), []byte(anywhere), 0o644); err != nil {
		t.Fatal(err)
	}

	// Its home is the box that decides, whoever was asked.
	two.run("folder", "create", "speaker")
	two.run("folder", "cp", model, "speaker:")
	two.run("folder", "cp", filepath.Join(work, "model-definition.yaml"), "speaker:")
	var f struct{ Folder struct{ ID, Path string } }
	two.into(&f, "folder", "info", "speaker")
	if !strings.HasPrefix(f.Folder.Path, one.dir) {
		t.Fatalf("it is at %s", f.Folder.Path)
	}
	two.run("service", "create", "host", "speaker", "3", "--name", "speaker", "-r", "cpu=0.1", "--wait")
	token := two.run("service", "generate-token", "speaker", "--duration", "1h", "-q")
	for name, b := range boxes {
		if err := eventually(soon, func() error {
			text, err := say(t.Context(), b.client(token), "speaker", 50, nil)
			if err == nil && text != "I am everywhere, and this is my voice." {
				err = stop{fmt.Errorf("it says %q", text)}
			}
			return err
		}); err != nil {
			t.Error(name, err)
		}
		if has := b.trees(); name == "one" && len(has) > 0 || name != "one" && (len(has) != 1 || !strings.HasPrefix(has[0], f.Folder.ID+"@")) {
			t.Errorf("%s has %q of other boxes", name, has)
		}
	}

	// A job that writes to a folder runs where that is; there are three boxes, and the queue would rather use another one.
	two.run("folder", "create", "results")
	for i := range 3 {
		name := fmt.Sprintf("job-%d", i)
		two.run("session", "create", "host", "--name", name, "-v", "results:/home/work/results", "-r", "cpu=0.1", "-c", "echo "+name+" > /home/work/results/"+name, "--wait")
	}
	if out := two.run("folder", "ls", "results", "-q"); !strings.Contains(out, "job-0") || !strings.Contains(out, "job-2") {
		t.Errorf("the jobs have left %q", out)
	}

	// Another box decides: files are where they were, and are reached from there.
	one.run("folder", "cp", model, "results:")
	one.kill()
	two.settled("another one decides", func(s clusterStatus) bool {
		return s.Leader != "one" && s.Leader != "" && !slices.Contains(s.alive(), "one")
	})
	one.start()
	two.settled("all are there, and another one decides", func(s clusterStatus) bool { return len(s.alive()) == 3 && s.Leader != "one" && s.Leader != "" })
	if err := eventually(soon, func() error {
		out, errText, code := two.cli("folder", "ls", "results", "-q")
		if code != 0 || !strings.Contains(out, "model.gguf") {
			return errors.New(out + errText)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	two.run("folder", "cp", "results:model.gguf", filepath.Join(work, "back"))
	was, err := os.ReadFile(model)
	back, err2 := os.ReadFile(filepath.Join(work, "back"))
	if err = errors.Join(err, err2); err != nil || string(was) != string(back) {
		t.Errorf("%d bytes of %d, %v", len(back), len(was), err)
	}
	two.run("folder", "cp", model, "results:again/")
	two.run("folder", "rm", "results", "-y")

	// The new one makes a service of a model that it does not have, as far as it has seen.
	two.run("service", "create", "host", "speaker", "1", "--name", "second", "-r", "cpu=0.1", "--wait")

	// The home is gone: what others have of it goes on, and begins anew.
	one.kill()
	after := two.settled("the home is gone", func(s clusterStatus) bool { return !slices.Contains(s.alive(), "one") && s.Leader != "" })
	if err := eventually(90*time.Second, func() error {
		out, errText, code := two.cli("service", "info", "speaker", "--output", "json")
		var v serviceView
		if code != 0 || json.Unmarshal([]byte(out), &v) != nil || v.Status != "HEALTHY" || len(v.Routes) != 3 {
			return fmt.Errorf("not whole: %s %s", out, errText)
		}
		return nil
	}); err != nil {
		t.Error(after.Leader, err)
	}
	if text, err := say(t.Context(), two.client(token), "speaker", 50, nil); err != nil || text != "I am everywhere, and this is my voice." {
		t.Errorf("%q, %v", text, err)
	}
	one.start()
	two.settled("the home is back", func(s clusterStatus) bool { return len(s.alive()) == 3 })
	two.run("service", "rm", "speaker")
	two.run("service", "rm", "second")
	if err := eventually(60*time.Second, func() error {
		if out, _, _ := two.cli("service", "list", "-q"); out != "" {
			return errors.New(out)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}
