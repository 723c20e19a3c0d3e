package sessionimages

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// TestWhatShips: every definition is whole, and one that adds to another comes after it.
func TestWhatShips(t *testing.T) {
	names, err := Names()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"base", "code", "pytorch-cpu"}, names); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	digests := map[string]bool{}
	for _, name := range names {
		chain, err := Load(name)
		if err != nil {
			t.Error(err)
			continue
		}
		d := chain[len(chain)-1]
		if d.Summary == "" || d.User != "work" || d.Workdir != "/home/work" || d.Release == "" {
			t.Errorf("%+v", d)
		}
		if !slices.IsSorted(d.Packages) {
			t.Errorf("%s: its packages are not in order", name)
		}
		digest, err := Digest(chain)
		if err != nil || digests[digest] {
			t.Errorf("%s: digest %s, %v", name, digest, err)
		}
		digests[digest] = true
	}
	chain, err := Load("pytorch-cpu")
	if err != nil {
		t.Fatal(err)
	}
	labels := chain[1].AllLabels()
	if labels[LabelPorts] != "jupyter:http:8888" || !strings.Contains(labels[LabelApp+"jupyter"], "PALISADE_APP_BASE") {
		t.Errorf("%v", labels)
	}
	if chain[1].Env["LANG"] != "C.UTF-8" || chain[1].Env["MPLBACKEND"] != "Agg" {
		t.Errorf("its environment is not that of both: %v", chain[1].Env)
	}
}

func TestDefinitionsThatAreRefused(t *testing.T) {
	const whole = "release: bookworm\nuser: work\nworkdir: /\n"
	for name, c := range map[string]struct{ text, want string }{
		"no user":          {"release: bookworm\n", "user and workdir"},
		"unknown key":      {whole + "pakages: [x]\n", "pakages"},
		"no package":       {whole + "packages: ['--option']\n", "--option"},
		"a tree anywhere":  {whole + "tree: {path: ../x}\n", "tree.path"},
		"an app's name":    {whole + "apps: [{name: 'a b', port: 1}]\n", "a b"},
		"an app's port":    {whole + "apps: [{name: a, port: 70000}]\n", "70000"},
		"a protocol":       {whole + "apps: [{name: a, port: 1, protocol: udp}]\n", "udp"},
		"two lines":        {whole + "apps: [{name: a, port: 1, command: \"a\\nb\"}]\n", "one line"},
		"adds to itself":   {"from: this\n", "adds to itself"},
		"adds to nothing":  {"from: none\n", `"none"`},
		"two releases":     {"from: other\nrelease: trixie\n", "release"},
		"no name of a dir": {"from: ../this\n", "../this"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(fstest.MapFS{"this/image.yaml": {Data: []byte(c.text)}, "other/image.yaml": {Data: []byte(whole)}}, "this")
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v does not say %q", err, c.want)
			}
		})
	}
}
