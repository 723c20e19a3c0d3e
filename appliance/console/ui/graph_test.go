package ui

import (
	"fmt"
	"strings"
	"testing"
)

func TestGraph(t *testing.T) {
	got := string(Graph(`nightly "<b>"`, []Node{
		{Name: "prepare", State: "SUCCEEDED", Word: "Succeeded", Link: "/console/sessions/ses-1"},
		{Name: "train-1", After: []string{"prepare"}, State: "RUNNING", Word: "Running", Note: "2 min", Marked: true},
		{Name: "train-2", After: []string{"prepare"}, State: "FAILED", Word: "<script>"},
		{Name: `a very long name that "nobody" reads`, After: []string{"train-1", "train-2", "nothing"}, Link: "https://evil.example"},
		{Name: "last", After: []string{"train-1"}, Link: "//evil.example"},
	}))
	for _, bad := range []string{"<b>", "<script>", "evil.example", `"nobody"`} {
		if strings.Contains(got, bad) {
			t.Errorf("%s is in %s", bad, got)
		}
	}
	if strings.Count(got, "graph-node") != 5 || strings.Count(got, "graph-line") != 5 || strings.Count(got, "<a ") != 1 || !strings.Contains(got, "graph-marked") || strings.Count(got, "graph-mark\"") != 3 {
		t.Error(got)
	}
}

// TestGraphOfAnything: no graph is too odd to be drawn, and each node has a place of its own.
func TestGraphOfAnything(t *testing.T) {
	chain := []Node{}
	for i := range 200 {
		n := Node{Name: fmt.Sprint("t", i)}
		for j := max(0, i-3); j < i; j++ {
			n.After = append(n.After, fmt.Sprint("t", j))
		}
		chain = append(chain, n)
	}
	for name, nodes := range map[string][]Node{
		"none": nil, "one": {{Name: "a"}}, "itself": {{Name: "a", After: []string{"a"}}},
		"circle": {{Name: "a", After: []string{"b"}}, {Name: "b", After: []string{"a"}}, {Name: "c", After: []string{"b"}}}, "chain": chain,
	} {
		if got := string(Graph(name, nodes)); strings.Count(got, "<rect") != len(nodes) {
			t.Errorf("%s: %s", name, got)
		}
		places := map[spot]string{}
		at, _ := placesOf(layersOf(nodes))
		for node, at := range at {
			if other, taken := places[at]; taken {
				t.Errorf("%s: %s and %s at one place", name, node, other)
			}
			places[at] = node
		}
	}
}

func FuzzGraph(f *testing.F) {
	f.Add("a b", "b a;c b a")
	f.Fuzz(func(t *testing.T, names, edges string) {
		var nodes []Node
		seen := map[string]bool{}
		for name := range strings.FieldsSeq(names) {
			if !seen[name] && len(nodes) < 50 {
				nodes = append(nodes, Node{Name: name, Word: edges, State: name})
				seen[name] = true
			}
		}
		for i, line := range strings.Split(edges, ";") {
			if i < len(nodes) {
				nodes[i].After = strings.Fields(line)
			}
		}
		if got := string(Graph(names, nodes)); strings.Count(got, "<rect") != len(nodes) {
			t.Error(got)
		}
	})
}
