package variants

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/palisade-run/palisade/catalog"
)

var yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// example is the first block of YAML on a page of the documentation.
func example(t *testing.T, page string) []byte {
	t.Helper()
	src, err := os.ReadFile(filepath.Join("../docs", page))
	if err != nil {
		t.Fatal(err)
	}
	m := yamlBlock.FindSubmatch(src)
	if m == nil {
		t.Fatalf("%s has no YAML", page)
	}
	return m[1]
}

// What the pages show works.
func TestDocumentedVariants(t *testing.T) {
	file := filepath.Join(t.TempDir(), "variants.yaml")
	if err := os.WriteFile(file, example(t, "variants.md"), 0o644); err != nil {
		t.Fatal(err)
	}
	table := load(t, file)
	env := map[string]string{"MY_ENGINE_LICENSE": "x", "MY_ENGINE_THREADS": "4"}
	spec, problems := table.Resolve(Request{Variant: "my-engine", ServiceName: "chat", Files: files(), Env: env})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	want := "my-engine serve /models --port 9000 --name chat --threads 4"
	if got := strings.Join(spec.Processes[0].Argv, " "); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	spec, problems = table.Resolve(Request{Variant: "vllm-module", ServiceName: "chat", Files: files(), Env: map[string]string{"VLLM_TP_SIZE": "2"}})
	if len(problems) > 0 || !strings.HasSuffix(strings.Join(spec.Processes[0].Argv, " "), "--port 8000 --tensor-parallel-size 2") || spec.Health.Path != "/health" {
		t.Errorf("%v, %+v", problems, spec)
	}
	spec, problems = table.Resolve(Request{Variant: "spread", ServiceName: "chat", Files: files(), Nodes: 2})
	if len(problems) > 0 || placed(spec, 0) != "spread serve /models --port 9000 --stages 2 --workers sub1:29501 after sub1:29501" ||
		placed(spec, 1) != "spread work --listen {node_address}:29501" {
		t.Errorf("%v, %+v", problems, spec)
	}
}

func TestDocumentedDefinition(t *testing.T) {
	def, problems := catalog.ParseDefinition("catalog.md", example(t, "catalog.md"))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	_, problems = load(t, "").Resolve(Request{Variant: Custom, Definition: def, ServiceName: "chat"})
	if len(problems) > 0 {
		t.Error(problems)
	}
}

// The page's table of variants has every built-in one, with its port and health path.
func TestDocumentedTable(t *testing.T) {
	src, err := os.ReadFile("../docs/variants.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range load(t, "").All() {
		if !strings.Contains(string(src), "| `"+v.Name+"` |") || v.Health != nil && !strings.Contains(string(src), "`"+v.Health.Path+"`") {
			t.Errorf("docs/variants.md lacks %s", v.Name)
		}
	}
}
