package main

import (
	"archive/tar"
	"bytes"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var begun = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// file is one of a root in a test.
type file struct {
	name, body, link string
	kind             byte
	mode             int64
	at               time.Time
	xattr            string
}

func rootOf(t testing.TB, files ...file) io.Reader {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, f := range files {
		h := &tar.Header{
			Name: "./" + f.name, Typeflag: f.kind, Linkname: f.link, Mode: 0o644, Size: int64(len(f.body)), ModTime: f.at,
			Uname: "builder", AccessTime: time.Now(), Format: tar.FormatPAX,
		}
		if f.mode != 0 {
			h.Mode = f.mode
		}
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if h.ModTime.IsZero() {
			h.ModTime = begun.Add(-time.Hour)
		}
		if f.xattr != "" {
			h.PAXRecords = map[string]string{xattr + "security.capability": f.xattr}
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, f.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &buf
}

// layerOf writes a root's layer over others, and returns it with what it comes to.
func layerOf(t testing.TB, below marks, files ...file) (layer, marks) {
	t.Helper()
	l, err := writeLayer(filepath.Join(t.TempDir(), "layer"), rootOf(t, files...), below, begun)
	if err != nil {
		t.Fatal(err)
	}
	all := maps.Clone(below)
	if all == nil {
		all = marks{}
	}
	diffID, err := marksOf(l.file, all)
	if err != nil {
		t.Fatal(err)
	}
	if diffID != l.diffID {
		t.Errorf("it is read as %s and was written as %s", diffID, l.diffID)
	}
	return l, all
}

func namesOf(t testing.TB, below marks, files ...file) []string {
	t.Helper()
	var names []string
	if err := difference(rootOf(t, files...), below, begun, func(e entry) error {
		names = append(names, e.header.Name)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return names
}

func TestALayerHasWhatIsNotBelow(t *testing.T) {
	etc := file{name: "etc/", kind: tar.TypeDir, mode: 0o755}
	hosts := file{name: "etc/hosts", body: "x"}
	link := file{name: "etc/same", kind: tar.TypeLink, link: "./etc/hosts"}
	deep := []file{{name: "opt/", kind: tar.TypeDir}, {name: "opt/a", body: "a"}, {name: "opt/b/", kind: tar.TypeDir}, {name: "opt/b/c", body: "c"}}
	_, below := layerOf(t, nil, append([]file{etc, hosts, link}, deep...)...)
	for name, c := range map[string]struct {
		root []file
		want []string
	}{
		"the same":              {append([]file{etc, hosts, link}, deep...), nil},
		"another body":          {append([]file{etc, {name: "etc/hosts", body: "y"}}, deep...), []string{"etc/hosts", "etc/.wh.same"}},
		"another size":          {append([]file{etc, {name: "etc/hosts", body: "yy"}, link}, deep...), []string{"etc/hosts", "etc/same"}},
		"another mode":          {append([]file{etc, {name: "etc/hosts", body: "x", mode: 0o755}, link}, deep...), []string{"etc/hosts", "etc/same"}},
		"a capability":          {append([]file{etc, {name: "etc/hosts", body: "x", xattr: "y"}, link}, deep...), []string{"etc/hosts", "etc/same"}},
		"one more":              {append([]file{etc, hosts, link, {name: "etc/new"}}, deep...), []string{"etc/new"}},
		"a directory's time":    {append([]file{{name: "etc/", kind: tar.TypeDir, mode: 0o755, at: begun.Add(time.Minute)}, hosts, link}, deep...), nil},
		"a directory goes":      {[]file{etc, hosts, link}, []string{".wh.opt"}},
		"some of it goes":       {[]file{etc, hosts, link, deep[0], deep[1]}, []string{"opt/.wh.b"}},
		"a file is a directory": {[]file{etc, hosts, link, {name: "opt", body: "x"}}, []string{"opt"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, namesOf(t, below, c.root...)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestNothingOfTheBuildIsLeft: two builds of the same packages, at other times, are the same bytes.
func TestNothingOfTheBuildIsLeft(t *testing.T) {
	root := func(at time.Time, day, noise string) []file {
		return []file{
			{name: "", kind: tar.TypeDir, at: at},
			{name: "etc/", kind: tar.TypeDir, at: at},
			{name: "etc/shadow", body: "root:*:" + day + ":0:99999:7:::\nwork:!:" + day + ":0:99999:7:::\n", at: at},
			{name: "etc/shadow-", body: noise, at: at},
			{name: "etc/machine-id", body: noise, at: at},
			{name: "etc/ssh/ssh_host_ed25519_key", body: noise, at: at},
			{name: "var/log/dpkg.log", body: noise, at: at},
			{name: "var/log/", kind: tar.TypeDir, at: at},
			{name: "dev/null", kind: tar.TypeChar, at: at},
			{name: "usr/bin/tool", body: "tool", mode: 0o4755, xattr: "cap"},
			{name: "usr/lib/made.pyc", body: "made", at: at},
		}
	}
	first, all := layerOf(t, nil, root(begun.Add(time.Second), "20100", "a")...)
	second, _ := layerOf(t, nil, root(begun.Add(time.Hour), "20101", "b")...)
	if first.digest != second.digest || first.diffID != second.diffID || first.size != second.size {
		t.Errorf("%+v and %+v", first, second)
	}
	for _, gone := range []string{"etc/machine-id", "etc/ssh/ssh_host_ed25519_key", "dev/null", "var/log/dpkg.log", "etc/shadow-"} {
		if _, ok := all[gone]; ok {
			t.Errorf("%s is in it", gone)
		}
	}
	for _, kept := range []string{"etc/shadow", "usr/bin/tool", "var/log", "usr/lib/made.pyc"} {
		if _, ok := all[kept]; !ok {
			t.Errorf("%s is not in it", kept)
		}
	}
}

func TestARootThatIsCutOffIsRefused(t *testing.T) {
	whole, err := io.ReadAll(rootOf(t, file{name: "a", body: strings.Repeat("x", 4096)}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := writeLayer(filepath.Join(t.TempDir(), "layer"), bytes.NewReader(whole[:2048]), nil, begun); err == nil {
		t.Error("a half is taken for a whole")
	}
}

// FuzzDifference: what is below and what is added come to what was wanted, whatever the two are.
func FuzzDifference(f *testing.F) {
	f.Add("a:1,b:2,d/c:3", "a:1,b:3,d/e:4")
	f.Add("a/b/c:1", "a:2")
	f.Add("", "x:1")
	f.Fuzz(func(t *testing.T, first, second string) {
		was, will := tree(first), tree(second)
		_, below := layerOf(t, nil, was...)
		_, got := layerOf(t, below, will...)
		_, want := layerOf(t, nil, will...)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q over %q (-want +got):\n%s", second, first, diff)
		}
	})
}

// tree makes files of NAME:BODY,...: of letters, with their directories, no file twice and none below another.
func tree(words string) []file {
	var files []file
	dirs, seen := map[string]bool{}, map[string]bool{}
	for word := range strings.SplitSeq(words, ",") {
		name, body, _ := strings.Cut(word, ":")
		var parts []string
		for part := range strings.SplitSeq(name, "/") {
			if part = strings.Map(letter, part); part != "" {
				parts = append(parts, part)
			}
		}
		name = strings.Join(parts, "/")
		clash := name == "" || len(name) > 60 || seen[name] || dirs[name]
		for i := range parts {
			clash = clash || seen[strings.Join(parts[:i], "/")]
		}
		if clash {
			continue
		}
		for i := 1; i < len(parts); i++ {
			if dir := strings.Join(parts[:i], "/"); !dirs[dir] {
				dirs[dir] = true
				files = append(files, file{name: dir + "/", kind: tar.TypeDir, mode: 0o755})
			}
		}
		seen[name] = true
		files = append(files, file{name: name, body: body})
	}
	return files
}

func letter(r rune) rune {
	if r >= 'a' && r <= 'z' {
		return r
	}
	return -1
}

// TestArchive: what is written as an archive is read as what it was written of.
func TestArchive(t *testing.T) {
	l, all := layerOf(t, nil, file{name: "bin/", kind: tar.TypeDir, mode: 0o755}, file{name: "bin/sh", body: "sh", mode: 0o755})
	dir := t.TempDir()
	img := &image{layers: []layer{l}}
	img.definition.Name, img.definition.Release = "base", "bookworm"
	for _, name := range []string{"one.tar", "two.tar"} {
		if err := img.write(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	one, err := os.ReadFile(filepath.Join(dir, "one.tar"))
	if err != nil {
		t.Fatal(err)
	}
	two, err := os.ReadFile(filepath.Join(dir, "two.tar"))
	if err != nil || !bytes.Equal(one, two) {
		t.Errorf("one image is written in two ways: %v", err)
	}
	layers, below, err := layersOf(filepath.Join(dir, "one.tar"), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(all, below); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if len(layers) != 1 || layers[0].digest != l.digest || layers[0].diffID != l.diffID || layers[0].size != l.size {
		t.Errorf("%+v, want %+v", layers, l)
	}
	if _, _, err := layersOf(filepath.Join(dir, "none.tar"), t.TempDir()); err == nil {
		t.Error("no archive is an archive")
	}
}
