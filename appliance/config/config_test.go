package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/catalog"
)

// wants are the words that a file of testdata expects, from its comments; TESTDATA in them is the folder.
func wants(t *testing.T, path, key string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for line := range strings.Lines(string(text)) {
		if word, ok := strings.CutPrefix(strings.TrimSpace(line), "# "+key+": "); ok {
			words = append(words, strings.ReplaceAll(word, "TESTDATA", dir))
		}
	}
	return words
}

// dump prints every setting as "field=value", one a line.
func dump(c Config) string {
	var lines []string
	for field, v := range fieldsOf(&c) {
		lines = append(lines, fmt.Sprintf("%s=%v", field, v.Interface()))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func matching(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/" + pattern)
	if err != nil || len(files) < 5 {
		t.Fatalf("%d files match %s (%v)", len(files), pattern, err)
	}
	return files
}

func TestGoodFiles(t *testing.T) {
	for _, file := range matching(t, "*.good.yaml") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			cfg, warnings, err := Load(file, Overrides{})
			if err != nil {
				t.Fatal(err)
			}
			got := dump(cfg) + "\n" + warnings.Error() + "\n"
			if len(warnings) == 0 {
				got += "no warnings\n"
			}
			for _, want := range wants(t, file, "want") {
				if strings.Contains(want, "=") && !strings.Contains(got, want+"\n") || !strings.Contains(got, want) {
					t.Errorf("%q is not in:\n%s", want, got)
				}
			}
		})
	}
}

func TestBadFiles(t *testing.T) {
	for _, file := range matching(t, "*.bad.yaml") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			_, _, err := Load(file, Overrides{})
			if err == nil {
				t.Fatal("taken as good")
			}
			words := wants(t, file, "want")
			if len(words) == 0 {
				t.Fatal("the file says no words to expect")
			}
			for _, want := range words {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in:\n%v", want, err)
				}
			}
			for _, secret := range wants(t, file, "absent") {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("%q must not be in:\n%v", secret, err)
				}
			}
			if lines := strings.Count(err.Error(), "\n") + 1; lines != len(words) {
				t.Errorf("%d problems for %d words:\n%v", lines, len(words), err)
			}
		})
	}
}

func TestDefaultsAreGood(t *testing.T) {
	t.Setenv("HOME", "/home/me")
	if ps := Default().Validate(); len(ps) > 0 {
		t.Error(ps)
	}
	cfg, warnings, err := Load("", Overrides{})
	if err != nil || len(warnings) > 0 {
		t.Fatal(warnings, err)
	}
	if d := cmp.Diff(dump(Default()), dump(cfg)); d != "" {
		t.Errorf("without a file (-defaults +loaded):\n%s", d)
	}
}

func TestFlagsWin(t *testing.T) {
	flags := Overrides{Data: "d", Listen: ":1", SSHListen: ":3", Advertise: "http://a:2", Database: "sqlite:x.db", Runtime: "process",
		Variants: "testdata/mine.yaml", Domain: "a.example", TLSMode: "files", TLSCert: "testdata/box.crt", TLSKey: "testdata/box.key",
		LogLevel: "error", LogFormat: "text", Containerd: "private", Simulate: "dgxh100"}
	cfg, _, err := Load("testdata/full.good.yaml", flags)
	if err != nil {
		t.Fatal(err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	got := dump(cfg) + "\n"
	for _, want := range []string{"data=" + here + "/d", "listen=:1", "ssh.listen=:3", "advertise=http://a:2", "database=sqlite:" + here + "/x.db", "runtime=process",
		"variants=" + here + "/testdata/mine.yaml", "router.domain=a.example", "tls.mode=files", "tls.cert=" + here + "/testdata/box.crt",
		"tls.key=" + here + "/testdata/box.key", "log.level=ERROR", "log.format=text", "containerd.address=private", "accel.simulate=dgxh100", "service.max_surge=2"} {
		if !strings.Contains(got, want+"\n") {
			t.Errorf("%q is not in:\n%s", want, got)
		}
	}
	// Every override has its field: none is read and forgotten.
	c := Default()
	for _, f := range flags.flags() {
		if _, ok := fieldsOf(&c)[f.field]; !ok || f.value == "" {
			t.Errorf("%s sets %s: no such field, or not in this test", f.flag, f.field)
		}
	}
}

func TestBadFlags(t *testing.T) {
	_, _, err := Load("", Overrides{Listen: "8080", LogLevel: "loud", Runtime: "docker", Database: "postgres://u:hunter2@h:x/db", Data: "~/data"})
	if err == nil {
		t.Fatal("taken as good")
	}
	for _, want := range []string{`--listen: listen: "8080" is not an address`, `--log-level: log.level: "loud" is not a level`,
		`--runtime: runtime: "docker" is not known`, "--database: database: this URL cannot be read", `--data: data: "~/data": ~ is the shell's`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the password is in:\n%v", err)
	}
}

// A flag heals what is wrong in the file: the file's value does not count any more.
func TestFlagHealsTheFile(t *testing.T) {
	cfg, d := parse("f.yaml", []byte("log: {level: loud}\nlisten: nowhere\n"), Overrides{LogLevel: "warn", Listen: ":1"})
	if d.problems.Err() != nil || cfg.Listen != ":1" {
		t.Error(d.problems)
	}
}

func TestFilesThatCannotBeRead(t *testing.T) {
	long := filepath.Join(t.TempDir(), "long.yaml")
	if err := os.WriteFile(long, make([]byte, maxFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"testdata/none.yaml": "no such file", "testdata": "is a directory", long: "is longer than"} {
		_, _, err := Load(path, Overrides{})
		e, ok := err.(interface{ Hint() string })
		if !ok || e.Hint() == "" || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q and a hint", path, err, want)
		}
	}
}

func TestDefaultData(t *testing.T) {
	for _, c := range []struct {
		euid int
		env  map[string]string
		want string
	}{
		{0, map[string]string{"HOME": "/root", "XDG_DATA_HOME": "/x"}, "/var/lib/palisade"},
		{1, map[string]string{"HOME": "/home/me"}, "/home/me/.local/share/palisade"},
		{1, map[string]string{"HOME": "/home/me", "XDG_DATA_HOME": "/x"}, "/x/palisade"},
		{1, map[string]string{"HOME": "/home/me", "XDG_DATA_HOME": "x"}, "/home/me/.local/share/palisade"},
		{1, nil, ""},
	} {
		if got := defaultData(c.euid, func(k string) string { return c.env[k] }); got != c.want {
			t.Errorf("%d %v: %q, want %q", c.euid, c.env, got, c.want)
		}
	}
	if ps := (Config{}).Validate(); !strings.Contains(ps.Error(), "data: there is no place") {
		t.Errorf("no data directory: %v", ps)
	}
}

func TestSecurityAndURL(t *testing.T) {
	for _, c := range []struct {
		listen, advertise string
		tls               TLS
		security          Security
		url               string
	}{
		{"127.0.0.1:8080", "", TLS{Mode: TLSAuto}, Plain, "http://127.0.0.1:8080"},
		{"localhost:8080", "", TLS{Mode: TLSAuto}, Plain, "http://localhost:8080"},
		{"[::1]:8080", "", TLS{Mode: TLSAuto}, Plain, "http://[::1]:8080"},
		{":8080", "", TLS{Mode: TLSAuto}, SelfMade, "https://localhost:8080"},
		{"0.0.0.0:8080", "", TLS{Mode: TLSAuto}, SelfMade, "https://localhost:8080"},
		{"10.0.0.5:443", "", TLS{Mode: TLSAuto, Cert: "/c", Key: "/k"}, Given, "https://10.0.0.5:443"},
		{"127.0.0.1:1", "", TLS{Mode: TLSAuto, Cert: "/c", Key: "/k"}, Given, "https://127.0.0.1:1"},
		{"box.example:1", "", TLS{Mode: TLSFiles, Cert: "/c", Key: "/k"}, Given, "https://box.example:1"},
		{":8080", "https://models.example.com", TLS{Mode: TLSOff}, Plain, "https://models.example.com"},
	} {
		cfg := Config{Listen: c.listen, Advertise: c.advertise, TLS: c.tls}
		if got := cfg.Security(); got != c.security {
			t.Errorf("%s %+v: %s, want %s", c.listen, c.tls, got, c.security)
		}
		if got := cfg.URL(); got != c.url {
			t.Errorf("%s %+v: %s, want %s", c.listen, c.tls, got, c.url)
		}
	}
	if got := (Config{Data: "/d"}).DSN(); got != "sqlite:/d/palisade.db" {
		t.Errorf("DSN %s", got)
	}
}

// The page that explains the settings knows every one of them, and its example is a good file.
func TestThePageKnowsEverySetting(t *testing.T) {
	page, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(page), "```yaml\n")
	example, _, closed := strings.Cut(rest, "```")
	if !ok || !closed {
		t.Fatal("the page has no example")
	}
	cfg, d := parse("example", []byte(example), Overrides{})
	if len(d.problems) > 0 {
		t.Fatal(d.problems)
	}
	for field := range fieldsOf(&cfg) {
		if _, ok := d.places[field]; !ok {
			t.Errorf("the example has no %s", field)
		}
	}
	for _, f := range (Overrides{}).flags() {
		if !strings.Contains(string(page), "`"+f.flag+"`") {
			t.Errorf("the page does not know %s", f.flag)
		}
	}
	if cfg.Listen != Default().Listen || cfg.Service != Default().Service || cfg.Limits.SessionLog != Default().Limits.SessionLog {
		t.Error("the example's values are not the defaults, as it says")
	}
}

func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, "", "")
	}
	f.Add([]byte("a: {b: [c"), ":1", "sqlite:x")
	f.Add([]byte("? a\n: b\n<<: c\n!!binary x: y"), "host", "postgres://u:p@h/d")
	f.Fuzz(func(t *testing.T, text []byte, listen, database string) {
		cfg, d := parse("fuzz.yaml", text, Overrides{Listen: listen, Database: database})
		for _, p := range d.problems {
			if p.Message == "" || p.Severity != catalog.SeverityError && p.Severity != catalog.SeverityWarning {
				t.Errorf("half a problem: %+v", p)
			}
		}
		if d.problems.Err() != nil {
			return
		}
		// What was taken as good is good on its own, and everything that follows from it can be told.
		if err := cfg.Validate().Err(); err != nil {
			t.Errorf("taken as good: %v", err)
		}
		for _, p := range cfg.paths() {
			if *p != "" && !filepath.IsAbs(*p) {
				t.Errorf("relative path %q", *p)
			}
		}
		if cfg.Security() == "" || cfg.URL() == "" || cfg.DSN() == "" {
			t.Errorf("security %q, URL %q, DSN %q", cfg.Security(), cfg.URL(), cfg.DSN())
		}
	})
}
