package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestConfigurationsNameEveryEngineAndTheAddress(t *testing.T) {
	engines := []string{"127.0.0.1:19001", "127.0.0.1:19002"}
	for _, again := range []bool{false, true} {
		for _, p := range peers() {
			if p.args == nil {
				continue
			}
			dir := t.TempDir()
			at := place{Listen: "127.0.0.1:18001", Engines: engines, Dir: dir, Root: true, Most: 1100, Again: again, programs: dir, cache: dir}
			// Whether it is installed is not the question here; it is asked last.
			if _, err := p.command(at); err != nil && !strings.Contains(err.Error(), "is not there") {
				t.Errorf("%s: %v", p.name, err)
			}
			said := strings.Join(p.args(at, ""), " ")
			for _, file := range p.config {
				text, err := os.ReadFile(filepath.Join(dir, file))
				if err != nil {
					t.Fatal(err)
				}
				said += string(text)
			}
			for _, want := range append(engines, "18001") {
				if !strings.Contains(said, want) {
					t.Errorf("%s is not told of %s:\n%s", p.name, want, said)
				}
			}
		}
	}
}

func TestWhatIsTypedWrongIsNamed(t *testing.T) {
	for args, want := range map[string]string{
		"speed":                   `no mode is called "speed"`,
		"throughput -only apache": `nothing is called "apache"`,
		"-rounds 1 streams":       `"streams" comes after flags`,
	} {
		err := run(strings.Fields(args), slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", args, err, want)
		}
	}
}

func TestFailStandsForAllThatFails(t *testing.T) {
	var o options
	names, err := o.parse([]string{"fail", "idle"})
	if got := strings.Join(names, " "); err != nil || got != "kill freeze roll idle" {
		t.Errorf("fail idle means %q, %v", got, err)
	}
}
