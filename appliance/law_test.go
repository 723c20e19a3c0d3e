// Package appliance_test holds the law of the house: which room may know which. It reads the source files
// itself, in this process, so that a cached answer of some other tool is never taken for the truth.
package appliance_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

const module = "github.com/palisade-run/palisade"

// room is a folder of Go files and the ones that it may import. A package without a row is a breach: where it stands is
// to be decided, not to happen.
type room struct {
	path string
	may  []string
}

// domain is what the parts of the appliance that show, keep or wire everything may know.
var domain = []string{"catalog/bytesize", "catalog", "catalog/folders", "catalog/blobs", "catalog/bundle", "catalog/fetch", "catalog/index", "catalog/install", "catalog/plan", "catalog/recipe", "catalog/signature", "autoscaler/calibrate", "accel", "router/quota", "router/usage", "router/record", "router", "autoscaler", "variants", "sessions", "training", "training/accounts", "training/checkpoints", "training/figures", "training/idle", "training/pipeline", "training/pipeline/keeper"}

// rooms is the table of docs/decisions/0001. Arrows only go up this list, so it has no circles.
var rooms = []room{
	{"catalog/bytesize", nil},
	{"catalog/spelling", nil},
	{"catalog/folders/foldertest", nil},
	{"catalog/folders", list("catalog/bytesize", "catalog/spelling")},
	{"catalog", list("catalog/folders", "catalog/spelling")},
	{"catalog/fit", list("catalog/bytesize")},
	{"catalog/blobs", list("catalog/bytesize")},
	{"catalog/signature", nil},
	{"catalog/fetch", list("catalog/blobs")},
	{"catalog/fetch/fetchtest", list("catalog/fetch")},
	{"catalog/fetch/reach", nil},
	{"catalog/fetch/web", list("catalog/fetch", "catalog/fetch/reach")},
	{"catalog/fetch/local", list("catalog/fetch")},
	{"catalog/fetch/made", list("catalog/fetch")},
	{"catalog/fetch/hub", list("catalog/fetch", "catalog/fetch/web")},
	{"catalog/fetch/hub/hubtest", nil},
	{"catalog/fetch/git", list("catalog/fetch", "catalog/fetch/web")},
	{"catalog/fetch/ngc", list("catalog/fetch", "catalog/fetch/web")},
	{"catalog/fetch/oci", list("catalog/fetch", "catalog/fetch/web")},
	{"catalog/fetch/s3", list("catalog/fetch", "catalog/fetch/web")},
	{"catalog/recipe", list("catalog/spelling", "catalog", "catalog/fetch")},
	{"catalog/plan", list("catalog/bytesize", "catalog", "catalog/fit", "catalog/recipe")},
	{"catalog/index", list("catalog", "catalog/fetch", "catalog/recipe", "catalog/signature")},
	{"catalog/bundle", list("catalog/bytesize", "catalog/blobs", "catalog/recipe", "catalog/signature")},
	{"catalog/install", list("catalog/bytesize", "catalog/folders", "catalog/fit", "catalog/blobs", "catalog/fetch", "catalog/recipe", "catalog/plan")},
	{"accel", list("catalog/bytesize")},
	{"accel/nvml", list("accel")},
	{"accel/mps", list("accel")},
	{"accel/sysfs", list("accel")},
	{"accel/history", list("accel")},
	{"router/record", nil},
	{"router/record/otlp", list("router/record")},
	{"router/record/trace", list("router/record")},
	{"router/balance", nil},
	{"router/http1", nil},
	{"router/scan", nil},
	{"router/quota", nil},
	{"router/quota/tally", list("router/quota")},
	{"router/usage", nil},
	{"router/waiting", nil},
	{"router/repeat", nil},
	{"router", list("router/http1", "router/scan", "router/balance", "router/quota", "router/usage", "router/waiting", "router/repeat", "router/record")},
	{"router/bench/poll", nil},
	{"router/bench/engine", list("router/bench/poll")},
	{"router/bench/load", list("router/bench/poll", "router/bench/engine")},
	{"router/bench/gate", list("router", "router/record", "router/usage")},
	{"router/bench/plain", nil},
	{"router/bench", list("router/bench/engine", "router/bench/load")},
	{"autoscaler/cron", nil},
	{"autoscaler/calibrate", nil},
	{"autoscaler", list("catalog/spelling", "autoscaler/cron")},
	{"autoscaler/rehearse", list("autoscaler")},
	{"autoscaler/signals", list("autoscaler")},
	{"variants", list("catalog", "catalog/fit")},
	{"sessions", list("catalog/folders", "catalog", "catalog/fit", "variants", "accel")},
	{"sessions/network", nil},
	{"sessions/network/cni", list("sessions/network")},
	{"sessions/logs", nil},
	{"sessions/clusterdir", nil},
	{"sessions/terminal/holder", nil},
	{"sessions/pid1", list("variants", "sessions/logs")},
	{"sessions/sftp", nil},
	{"sessions/clusterssh", list("sessions/clusterdir")},
	{"sessions/inside", list("sessions/sftp", "sessions/clusterssh")},
	{"sessions/pid1/palisade-init", list("sessions/pid1", "sessions/inside", "sessions/terminal/holder")},
	{"sessions/outcome", list("catalog/bytesize", "sessions", "sessions/pid1")},
	{"sessions/terminal", list("sessions", "sessions/pid1", "sessions/outcome", "sessions/terminal/holder")},
	{"sessions/runtimetest", list("catalog", "variants", "sessions")},
	{"sessions/containerd/private", nil},
	{"sessions/containerd/containerdtest", list("sessions/containerd/private")},
	{"sessions/containerd", list("variants", "accel", "sessions", "sessions/network", "sessions/logs", "sessions/pid1", "sessions/outcome")},
	{"sessions/process", list("variants", "accel", "sessions", "sessions/network", "sessions/logs", "sessions/pid1", "sessions/outcome")},
	{"sessions/process/palisade-supervise", list("sessions/process")},
	{"training", list("catalog/folders", "catalog", "variants", "sessions")},
	{"training/apps", list("sessions")},
	{"training/accounts", list("accel", "sessions")},
	{"training/checkpoints", nil},
	{"training/figures", list("sessions")},
	{"training/idle", list("accel", "sessions")},
	{"training/pipeline", list("catalog", "autoscaler/cron")},
	{"training/pipeline/keeper", list("catalog/folders", "catalog", "sessions", "training", "training/pipeline")},
	{"model-definitions", nil},
	{"model-definitions/hello/gguf", nil},
	{"model-definitions/hello/mkhello", list("model-definitions/hello/gguf")},
	{"firmware-images", nil},
	{"firmware-images/session-init", nil},
	{"firmware-images/sessions", nil},
	{"firmware-images/sessions/build", list("catalog/bytesize", "firmware-images/sessions")},
	{"appliance/api", nil},
	{"appliance/admin/keys", nil},
	{"appliance/vault", nil},
	{"appliance/backup", list("catalog/bytesize", "catalog/folders")},
	{"appliance/people", list("appliance/vault")},
	{"appliance/people/oidc", list("appliance/people")},
	{"appliance/people/oidc/dextest", nil},
	{"appliance/audit", nil},
	{"appliance/ssh/authorized", nil},
	{"appliance/ssh", list("sessions", "sessions/pid1", "appliance/ssh/authorized")},
	{"appliance/store/pgtest", nil},
	{"appliance/store", append(list("appliance/admin/keys", "appliance/people", "appliance/audit", "appliance/vault", "appliance/ssh/authorized"), domain...)},
	{"appliance/cluster/trust", nil},
	{"appliance/cluster/trust/trusttest", list("appliance/cluster/trust")},
	{"appliance/cluster/member", list("appliance/cluster/trust")},
	{"appliance/cluster/clustertest", list("appliance/cluster/member")},
	{"appliance/cluster", domain},
	{"appliance/cluster/agent", list("sessions", "appliance/cluster")},
	{"appliance/cluster/goods", list("catalog/bytesize", "catalog/folders", "catalog/blobs", "catalog/fetch", "sessions")},
	{"appliance/cluster/fleet", list("variants", "sessions", "appliance/cluster")},
	{"appliance/cluster/door", list("sessions", "appliance/cluster", "appliance/cluster/trust")},
	{"appliance/cluster/door/doortest", list("appliance/cluster/trust", "appliance/cluster/trust/trusttest", "appliance/cluster/door")},
	{"appliance/cluster/relay", list("appliance/cluster/door")},
	{"appliance/cluster/simulation", nil},
	{"appliance/admin", append(list("catalog/spelling", "autoscaler/rehearse", "training/apps", "sessions/terminal", "appliance/api", "appliance/backup", "appliance/audit", "appliance/cluster/trust", "appliance/people", "appliance/people/oidc", "appliance/admin/keys", "appliance/vault", "appliance/ssh/authorized", "router/record/trace"), domain...)},
	{"appliance/console/live", nil},
	{"appliance/console/markdown", nil},
	{"appliance/console/preview", nil},
	{"appliance/console/static", nil},
	{"appliance/console/texts", nil},
	{"appliance/console/ui", nil},
	{"appliance/console", list("catalog/bytesize", "appliance/api", "appliance/console/live", "appliance/console/markdown", "appliance/console/preview", "appliance/console/static", "appliance/console/texts", "appliance/console/ui")},
	{"appliance/admin/admintest", append(list("training/apps", "sessions/pid1", "sessions/terminal", "sessions/terminal/holder", "appliance/api", "appliance/backup", "appliance/admin", "appliance/audit", "appliance/cluster/trust", "appliance/people", "appliance/people/oidc", "appliance/admin/keys", "appliance/vault", "appliance/ssh/authorized", "router/record/trace"), domain...)},
	{"appliance/config", append(list("catalog/spelling", "autoscaler/cron", "appliance/backup", "appliance/people", "autoscaler/signals", "sessions/network", "sessions/containerd", "sessions/process"), domain...)},
	{"appliance/daemon", append(append(list("autoscaler/cron", "catalog/fit", "catalog/fetch/git", "catalog/fetch/hub", "catalog/fetch/local", "catalog/fetch/made", "catalog/fetch/ngc", "catalog/fetch/oci", "catalog/fetch/reach", "catalog/fetch/s3", "catalog/fetch/web", "autoscaler/signals", "router/balance", "router/quota/tally", "router/repeat", "router/waiting", "router/record/otlp", "router/record/trace", "accel/nvml", "accel/mps", "accel/sysfs", "accel/history", "sessions/network", "sessions/network/cni",
		"sessions/containerd", "sessions/containerd/private", "sessions/process", "sessions/clusterdir", "sessions/logs", "sessions/terminal", "training/apps", "model-definitions", "model-definitions/hello/gguf", "firmware-images", "firmware-images/session-init", "firmware-images/sessions"), domain...),
		"appliance/api", "appliance/backup", "appliance/store", "appliance/cluster", "appliance/cluster/agent", "appliance/cluster/door", "appliance/cluster/fleet", "appliance/cluster/goods", "appliance/cluster/member", "appliance/cluster/relay", "appliance/cluster/trust", "appliance/admin", "appliance/audit", "appliance/people", "appliance/people/oidc", "appliance/admin/keys", "appliance/vault", "appliance/ssh", "appliance/ssh/authorized", "appliance/console", "appliance/config")},
	{"appliance/cli", list("catalog/bytesize", "catalog/spelling", "catalog", "catalog/bundle", "catalog/fetch", "catalog/fit", "catalog/index", "catalog/recipe", "catalog/signature", "variants", "training/pipeline", "autoscaler", "autoscaler/rehearse", "appliance/api", "appliance/backup", "appliance/config", "appliance/daemon")},
	// The supervisor is a subcommand that must link and start as little as it can: it is called before all else.
	{"appliance/cmd/palisade", list("sessions/process", "appliance/api", "appliance/config", "appliance/daemon", "appliance/cli")},
	{"appliance/e2e/transcript", nil},
	{"appliance/e2e/shell", nil},
	{"appliance/e2e", list("appliance/e2e/transcript", "appliance/e2e/shell", "appliance/store/pgtest", "appliance/people/oidc/dextest", "catalog/fetch/hub/hubtest")},
	{"appliance", nil},
}

// testsAlso is what the tests of a room may import beyond what the room may.
var testsAlso = map[string][]string{
	"catalog/folders":              list("catalog/folders/foldertest"),
	"catalog":                      list("catalog/folders/foldertest"),
	"catalog/index":                list("catalog/fetch/git", "catalog/fetch/web"), // as the daemon fetches catalogs
	"catalog/fetch/web":            list("catalog/blobs"),                          // downloads are measured beside curl, to where they go
	"catalog/fetch/git":            list("catalog/fetch/fetchtest"),
	"catalog/fetch/oci":            list("catalog/blobs"), // what is packed comes out where models lie
	"catalog/fetch/ngc":            list("catalog/fetch/fetchtest"),
	"catalog/fetch/hub":            list("catalog/fetch/hub/hubtest", "catalog/fetch/fetchtest", "catalog/blobs"),
	"appliance/daemon":             list("catalog/fetch/hub/hubtest", "appliance/store/pgtest"),
	"appliance/people/oidc":        list("appliance/people/oidc/dextest"),
	"appliance/cluster":            list("appliance/cluster/clustertest"),
	"appliance/cluster/simulation": list("catalog", "catalog/folders", "accel", "variants", "sessions", "sessions/runtimetest", "appliance/store", "appliance/store/pgtest", "appliance/cluster", "appliance/cluster/agent", "appliance/cluster/clustertest", "appliance/cluster/fleet", "appliance/cluster/member"), // a leader and its fleet
	"appliance/cluster/goods":      list("appliance/cluster/trust"),                                                                                                                                                                                                                                                  // boxes meet over the certificates of a cluster
	"appliance/cluster/fleet":      list("appliance/cluster/agent", "appliance/cluster/clustertest"),                                                                                                                                                                                                                 // a node's own loop is at the other end
	"appliance/cluster/door":       list("sessions/process", "variants"),                                                                                                                                                                                                                                             // logs, commands and terminals of real processes
	"catalog/install":              list("catalog/fetch/hub", "catalog/fetch/hub/hubtest", "catalog/fetch/web"),
	"model-definitions":            list("catalog/bytesize", "catalog", "catalog/fit", "catalog/plan", "catalog/recipe", "variants"),                                                       // recipes are read, resolved, planned, and their memory held against the estimator
	"catalog/fit":                  list("model-definitions/hello/gguf"),                                                                                                                   // its models are loaded by a real engine, whose log is compared
	"sessions/containerd":          list("sessions/containerd/private", "sessions/terminal", "catalog"),                                                                                    // a containerd of the tests' own, actions, and terminals as they are watched
	"training/figures":             list("training/checkpoints"),                                                                                                                           // whose directories they are in
	"appliance/e2e":                list("catalog/bytesize", "autoscaler", "autoscaler/signals", "router/usage"),                                                                           // numbers of bytes are compared with those of scripts, journals are called as the meter calls them, and a real engine's page is read as the daemon reads it
	"appliance/console":            list("router/usage", "appliance/backup", "appliance/admin", "appliance/people", "appliance/store", "sessions", "catalog/folders", "training/accounts"), // pages are made of the real API, with fakes behind it
	"appliance/cli":                list("appliance/admin", "sessions"),                                                                                                                    // scripts run against the real API, with fakes behind it
}

func list(first string, more ...string) []string { return append([]string{first}, more...) }

// keepers names the one room that may link a library: elsewhere its types would spread.
var keepers = map[string]string{
	"C":                                  "accel/nvml",
	"github.com/gin-gonic/gin":           "appliance/admin",
	"github.com/NVIDIA/go-nvml":          "accel/nvml",
	"github.com/containerd/containerd":   "sessions/containerd",
	"github.com/jackc/pgx":               "appliance/store",
	"github.com/pressly/goose":           "appliance/store",
	"modernc.org/sqlite":                 "appliance/store",
	"github.com/redis/go-redis":          "router/quota/tally",
	"github.com/spf13/cobra":             "appliance/cli",
	"github.com/coreos/go-oidc":          "appliance/people/oidc",
	"go.opentelemetry.io/otel":           "router/record/otlp",
	"github.com/yuin/goldmark":           "appliance/console/markdown",
	"github.com/microcosm-cc/bluemonday": "appliance/console/markdown",
}

// nobody lists folder names that say nothing about what is in them.
var nobody = list("util", "utils", "common", "helpers", "helper", "shared", "types", "models", "misc", "base", "lib", "pkg", "internal")

// topLevel is the architecture as one sees it first. Names with a dot in front are free.
var topLevel = list("accel", "appliance", "autoscaler", "catalog", "firmware-images", "model-definitions", "router", "sessions",
	"training", "variants", "docs", "examples", "bin",
	"CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "README.md", "go.mod", "go.sum")

const longest = 500 // lines of a file that is no test and no suite: more is two concerns in one file

// source is one Go file of ours.
type source struct {
	dir     string // relative to the root, with slashes
	name    string
	test    bool
	lines   int
	doc     bool // has a package comment
	imports []string
}

func root(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod above this test")
		}
		dir = up
	}
}

func sources(t *testing.T) []source {
	t.Helper()
	top, files := root(t), []source{}
	err := filepath.WalkDir(top, func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && file != top && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata"):
			return filepath.SkipDir
		case entry.IsDir() || filepath.Ext(file) != ".go":
			return nil
		}
		relative, err := filepath.Rel(top, file)
		if err != nil {
			return err
		}
		s, err := read(file)
		s.dir, s.name = filepath.ToSlash(filepath.Dir(relative)), entry.Name()
		files = append(files, s)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 10 {
		t.Fatalf("only %d Go files under %s: the walk went wrong", len(files), top)
	}
	return files
}

func read(file string) (source, error) {
	set := token.NewFileSet()
	tree, err := parser.ParseFile(set, file, nil, parser.ImportsOnly|parser.ParseComments)
	if err != nil {
		return source{}, fmt.Errorf("parsing: %w", err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return source{}, err
	}
	s := source{test: strings.HasSuffix(file, "_test.go"), lines: strings.Count(string(text), "\n"), doc: documented(tree)}
	for _, i := range tree.Imports {
		name, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			return source{}, err
		}
		s.imports = append(s.imports, name)
	}
	return s, nil
}

func documented(tree *ast.File) bool {
	text := tree.Doc.Text()
	return strings.HasPrefix(text, "Package "+tree.Name.Name+" ") || tree.Name.Name == "main" && strings.HasPrefix(text, "Command ")
}

// row is the table's row for dir.
func row(dir string) (room, bool) {
	i := slices.IndexFunc(rooms, func(r room) bool { return r.path == dir })
	if i < 0 {
		return room{}, false
	}
	return rooms[i], true
}

// breach says what is wrong with s importing our package ours (relative to the module), or "".
//  1. A test outside its package imports it.
//  2. What the table allows may be imported: the very package, not what lies below it.
//  3. A test may also import suites and fakes: packages whose name ends in "test".
//  4. A test may import what testsAlso allows it: the other side of what it tests.
func breach(s source, ours string) string {
	from, known := row(s.dir)
	if !known {
		return fmt.Sprintf("%s has no row in the table", s.dir)
	}
	if _, known := row(ours); !known {
		return fmt.Sprintf("%s has no row in the table", ours)
	}
	switch {
	case s.test && ours == s.dir: // 1
		return ""
	case slices.Contains(from.may, ours): // 2
		return ""
	case s.test && strings.HasSuffix(ours, "test"): // 3
		return ""
	case s.test && slices.Contains(testsAlso[s.dir], ours): // 4
		return ""
	}
	return fmt.Sprintf("%s may not know %s", s.dir, ours)
}

func TestRoomsKnowOnlyWhatTheTableAllows(t *testing.T) {
	for _, s := range sources(t) {
		if _, known := row(s.dir); !known {
			t.Errorf("%s/%s: this folder has no row in the table", s.dir, s.name)
		}
		for _, name := range s.imports {
			ours, is := strings.CutPrefix(name, module+"/")
			if !is {
				continue
			}
			if wrong := breach(s, ours); wrong != "" {
				t.Errorf("%s/%s imports %s: %s", s.dir, s.name, ours, wrong)
			}
		}
	}
}

func TestTheTableHasNoCircles(t *testing.T) {
	for i, r := range rooms {
		for _, other := range r.may {
			above := slices.IndexFunc(rooms, func(o room) bool { return o.path == other })
			if above < 0 || above >= i {
				t.Errorf("%s may import %s, which does not stand above it in the table", r.path, other)
			}
		}
	}
}

func TestLibrariesStayWithTheirKeepers(t *testing.T) {
	for _, s := range sources(t) {
		if s.test {
			continue // a test may look at a keeper's work with the keeper's own tools
		}
		for _, name := range s.imports {
			for library, keeper := range keepers {
				if (name == library || strings.HasPrefix(name, library+"/")) && s.dir != keeper && !strings.HasPrefix(s.dir, keeper+"/") {
					t.Errorf("%s/%s imports %s: only %s may", s.dir, s.name, name, keeper)
				}
			}
		}
	}
}

func TestFoldersAreNamedAfterWhatTheyOwn(t *testing.T) {
	for _, s := range sources(t) {
		for part := range strings.SplitSeq(s.dir, "/") {
			if slices.Contains(nobody, part) {
				t.Errorf("%s: a folder called %q is nobody's: name it after what it owns", s.dir, part)
			}
		}
	}
	entries, err := os.ReadDir(root(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && !slices.Contains(topLevel, e.Name()) {
			t.Errorf("%s: the top level is the architecture; this is not part of it", e.Name())
		}
	}
}

func TestEveryPackageSaysWhatItOwns(t *testing.T) {
	documented := map[string]bool{}
	for _, s := range sources(t) {
		if !s.test {
			documented[s.dir] = documented[s.dir] || s.doc
		}
	}
	for dir, is := range documented {
		if !is {
			t.Errorf("%s: no file has a package comment that begins with \"Package NAME\" (\"Command NAME\" for a program)", dir)
		}
	}
}

func TestFilesHoldOneConcern(t *testing.T) {
	for _, s := range sources(t) {
		if !s.test && !strings.HasSuffix(s.dir, "test") && s.lines > longest {
			t.Errorf("%s/%s: %d lines, at most %d: is this two concerns?", s.dir, s.name, s.lines, longest)
		}
	}
}

// TestTheLinterHoldsTheSameLaw compares the table with depguard's rules, so that an editor shows a breach
// as it is typed and the two never part.
func TestTheLinterHoldsTheSameLaw(t *testing.T) {
	type denial struct {
		Pkg  string `yaml:"pkg"`
		Desc string `yaml:"desc"`
	}
	type rule struct {
		Mode  string   `yaml:"list-mode"`
		Files []string `yaml:"files"`
		Allow []string `yaml:"allow,omitempty"`
		Deny  []denial `yaml:"deny"`
	}
	in := func(dir string) string { return "${config-path}/" + dir }
	want := map[string]rule{}
	for _, r := range rooms {
		made := rule{
			Mode: "lax", Files: []string{in(r.path) + "/*.go", "!$test"},
			Deny: []denial{{module, r.path + " may not know that room: docs/decisions/0001-rooms.md"}},
		}
		for _, other := range r.may {
			made.Allow = append(made.Allow, module+"/"+other+"$") // the very package
		}
		want[strings.ReplaceAll(r.path, "/", "-")] = made
	}
	for library, keeper := range keepers {
		if library == "C" {
			continue // not an import that depguard sees
		}
		want["only-"+strings.ReplaceAll(keeper, "/", "-")+"-links-"+strings.ToLower(path.Base(library))] = rule{
			Mode: "lax", Files: []string{"$all", "!$test", "!" + in(keeper) + "/**"},
			Deny: []denial{{library, "only " + keeper + " may link this"}},
		}
	}

	text, err := os.ReadFile(filepath.Join(root(t), ".golangci.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var settings struct {
		Linters struct {
			Settings struct {
				Depguard struct {
					Rules map[string]rule `yaml:"rules"`
				} `yaml:"depguard"`
			} `yaml:"settings"`
		} `yaml:"linters"`
	}
	if err := yaml.Unmarshal(text, &settings); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, settings.Linters.Settings.Depguard.Rules); diff != "" {
		written, err := yaml.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		t.Errorf(".golangci.yml, linters.settings.depguard.rules (-want +got):\n%s\nthe rules as they should be:\n%s", diff, written)
	}
}

func TestTheLawSeesBreaches(t *testing.T) {
	for _, c := range []struct {
		dir, imports string
		test         bool
		want         string
	}{
		{"catalog", "catalog", true, ""},
		{"variants", "catalog", false, ""},
		{"catalog", "variants", false, "catalog may not know variants"},
		{"router", "sessions", false, "router may not know sessions"},
		{"sessions", "sessions/process", false, "sessions may not know sessions/process"},
		{"sessions", "sessions/runtimetest", true, ""},
		{"sessions", "sessions/runtimetest", false, "sessions may not know sessions/runtimetest"},
		{"appliance/admin", "sessions/process", false, "appliance/admin may not know sessions/process"},
		{"appliance/cli", "appliance/store", false, "appliance/cli may not know appliance/store"},
		{"appliance/daemon", "appliance/cli", false, "appliance/daemon may not know appliance/cli"},
		{"pool", "catalog", false, "pool has no row in the table"},
		{"catalog", "catalog/pool", false, "catalog/pool has no row in the table"},
	} {
		if got := breach(source{dir: c.dir, test: c.test}, c.imports); got != c.want {
			t.Errorf("%s importing %s: %q, want %q", c.dir, c.imports, got, c.want)
		}
	}
}
