package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAimsCanBeRead(t *testing.T) {
	all, err := parse(aims)
	if err != nil || len(all) == 0 {
		t.Fatalf("%d aims: %v", len(all), err)
	}
	for _, a := range all {
		files, err := filepath.Glob(filepath.Join("..", "..", a.runs.pkg, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			found = found || strings.Contains(string(text), "func "+strings.Trim(a.runs.name, "^$")+"(b *testing.B)") || strings.Contains(string(text), "func "+strings.Trim(a.runs.name, "^$")+"(t *testing.B)")
		}
		if !found {
			t.Errorf("%s: %s has no %s", a.what, a.runs.pkg, a.runs.name)
		}
	}
}

func TestTheWorstOneHolds(t *testing.T) {
	out := []byte(`goos: linux
BenchmarkPages/home-2         	      20	         3.250 ms-p50	        18.00 ms-p95
BenchmarkPages/usage-2        	      20	         4.250 ms-p50	        51.00 ms-p95
BenchmarkStart-2              	      10	   1200000 ns/op	         1.230 times-bare	     100 B/op
BenchmarkFolderCopy-2         	       3	         0.8300 up-ratio	        1.080 down-ratio
PASS
`)
	all, err := parse(`# of what
pages | ./console | ^BenchmarkPages$ | 20x | Pages.*/ms-p95 | <= 50
starts | ./containerd | ^BenchmarkStart$ | | Start.*/(times|parts)-bare | <= 1.3
up | ./e2e | ^BenchmarkFolderCopy$ | | FolderCopy.*/up-ratio | >= 0.8
gone | ./e2e | ^BenchmarkGone$ | | Gone.*/ms | <= 1000000
`)
	if err != nil {
		t.Fatal(err)
	}
	var got []figure
	for _, a := range all {
		a.take(out)
		got = append(got, a.figure())
	}
	want := []figure{
		{what: "pages", got: "51", aim: "<= 50", standing: short},
		{what: "starts", got: "1.23", aim: "<= 1.3", standing: met},
		{what: "up", got: "0.83", aim: ">= 0.8", standing: met},
		{what: "gone", got: "-", aim: "<= 1000000", standing: unmeasured},
	}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(figure{})); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if lines := strings.Split(page(got, nil), "\n"); !strings.HasPrefix(lines[2], "| pages | 51 | <= 50 | **short** |") || !strings.HasPrefix(lines[3], "| gone ") {
		t.Errorf("what is short comes first, then what was not measured: %q", lines)
	}
}

func TestTheHottestPlacesOfAProfile(t *testing.T) {
	got := top(`File: test
Type: cpu
Duration: 2.1s, Total samples = 2.25s (107.18%)
Showing nodes accounting for 1.51s, 67.11% of 2.25s total
      flat  flat%   sum%        cum   cum%
     0.36s 16.00% 16.00%      0.36s 16.00%  runtime.memmove
     0.21s  9.33% 25.33%      1.02s 45.33%  github.com/palisade-run/palisade/sessions.(*Manager).pass
     0.12s  5.33% 30.67%      0.12s  5.33%  github.com/palisade-run/palisade/router/scan.class (inline)
     0.05s  2.22% 32.89%      0.05s  2.22%  slices.pdqsortCmpFunc[go.shape.struct { github.com/a/b.C }]
`)
	want := []string{"`runtime.memmove` 16.00 %", "`sessions.(*Manager).pass` 9.33 %", "`scan.class` 5.33 %"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	made := page(nil, []hottest{{bench{"./router/scan", "^BenchmarkRequest$", ""}, want}})
	if row := "| `BenchmarkRequest` of `./router/scan` | `runtime.memmove` 16.00 %; `sessions.(*Manager).pass` 9.33 %; `scan.class` 5.33 % |"; !strings.Contains(made, row) {
		t.Errorf("%q is not in %q", row, made)
	}
}

func TestWrongAimsAreRefused(t *testing.T) {
	for _, line := range []string{"a | b | c", "a | b | c | d | e | = 1", "a | b | c | d | ( | <= 1", "a | b | c | d | e | <= one"} {
		if _, err := parse(line); err == nil {
			t.Errorf("%q was taken", line)
		}
	}
}

func TestTablesOfOthers(t *testing.T) {
	got := planeFigures(`
## throughput

| who | CPU |
|---|---|
| palisade | 3.9 |

| aim |  | palisade |  |
| --- | --- | --- | --- |
| CPU of a request | at most 1 times nginx | 0.91 times (0.88 to 1.11) | met ~ |
| CPU beside Traefik | at most 0.35 times traefik |  | not measured |
| first event | no more than the better | 0.64 ms | **not met** |
`)
	want := []figure{
		{what: "CPU of a request", aim: "at most 1 times nginx", got: "0.91 times (0.88 to 1.11)", standing: met, note: "(disturbed)"},
		{what: "CPU beside Traefik", aim: "at most 0.35 times traefik", standing: unmeasured},
		{what: "first event", aim: "no more than the better", got: "0.64 ms", standing: short},
	}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(figure{})); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	rehearsed := rehearsalFigures("    | steady  | hpa | 10 | 10.7 | 1.82s | 0s | 9.0 (-16 %) |\n    | diurnal | hpa | 7.5 | 100.2 | 0s | 0s | 102.5 (+2 %)   |\nPASS\n")
	if len(rehearsed) != 1 || rehearsed[0].got != "2" || rehearsed[0].standing != short {
		t.Errorf("the worst of all rows holds: %+v", rehearsed)
	}
}

func TestThePageIsPutBetweenTheMarks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(path, []byte("# A\n"+from+"old\n"+to+"after\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := put(path, "new\n"); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "# A\n"+from+"new\n"+to+"after\n" {
		t.Errorf("%q, %v", text, err)
	}
	if err := os.WriteFile(path, []byte("no marks"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := put(path, "new\n"); err == nil {
		t.Error("a page without marks was written")
	}
}
