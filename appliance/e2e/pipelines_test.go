package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

type jobView struct {
	ID, Name, Status, Reason string
	Tasks                    []struct {
		Name, Status, Reason, Outputs string
		SessionID                     string `json:"session_id"`
		CachedFrom                    string `json:"cached_from"`
		Attempt, Revision             int
		ExitCode                      *int `json:"exit_code"`
	}
	Notifications []struct {
		Event, Fault string
		SentAt       *time.Time `json:"sent_at"`
	}
}

func (j jobView) String() string {
	words := []string{j.Name, j.Status}
	for _, t := range j.Tasks {
		words = append(words, t.Name+"="+t.Status)
	}
	return strings.Join(words, " ") + ": " + j.Reason
}

func (b *box) job(ref string) jobView {
	b.t.Helper()
	var v jobView
	b.into(&v, "pipeline", "job", ref)
	return v
}

// jobBecomes waits until a job is as wanted: its status, then its tasks'.
func (b *box) jobBecomes(ref, wanted string) jobView {
	b.t.Helper()
	var v jobView
	if err := eventually(60*time.Second, func() error {
		if v = b.job(ref); !strings.Contains(v.String(), wanted) {
			return fmt.Errorf("%s is not %s", v, wanted)
		}
		return nil
	}); err != nil {
		b.t.Fatal(err)
	}
	return v
}

// runs waits until a task's session runs, and returns its id.
func (b *box) runs(ref string, task int) (id string) {
	b.t.Helper()
	if err := eventually(soon, func() error {
		j := b.job(ref)
		if id = j.Tasks[task].SessionID; id == "" || b.person(id).Status != "RUNNING" {
			return fmt.Errorf("its session does not run: %s", j)
		}
		return nil
	}); err != nil {
		b.t.Fatal(err)
	}
	return id
}

// file writes a file below the box's directory of models.
func (b *box) file(name, text string) string {
	b.t.Helper()
	path := filepath.Join(b.models, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		b.t.Fatal(err)
	}
	return path
}

const diamond = `
version: 1
name: diamond
parameters: {code: 0}
defaults: {image: host, mounts: [gates]}
tasks:
  - name: top
    command: |
      echo from top > /pipeline/outputs/word
      echo $PALISADE_PIPELINE_JOB $PALISADE_PIPELINE_TASK $PALISADE_PIPELINE_INPUTS
  - name: left
    depends_on: [top]
    command: |
      cat /pipeline/input1/word && echo left >> /pipeline/outputs/word
      test -e gates/mended || exit 7
  - name: right
    depends_on: [top]
    matrix: {n: [1, 2]}
    command: |
      until test -e gates/open; do sleep 0.05; done
      echo "${{ matrix.n }} $(cat ${{ inputs.top }}/word)" > /pipeline/outputs/word; ! touch /pipeline/input1/mine 2>/dev/null
  - name: bottom
    depends_on: [left, right]
    command: cat /pipeline/input1/word /pipeline/input2/right-1/word /pipeline/input2/right-2/word > /pipeline/outputs/word
`

// TestPipelines: a branch that fails stops what depends on it and nothing else; the daemon is killed meanwhile; resume goes on
// where it failed; what has not changed is not run again; whoever wants to know is told.
func TestPipelines(t *testing.T) {
	var told []map[string]any
	var mu sync.Mutex
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var message map[string]any
		raw, _ := io.ReadAll(r.Body)
		_ = json.Unmarshal(raw, &message)
		mu.Lock()
		defer mu.Unlock()
		told = append(told, message)
	}))
	defer hook.Close()
	b := newBox(t)
	b.settings = []string{"--runtime", "process"}
	b.env = append(b.env, "PALISADE_WEBHOOK_TEST="+hook.URL+"/secret-path")
	b.start()
	b.data("gates")
	file := b.file("diamond.yaml", diamond+"notifications: [{url_env: PALISADE_WEBHOOK_TEST, on: [failure, recovery]}]\n")
	if out := b.run("pipeline", "validate", file); !strings.Contains(out, " top\n├─● left") {
		t.Errorf("%s", out)
	}
	b.fails(1, []string{"nowhere", ":4:", "tasks[0].mounts[0]"}, "pipeline", "run", b.file("bad.yaml", "version: 1\nname: bad\ntasks:\n  - {name: a, image: host, command: x, mounts: [nowhere]}\n"))
	b.fails(1, []string{"a circle: a waits for b waits for a", "bad.yaml:4:"}, "pipeline", "validate", b.file("bad.yaml", "version: 1\nname: bad\ntasks:\n  - {name: a, image: host, command: x, depends_on: [b]}\n  - {name: b, image: host, command: x, depends_on: [a]}\n"))
	b.fails(1, []string{"there is no such parameter"}, "pipeline", "run", file, "-p", "cod=1")

	if name := b.run("pipeline", "run", file, "-q"); name != "diamond.1" {
		t.Fatalf("%q", name)
	}
	failed := b.jobBecomes("diamond.1", "RUNNING top=SUCCEEDED left=FAILED right-1=RUNNING right-2=RUNNING bottom=SKIPPED")
	if left := failed.Tasks[1]; left.ExitCode == nil || *left.ExitCode != 7 {
		t.Errorf("%+v", left)
	}
	sessions := b.runs("diamond.1", 2)
	b.kill()
	b.start()
	if now := b.jobBecomes("diamond", "right-1=RUNNING"); now.Tasks[2].SessionID != sessions {
		t.Errorf("another session runs after the daemon was killed: %+v", now)
	}
	b.fails(1, []string{"RUNNING"}, "pipeline", "rm", "diamond.1")
	b.kill() // what ends now is seen by the next daemon
	b.file("gates/open", "")
	b.start()
	b.fails(1, []string{"left failed", "exit code 7", "from top", "palisade pipeline resume diamond.1"}, "pipeline", "job", "diamond.1", "--wait")
	b.jobBecomes("diamond.1", "FAILED top=SUCCEEDED left=FAILED right-1=SUCCEEDED right-2=SUCCEEDED bottom=SKIPPED")
	if log := b.run("pipeline", "logs", "diamond.1", "top"); log != "diamond.1 top" {
		t.Errorf("%q", log)
	}
	if drawn := b.run("pipeline", "graph", "diamond.1"); !strings.Contains(drawn, "left FAILED") || !strings.Contains(b.run("pipeline", "graph", "diamond.1", "--svg"), "</svg>") {
		t.Errorf("%s", drawn)
	}

	b.file("gates/mended", "")
	b.run("pipeline", "resume", "diamond.1", "--wait")
	done := b.jobBecomes("diamond.1", "SUCCEEDED")
	if done.Tasks[1].Attempt != 2 || done.Tasks[0].Attempt != 1 || done.Tasks[2].SessionID != sessions {
		t.Errorf("%+v", done.Tasks)
	}
	var folders []struct{ Name, Path string }
	b.into(&folders, "folder", "list")
	folder := folders[slices.IndexFunc(folders, func(f struct{ Name, Path string }) bool { return f.Name == "pipeline-diamond" })]
	b.contains(filepath.Join(folder.Path, strings.TrimPrefix(done.Tasks[4].Outputs, "pipeline-diamond/"), "word"), "left\n1 from top\n2 from top\n")

	// The folder of gates is another now, so left and right run again; then nothing does.
	b.run("pipeline", "run", file, "--wait")
	again := b.job("diamond")
	if again.Name != "diamond.2" {
		t.Errorf("%s", again)
	}
	b.run("pipeline", "run", file, "--wait")
	cached := b.jobBecomes("diamond.3", "SUCCEEDED top=CACHED left=CACHED right-1=CACHED right-2=CACHED bottom=CACHED")
	if cached.Tasks[4].Outputs != again.Tasks[4].Outputs || cached.Tasks[4].CachedFrom != "diamond.2" {
		t.Errorf("%+v", cached.Tasks[4])
	}
	b.fails(1, []string{"did not run", "pipeline logs diamond.2 bottom"}, "pipeline", "logs", "diamond.3", "bottom")
	b.run("pipeline", "run", file, "--no-cache", "--wait")
	b.jobBecomes("diamond.4", "SUCCEEDED top=SUCCEEDED left=SUCCEEDED")
	b.run("pipeline", "rm", "diamond.2") // its outputs are those of the third
	if _, err := os.Stat(filepath.Join(folder.Path, strings.TrimPrefix(cached.Tasks[4].Outputs, "pipeline-diamond/"))); err != nil {
		t.Errorf("what another job uses is gone: %v", err)
	}
	mu.Lock()
	heard := fmt.Sprint(len(told))
	if len(told) > 0 {
		heard += fmt.Sprint(told[0]["text"])
	}
	mu.Unlock()
	if !strings.HasPrefix(heard, "1Pipeline diamond: job diamond.1 failed") && !strings.HasPrefix(heard, "2Pipeline diamond: job diamond.1 failed") {
		t.Errorf("%s", heard)
	}
	if strings.Contains(b.log.String(), "secret-path") {
		t.Error("the address of a webhook is in the log")
	}
	b.run("pipeline", "rm", "diamond")
	if left := b.run("folder", "list", "-q"); strings.Contains(left, "pipeline-diamond") {
		t.Errorf("its folder is left: %s", left)
	}
}

// TestPipelineCancelled: what runs is ended, across a crash too; an end by hand is a cancellation.
func TestPipelineCancelled(t *testing.T) {
	b := newBox(t)
	b.settings = []string{"--runtime", "process"}
	b.start()
	file := b.file("slow.yaml", "version: 1\nname: slow\nmax_parallel: 1\ndefaults: {image: host}\ntasks: [{name: a, command: exec sleep 1000}, {name: b, command: exec sleep 1000}, {name: c, depends_on: [a], command: x}]\n")
	b.run("pipeline", "run", file)
	b.jobBecomes("slow", "RUNNING a=RUNNING b=WAITING c=WAITING")
	id := b.runs("slow", 0)
	b.run("pipeline", "cancel", "slow.1")
	b.kill()
	b.start()
	b.jobBecomes("slow.1", "CANCELLED a=CANCELLED b=CANCELLED c=CANCELLED")
	b.becomes(id, "TERMINATED")
	b.fails(1, []string{"has ended"}, "pipeline", "cancel", "slow.1")
	b.run("pipeline", "run", file)
	b.run("session", "rm", "--forced", b.runs("slow.2", 0))
	b.jobBecomes("slow.2", "a=CANCELLED b=RUNNING c=SKIPPED")
	b.run("pipeline", "cancel", "slow.2")
	b.jobBecomes("slow.2", "CANCELLED")
}

// TestPipelineServes: the output of a task becomes a service; a new revision that fails its smoke test is rolled back, and the
// service answers all the while as it did.
func TestPipelineServes(t *testing.T) {
	b := newBox(t)
	b.settings = []string{"--runtime", "process"}
	b.start()
	tools := filepath.Join(b.models, "tools")
	if err := os.MkdirAll(tools, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := copyFile(filepath.Join(tools, "mkhello"), have.mkhello); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(tools, "definition"), []byte(strings.Replace(voices, "MODE", "recite", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	b.run("folder", "import", tools, "--name", "tools")
	file := b.file("speak.yaml", `
version: 1
name: speak
parameters: {expected: voice}
tasks:
  - name: train
    image: host
    mounts: ["tools:ro"]
    command: mkdir /pipeline/outputs/model && cp tools/mkhello /pipeline/outputs/model/ && cp tools/definition /pipeline/outputs/model/model-definition.yaml
  - name: serve
    depends_on: [train]
    serve:
      service: voices
      path: model
      image: host
      wait: 60
      smoke_test:
        path: /v1/chat/completions
        body: {model: voices, messages: [{role: user, content: hi}], max_tokens: 50}
        expect: {json: {choices.0.message.content: "${{ params.expected }}"}}
        tries: 1
`)
	b.fails(1, []string{"failed its smoke test", "does not match", "is removed"}, "pipeline", "run", file, "-p", "expected=nonsense", "--wait")
	if err := eventually(soon, func() error {
		if left := b.run("service", "list", "-q"); left != "" {
			return fmt.Errorf("%s is left", left)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	b.run("pipeline", "run", file, "--wait")
	token := b.run("service", "generate-token", "voices", "--duration", "1d", "-q")
	first, err := say(t.Context(), b.client(token), "voices", 50, nil)
	if err != nil || !strings.Contains(first, "voice") {
		t.Fatalf("%q %v", first, err)
	}
	b.fails(1, []string{"failed its smoke test", "went back to revision 1"}, "pipeline", "run", file, "-p", "expected=nonsense", "--wait")
	job := b.job("speak")
	if job.Tasks[0].Status != "CACHED" || job.Tasks[1].Revision != 2 {
		t.Errorf("%s %+v", job, job.Tasks)
	}
	if text, err := say(t.Context(), b.client(token), "voices", 50, nil); err != nil || speaker(text) == "" {
		t.Errorf("%q %v", text, err)
	}
	// A daemon that is killed in a roll-out leaves it to the next one.
	b.run("pipeline", "run", file, "-q")
	b.jobBecomes("speak", "serve=RUNNING")
	b.kill()
	b.start()
	if done := b.jobBecomes("speak.4", "SUCCEEDED"); done.Tasks[1].Revision < 3 { // one more where it was killed between a revision and its service
		t.Errorf("%+v", done.Tasks[1])
	}
	if text, err := say(t.Context(), b.client(token), "voices", 50, nil); err != nil || speaker(text) == "" {
		t.Errorf("%q %v", text, err)
	}
	b.run("service", "rm", "voices", "--wait")
	b.run("pipeline", "rm", "speak")
}
