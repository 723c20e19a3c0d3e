package daemon

import (
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.yaml.in/yaml/v3"

	"github.com/palisade-run/palisade/appliance/config"
	"github.com/palisade-run/palisade/router/record"
	"github.com/palisade-run/palisade/router/record/otlp"
)

// updateMetrics writes the table of docs/metrics.md anew.
var updateMetrics = flag.Bool("update", false, "write the table of metrics")

// described is a metric as its description prints it: nothing else of it can be read.
var described = regexp.MustCompile(`^Desc\{fqName: "([^"]*)", help: ("(?:[^"\\]|\\.)*"),.* variableLabels: \{([^}]*)\}\}$`)

// TestMetricsAreDocumented holds the table of docs/metrics.md against what a daemon with everything switched on registers.
func TestMetricsAreDocumented(t *testing.T) {
	data := t.TempDir()
	c := config.Default()
	c.Data, c.Runtime, c.Accel.Simulate = data, config.RuntimeProcess, "dgxh100"
	c.AccessLog.Path, c.Traces.Endpoint, c.Redis.URL = filepath.Join(data, "access.log"), "http://127.0.0.1:1", "redis://127.0.0.1:1"
	log := slog.New(slog.DiscardHandler)
	d := &daemon{Options: Options{Config: c, Log: log}, house: &house{}, registry: prometheus.NewRegistry()}
	if err := d.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.leave(false); err != nil {
			t.Error(err)
		}
	}()
	lines, err := record.OpenAccessLog(c.AccessLog, log)
	if err != nil {
		t.Fatal(err)
	}
	spans, err := otlp.New(t.Context(), otlp.Config{Endpoint: c.Traces.Endpoint}, log)
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for _, from := range []prometheus.Collector{d.registry, lines, spans} {
		descs := make(chan *prometheus.Desc)
		go func() { from.Describe(descs); close(descs) }()
		for desc := range descs {
			parts := described.FindStringSubmatch(desc.String())
			if parts == nil {
				t.Errorf("%s cannot be read", desc)
				continue
			}
			rows[parts[1]] = fmt.Sprintf("| `%s` | %s | %s |", parts[1], labelWords(parts[3]), strings.ReplaceAll(strings.Trim(parts[2], `"`), `\"`, `"`))
		}
	}
	want := []string{"| name | labels | what it says |", "|---|---|---|"}
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		if strings.HasPrefix(name, "palisade_") {
			want = append(want, rows[name])
		}
	}
	const file = "../../docs/metrics.md"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	table := regexp.MustCompile(`(?m)(^\|.*\n)+`)
	if *updateMetrics {
		done := false
		text = table.ReplaceAllFunc(text, func(old []byte) []byte {
			if done {
				return old
			}
			done = true
			return []byte(strings.Join(want, "\n") + "\n")
		})
		if err := os.WriteFile(file, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got := strings.Split(strings.TrimSpace(string(table.Find(text))), "\n")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/metrics.md is not what is registered; write it anew with go test ./appliance/daemon -run Metrics -update (-registered +documented):\n%s", diff)
	}
}

// TestAlertsAskForWhatThereIs: the alerts of examples/prometheus ask for metrics and labels that there are, and say whom to call and
// what to do.
func TestAlertsAskForWhatThereIs(t *testing.T) {
	table, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	labels := map[string][]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(palisade_[a-z_]+)` \\| (.*?) \\|").FindAllStringSubmatch(string(table), -1) {
		labels[row[1]] = append(labels[row[1]], regexp.MustCompile(`[a-z_]+`).FindAllString(row[2], -1)...)
		labels[row[1]] = append(labels[row[1]], "instance", "le", "job")
	}
	text, err := os.ReadFile("../../examples/prometheus/palisade.rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	for _, rule := range file.Groups[0].Rules {
		said := rule.Annotations["summary"] + rule.Annotations["description"]
		if !slices.Contains([]string{"critical", "warning"}, rule.Labels["severity"]) || !strings.Contains(said, "palisade ") {
			t.Errorf("%s: severity %q, and %q has no command", rule.Alert, rule.Labels["severity"], said)
		}
		var known []string
		for _, name := range regexp.MustCompile("palisade_[a-z_]+").FindAllString(rule.Expr+said, -1) {
			for _, part := range []string{"_bucket", "_sum", "_count"} {
				name = strings.TrimSuffix(name, part)
			}
			if labels[name] == nil {
				t.Errorf("%s asks for %s, which there is not", rule.Alert, name)
			}
			known = append(known, labels[name]...)
		}
		for _, of := range regexp.MustCompile(`(?:by|on) \(([a-z_, ]+)\)|\{([a-z_]+)=|\$labels\.([a-z_]+)`).FindAllStringSubmatch(rule.Expr+said, -1) {
			for label := range strings.SplitSeq(of[1]+of[2]+of[3], ", ") {
				if !slices.Contains(append(known, "job", "instance"), label) {
					t.Errorf("%s asks for the label %s, which none of its metrics has", rule.Alert, label)
				}
			}
		}
	}
}

func labelWords(labels string) string {
	if labels == "" {
		return ""
	}
	return "`" + strings.Join(strings.Split(labels, ","), "`, `") + "`"
}
