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

func labelWords(labels string) string {
	if labels == "" {
		return ""
	}
	return "`" + strings.Join(strings.Split(labels, ","), "`, `") + "`"
}
