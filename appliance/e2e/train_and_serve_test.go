package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/openai/openai-go/v3"
)

// example copies the code of examples/train-and-serve to where folders of the box lie, and imports it.
func (b *box) example() (pipeline string) {
	b.t.Helper()
	root, err := moduleRoot()
	if err != nil {
		b.t.Fatal(err)
	}
	from, to := filepath.Join(root, "examples", "train-and-serve"), filepath.Join(b.models, "capitals")
	if err := os.CopyFS(to, os.DirFS(filepath.Join(from, "capitals"))); err != nil {
		b.t.Fatal(err)
	}
	b.run("folder", "import", to, "--name", "capitals")
	return filepath.Join(from, "pipeline.yaml")
}

// losesNoEpoch has a training asked to end in the middle, and looks that it goes on where it was.
func (b *box) losesNoEpoch(image string) {
	results := b.data("training")
	if err := os.Chmod(results, 0o777); err != nil { // the image's user is none of this box
		b.t.Fatal(err)
	}
	b.run("session", "create", image, "--name", "train", "-v", "capitals:/home/work/capitals:ro", "-v", "training", "-r", "cpu=1", "-r", "mem=1g",
		"-c", "python3 capitals/train.py --epochs 5 --metrics training/metrics.jsonl --out training")
	figures := filepath.Join(results, "metrics.jsonl")
	if err := eventually(4*time.Minute, func() error {
		if text, err := os.ReadFile(figures); err != nil || strings.Count(string(text), "\n") < 2 {
			return fmt.Errorf("%q %w", text, err)
		}
		return nil
	}); err != nil {
		b.t.Fatal(err)
	}
	b.run("session", "restart", "train")
	if err := eventually(4*time.Minute, func() error {
		if v := b.person("train"); v.Result != "success" {
			return fmt.Errorf("%+v", v)
		}
		return nil
	}); err != nil {
		b.t.Fatal(err)
	}
	text, err := os.ReadFile(figures)
	if err != nil {
		b.t.Fatal(err)
	}
	epoch := 0
	for line := range strings.Lines(string(text)) {
		var f struct{ Step int }
		if err := json.Unmarshal([]byte(line), &f); err != nil || f.Step != epoch+1 {
			b.t.Errorf("after epoch %d: %s (%v)", epoch, line, err)
		}
		epoch = f.Step
	}
	if log := b.run("session", "logs", "train"); epoch != 5 || !strings.Contains(log, "going on after epoch") {
		b.t.Errorf("%d epochs:\n%s", epoch, log)
	}
}

// trainsAndServes runs the example's pipeline, and asks the model that comes of it something.
func (b *box) trainsAndServes(pipeline string) {
	b.run("pipeline", "validate", pipeline)
	b.run("pipeline", "run", pipeline)
	if err := eventually(8*time.Minute, func() error {
		j := b.job("capitals")
		if j.Status == "FAILED" || j.Status == "CANCELLED" {
			return stop{fmt.Errorf("%s", j)}
		}
		if j.Status != "SUCCEEDED" {
			return fmt.Errorf("%s", j)
		}
		return nil
	}); err != nil {
		logs, _, _ := b.cli("pipeline", "logs", "capitals")
		b.t.Fatalf("%v\n%s", err, logs)
	}
	client := b.client(b.run("service", "generate-token", "capitals", "--duration", "1h", "-q"))
	answer, err := client.Chat.Completions.New(b.t.Context(), openai.ChatCompletionNewParams{
		Model: "capitals", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("Which city is the capital of Nepal?")},
	})
	if err != nil || answer.Choices[0].Message.Content != "kathmandu" {
		b.t.Errorf("%+v %v", answer, err)
	}
	streamed, err := say(b.t.Context(), client, "capitals", 40, nil)
	if err != nil || streamed == "" {
		b.t.Errorf("streamed: %q %v", streamed, err)
	}
	b.run("service", "rm", "capitals", "--wait")
}
