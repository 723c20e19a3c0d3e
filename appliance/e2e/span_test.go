package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

// spanView is a service whose routes are several containers each.
type spanView struct {
	Status   string
	Sentence string `json:"reason"`
	Failures int
	Routes   []struct {
		ID, Status string
		Containers []struct {
			ID, Name, Host, Status string
			Claim                  *struct{ Node string }
		}
	}
}

// spans waits until a service has one route, which answers and is of so many containers, each on a box of its own, and returns it.
func (b *box) spans(name string, count int, is func(spanView) bool) (v spanView) {
	b.t.Helper()
	if err := eventually(120*time.Second, func() error {
		v = spanView{}
		out, errs, code := b.cli("service", "info", name, "--output", "json")
		if code != 0 {
			return errors.New(errs)
		}
		if err := json.Unmarshal([]byte(out), &v); err != nil {
			return err
		}
		if v.Status != "HEALTHY" || len(v.Routes) != 1 || len(v.Routes[0].Containers) != count || !is(v) {
			return fmt.Errorf("%s", out)
		}
		return nil
	}); err != nil {
		b.t.Fatal(err)
	}
	at := v.at()
	if slices.Contains(at, "") || len(slices.Compact(slices.Sorted(slices.Values(at)))) != count {
		b.t.Errorf("on %q", at)
	}
	return v
}

// at are the boxes of the route's containers, by rank.
func (v spanView) at() (boxes []string) {
	for _, c := range v.Routes[0].Containers {
		box := ""
		if c.Claim != nil {
			box = c.Claim.Node
		}
		boxes = append(boxes, box)
	}
	return boxes
}

// TestEngineOnSeveralBoxes: a route of a service is llama.cpp on two boxes, of which one lends the other its memory. It answers by way
// of each box; one of its two boxes is lost, and it comes back on those that are left; and then there is no room for all of it.
func TestEngineOnSeveralBoxes(t *testing.T) {
	const sentence = "I am on two boxes, and this is my voice."
	hosts := newHosts(t, false, "one", "two", "three")
	named := map[string]*host{}
	for _, h := range hosts {
		named[h.name] = h
	}
	one := hosts[0]
	model := filepath.Join(t.TempDir(), "model.gguf")
	if out, err := exec.CommandContext(t.Context(), have.mkhello, "-o", model, "-answer", sentence).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	one.run("folder", "create", "speaker")
	one.run("folder", "cp", model, "speaker:")
	one.run("service", "create", "host", "speaker", "--name", "speaker", "--runtime-variant", "llama-cpp", "-r", most(), "--cluster-size", "2", "--cluster-mode", "multi-node",
		"-e", "LLAMA_EXTRA_ARGS=--ctx-size 4096 --parallel 2 --threads 1 --threads-batch 1 --n-gpu-layers 99")
	first := one.spans("speaker", 2, func(spanView) bool { return true })
	token := one.run("service", "generate-token", "speaker", "--duration", "1h", "-q")
	answers := func(h *host) {
		t.Helper()
		if err := eventually(60*time.Second, func() error {
			client := openai.NewClient(option.WithBaseURL(h.url+"/v1"), option.WithAPIKey(token), option.WithMaxRetries(0), option.WithHTTPClient(h.http()))
			text, err := say(t.Context(), client, "speaker", 50, nil)
			if err == nil && text != sentence {
				err = stop{fmt.Errorf("it says %q", text)}
			}
			return err
		}); err != nil {
			t.Error(h.name, err)
		}
	}
	for _, h := range hosts {
		answers(h)
	}

	// One session for those who list them, and a table of its containers; each has a log and lets people in.
	worker := first.Routes[0].Containers[1]
	if list := one.run("session", "list"); strings.Contains(list, worker.Name) {
		t.Errorf("a worker is listed as a session:\n%s", list)
	}
	info := one.run("service", "info", "speaker")
	for _, want := range append(first.at(), "2 of each route, which may be on several boxes", worker.Name) {
		if !strings.Contains(info, want) {
			t.Errorf("nothing of %q in\n%s", want, info)
		}
	}
	if log := one.run("session", "logs", worker.ID); !strings.Contains(log, "Accepted client connection") {
		t.Errorf("the worker has been asked for nothing: %s", log)
	}
	if got := one.run("session", "exec", worker.ID, "--", "sh", "-c", "echo $RANK of $WORLD_SIZE"); got != "1 of 2" {
		t.Errorf("in the worker: %q", got)
	}

	// The worker's box is lost, with all that runs there.
	lost := named[worker.Claim.Node]
	rest := slices.DeleteFunc(slices.Clone(hosts), func(h *host) bool { return h == lost })
	lost.cut(true)
	for _, pid := range sessionProcesses(worker.ID) {
		if n, err := strconv.Atoi(pid); err == nil {
			_ = syscall.Kill(n, syscall.SIGKILL)
		}
	}
	second := rest[0].spans("speaker", 2, func(v spanView) bool { return v.Routes[0].ID != first.Routes[0].ID })
	if slices.Contains(second.at(), lost.name) {
		t.Errorf("on %v, and %s is lost", second.at(), lost.name)
	}
	for _, h := range rest {
		answers(h)
	}

	// All of it or none: a box that is to be empty leaves too little.
	rest[0].run("cluster", "drain", second.at()[1])
	rest[0].run("session", "terminate", second.Routes[0].ID, "--forced")
	if err := eventually(60*time.Second, func() error {
		var v spanView
		out, errs, code := rest[0].cli("service", "info", "speaker", "--output", "json")
		if code != 0 {
			return errors.New(errs)
		}
		if err := json.Unmarshal([]byte(out), &v); err != nil {
			return err
		}
		for _, r := range v.Routes {
			for _, c := range r.Containers {
				if c.Claim != nil {
					return fmt.Errorf("%s", out)
				}
			}
		}
		if !strings.Contains(v.Sentence, "containers") {
			return fmt.Errorf("%s", out)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	lost.cut(false)
	rest[0].run("cluster", "uncordon", second.at()[1])
	rest[0].spans("speaker", 2, func(v spanView) bool { return v.Routes[0].ID != second.Routes[0].ID })
	for _, h := range hosts {
		answers(h)
	}
}

// TestEnginesOfBoxesThatShareTheirNetwork: where sessions are on the boxes' own network two routes of one variant have their heads and
// workers on one box, and a third is on two boxes; each answers for itself, by way of each box, and its head is reached by no other way.
func TestEnginesOfBoxesThatShareTheirNetwork(t *testing.T) {
	hosts := newHostsWith(t, false, ", session_network: host", "one", "two", "three")
	one, two := hosts[0], hosts[1]
	speak := func(name, cpu string) {
		t.Helper()
		model := filepath.Join(t.TempDir(), "model.gguf")
		if out, err := exec.CommandContext(t.Context(), have.mkhello, "-o", model, "-answer", "My name is "+name+".").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		one.run("folder", "create", name)
		one.run("folder", "cp", model, name+":")
		one.run("service", "create", "host", name, "--name", name, "--runtime-variant", "llama-cpp", "-r", cpu, "--cluster-size", "2", "--cluster-mode", "multi-node", "--wait",
			"-e", "LLAMA_EXTRA_ARGS=--ctx-size 4096 --parallel 2 --threads 1 --threads-batch 1 --n-gpu-layers 99")
	}
	answers := func(name string) {
		t.Helper()
		token := one.run("service", "generate-token", name, "--duration", "1h", "-q")
		for _, h := range hosts {
			if err := eventually(60*time.Second, func() error {
				client := openai.NewClient(option.WithBaseURL(h.url+"/v1"), option.WithAPIKey(token), option.WithMaxRetries(0), option.WithHTTPClient(h.http()))
				text, err := say(t.Context(), client, name, 50, nil)
				if err == nil && text != "My name is "+name+"." {
					err = stop{fmt.Errorf("it says %q", text)}
				}
				return err
			}); err != nil {
				t.Error(name, "by way of", h.name, err)
			}
		}
	}
	head := func(name string) (id string, boxes []string) {
		t.Helper()
		var v spanView
		one.into(&v, "service", "info", name)
		if len(v.Routes) != 1 {
			t.Fatalf("%+v", v)
		}
		return v.Routes[0].ID, v.at()
	}
	for _, h := range hosts[1:] {
		one.run("cluster", "cordon", h.name)
	}
	quarter := fmt.Sprintf("cpu=%g", float64(runtime.NumCPU())/4)
	speak("left", quarter)
	speak("right", quarter)
	for _, h := range hosts[1:] {
		one.run("cluster", "uncordon", h.name)
	}
	speak("wide", most())
	for name, want := range map[string]string{"left": "one one", "right": "one one", "wide": ""} {
		answers(name)
		id, boxes := head(name)
		if at := strings.Join(boxes, " "); want != "" && at != want || want == "" && boxes[0] == boxes[1] {
			t.Errorf("%s is on %s", name, at)
		}
		_, port, _ := strings.Cut(one.run("session", "exec", id, "--", "sh", "-c", "echo $BACKENDAI_SERVICE_PORTS"), "inference:http:")
		for _, h := range hosts {
			if h.name != boxes[0] {
				continue
			}
			if conn, err := two.dial(t.Context(), "tcp", h.address()+":"+port); !errors.Is(err, syscall.ECONNREFUSED) {
				if err == nil {
					conn.Close()
				}
				t.Errorf("%s is reached at %s of %s: %v", name, port, h.name, err)
			}
			if h == one { // it is there that it listens
				if conn, err := one.dial(t.Context(), "tcp", "127.0.0.1:"+port); err != nil {
					t.Errorf("%s at %q: %v", name, port, err)
				} else {
					conn.Close()
				}
			}
		}
	}
}
