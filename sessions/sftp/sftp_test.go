package sftp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// client speaks the protocol word by word.
type client struct {
	t    *testing.T
	in   *io.PipeWriter
	out  *io.PipeReader
	last uint32
	done chan error
}

func dial(t *testing.T) *client {
	t.Helper()
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	c := &client{t: t, in: inW, out: outR, done: make(chan error, 1)}
	go func() {
		err := Serve(inR, outW)
		outW.Close()
		inR.Close()
		c.done <- err
	}()
	t.Cleanup(func() { inW.Close(); outR.Close() })
	c.write(typeInit, (&writer{}).uint32(version))
	p := c.read()
	if p.kind != typeVersion || p.body.uint32() != version {
		t.Fatalf("it greets with %d", p.kind)
	}
	return c
}

func (c *client) write(kind byte, body *writer) {
	c.t.Helper()
	w := &writer{b: []byte{0, 0, 0, 0, kind}}
	w.b = append(w.b, body.b...)
	if _, err := c.in.Write(w.packet()); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) read() packet {
	c.t.Helper()
	p, err := receive(c.out, make([]byte, maxPacket))
	if err != nil {
		c.t.Fatal(err)
	}
	return p
}

// ask sends a request and returns its answer behind the id.
func (c *client) ask(kind byte, body *writer) packet {
	c.t.Helper()
	c.last++
	c.write(kind, &writer{b: append(binary.BigEndian.AppendUint32(nil, c.last), body.b...)})
	p := c.read()
	if id := p.body.uint32(); id != c.last {
		c.t.Fatalf("the answer to %d is for %d", c.last, id)
	}
	return p
}

func words(list ...string) *writer {
	w := &writer{}
	for _, s := range list {
		w.string(s)
	}
	return w
}

// code asks for what has a status as its answer.
func (c *client) code(kind byte, body *writer) (uint32, string) {
	c.t.Helper()
	p := c.ask(kind, body)
	if p.kind != typeStatus {
		c.t.Fatalf("the answer is of type %d", p.kind)
	}
	return p.body.uint32(), p.body.string()
}

func (c *client) fine(kind byte, body *writer) {
	c.t.Helper()
	if code, text := c.code(kind, body); code != 0 {
		c.t.Fatalf("request %d: %d %s", kind, code, text)
	}
}

func (c *client) handle(kind byte, body *writer) string {
	c.t.Helper()
	p := c.ask(kind, body)
	if p.kind != typeHandle {
		p.body.uint32()
		c.t.Fatalf("no handle: %s", p.body.string())
	}
	return p.body.string()
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	c, at := dial(t), func(name string) string { return filepath.Join(dir, name) }
	h := c.handle(typeOpen, words(at("new")).uint32(openWrite|openCreate|openExcl).uint32(hasMode).uint32(0o640))
	c.fine(typeWrite, words(h).uint64(4).string("data"))
	c.fine(typeWrite, words(h).uint64(0).string("some"))
	c.fine(typeExtended, words("fsync@openssh.com", h))
	c.fine(typeFsetstat, words(h).uint32(hasTimes|hasMode).uint32(0o600).uint32(1e9).uint32(1e9))
	c.fine(typeClose, words(h))
	if text, err := os.ReadFile(at("new")); err != nil || string(text) != "somedata" {
		t.Fatalf("%q %v", text, err)
	}
	if info, err := os.Stat(at("new")); err != nil || info.Mode() != 0o600 || info.ModTime().Unix() != 1e9 {
		t.Errorf("%v %v", info, err)
	}
	h = c.handle(typeOpen, words(at("new")).uint32(openRead).uint32(0))
	p := c.ask(typeRead, words(h).uint64(2).uint32(4))
	if text := p.body.string(); p.kind != typeData || text != "meda" {
		t.Errorf("read %q", text)
	}
	if p := c.ask(typeRead, words(h).uint64(6).uint32(1<<30)); p.body.string() != "ta" {
		t.Error("the end is not read")
	}
	if code, _ := c.code(typeRead, words(h).uint64(8).uint32(1)); code != 1 {
		t.Errorf("after the end: %d", code)
	}
	if code, _ := c.code(typeRead, words(h).uint64(1<<63).uint32(1)); code != 1 {
		t.Errorf("far after the end: %d", code)
	}
	if code, _ := c.code(typeWrite, words(h).uint64(0).string("x")); code != 4 {
		t.Errorf("written to what is read: %d", code)
	}
	c.fine(typeRename, words(at("new"), at("other")))
	c.fine(typeSymlink, words("other", at("link")))
	c.fine(typeExtended, words("hardlink@openssh.com", at("other"), at("hard")))
	if code, _ := c.code(typeRename, words(at("hard"), at("other"))); code != 4 {
		t.Errorf("a rename replaces: %d", code)
	}
	c.fine(typeExtended, words("posix-rename@openssh.com", at("hard"), at("soft")))
	if p := c.ask(typeReadlink, words(at("link"))); p.body.uint32() != 1 || p.body.string() != "other" {
		t.Error("where the link leads")
	}
	c.fine(typeExtended, words("lsetstat@openssh.com", at("link")).uint32(hasTimes).uint32(5).uint32(6))
	if info, err := os.Lstat(at("link")); err != nil || info.ModTime().Unix() != 6 {
		t.Errorf("%v %v", info, err)
	}
	c.fine(typeSetstat, words(at("other")).uint32(hasSize).uint64(3))
	c.fine(typeMkdir, words(at("below")).uint32(0))
	if code, _ := c.code(typeRmdir, words(at("other"))); code != 2 {
		t.Errorf("a file removed as a directory: %d", code)
	}
	if code, _ := c.code(typeRemove, words(at("below"))); code == 0 {
		t.Error("a directory removed as a file")
	}
	c.fine(typeRmdir, words(at("below")))
	c.fine(typeRemove, words(at("soft")))
	p = c.ask(typeExtended, words("statvfs@openssh.com", dir))
	if size := p.body.uint64(); p.kind != typeExtendedReply || size == 0 {
		t.Error("how much there is")
	}
}

func TestDirectories(t *testing.T) {
	dir := t.TempDir()
	want := map[string]bool{".": false}
	for _, name := range []string{"with\nnewline", "blank space", strings.Repeat("x", 255), "\xff\xfe"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		want[name] = true
	}
	for i := range 1000 {
		name := strings.Repeat("n", 200) + string(rune('a'+i%26)) + strings.Repeat("m", i/26)
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		want[name] = true
	}
	delete(want, ".")
	c := dial(t)
	h := c.handle(typeOpendir, words(dir))
	for {
		p := c.ask(typeReaddir, words(h))
		if p.kind == typeStatus {
			if code := p.body.uint32(); code != 1 {
				t.Errorf("the end is %d", code)
			}
			break
		}
		for range p.body.uint32() {
			name := p.body.string()
			p.body.bytes()
			p.body.attributes()
			if !want[name] {
				t.Errorf("%q is there, or twice", name)
			}
			delete(want, name)
		}
		if p.body.bad {
			t.Fatal("the list is cut short")
		}
	}
	if len(want) > 0 {
		t.Errorf("%d are missing", len(want))
	}
	if code, _ := c.code(typeOpendir, words(filepath.Join(dir, "blank space"))); code != 2 {
		t.Errorf("a file opened as a directory: %d", code)
	}
	if code, _ := c.code(typeReaddir, words("none")); code != 4 {
		t.Errorf("no such handle: %d", code)
	}
}

func TestPaths(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "real"), 0o755), os.Symlink("real", filepath.Join(dir, "link"))); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	t.Setenv("HOME", dir)
	c := dial(t)
	for path, want := range map[string]string{
		"": dir, ".": dir, "link": dir + "/real", "link/../x": dir + "/x", "nothing": dir + "/nothing", "/": "/",
	} {
		p := c.ask(typeRealpath, words(path))
		if p.kind != typeName || p.body.uint32() != 1 {
			t.Errorf("%q has no path", path)
			continue
		}
		if got := p.body.string(); got != want {
			t.Errorf("%q is %s, want %s", path, got, want)
		}
	}
	p := c.ask(typeExtended, words("expand-path@openssh.com", "~/link"))
	if p.body.uint32(); p.body.string() != dir+"/real" {
		t.Error("~ is not the home")
	}
	if code, _ := c.code(typeRealpath, words("no/thing")); code != 2 {
		t.Errorf("in a directory that is not there: %d", code)
	}
	for _, kind := range []byte{typeStat, typeLstat, typeReadlink, typeRemove, typeRmdir} {
		if code, text := c.code(kind, words("absent")); code != 2 || strings.Contains(text, "absent") {
			t.Errorf("request %d: %d %s", kind, code, text)
		}
	}
	if code, _ := c.code(typeExtended, words("copy-data", "x")); code != 8 {
		t.Errorf("what is not known: %d", code)
	}
	if code, _ := c.code(99, words("x")); code != 8 {
		t.Errorf("what is not known: %d", code)
	}
	if code, _ := c.code(typeOpen, words("x")); code != 5 {
		t.Errorf("a message that is cut short: %d", code)
	}
}

// Files that are never closed end somewhere, and with the client.
func TestManyHandles(t *testing.T) {
	dir := t.TempDir()
	c := dial(t)
	open := words(filepath.Join(dir, "f")).uint32(openWrite | openCreate).uint32(0)
	for range mostHandles {
		c.handle(typeOpen, open)
	}
	if code, text := c.code(typeOpen, open); code != 4 || !strings.Contains(text, "1000 files") {
		t.Errorf("%d %s", code, text)
	}
	c.in.Close()
	if err := <-c.done; err != nil {
		t.Error(err)
	}
}

func TestLine(t *testing.T) {
	n := names{map[uint32]string{0: "root", 7: "ada"}, map[uint32]string{0: "root", 7: "staff"}}
	dir := t.TempDir()
	path := filepath.Join(dir, "notes")
	if err := os.WriteFile(path, []byte("hello"), 0o640); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 1, 12, 30, 0, 0, time.Local)
	if err := errors.Join(os.Chtimes(path, at, at), os.Chmod(path, 0o4755)); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	for now, want := range map[time.Time]string{
		at.Add(time.Hour):            "Mar  1 12:30 notes",
		at.Add(400 * 24 * time.Hour): "Mar  1  2026 notes",
	} {
		if got := n.line(info, now); !strings.HasPrefix(got, "-r") || !strings.HasSuffix(got, want) {
			t.Errorf("%q, want %q at its end", got, want)
		}
	}
	for mode, want := range map[fs.FileMode]string{
		0o644: "-rw-r--r--", fs.ModeDir | 0o755: "drwxr-xr-x", fs.ModeSymlink | 0o777: "lrwxrwxrwx", fs.ModeSetuid | 0o755: "-rwsr-xr-x",
		fs.ModeSetgid | 0o640: "-rw-r-S---", fs.ModeDir | fs.ModeSticky | 0o777: "drwxrwxrwt", fs.ModeNamedPipe: "p---------",
		fs.ModeDevice | fs.ModeCharDevice | 0o666: "crw-rw-rw-", fs.ModeSocket | 0o700: "srwx------",
	} {
		if got := modeWords(mode); got != want {
			t.Errorf("%v is %s, want %s", mode, got, want)
		}
	}
}

// Whatever comes is answered or refused, with no more than one answer to each request.
func FuzzServe(f *testing.F) {
	f.Add([]byte{typeStat, 0, 0, 0, 1, 0, 0, 0, 1, '/'})
	f.Add([]byte{typeRead, 0, 0, 0, 1, 0, 0, 0, 1, '1', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9})
	f.Add([]byte{typeReaddir})
	f.Add(append([]byte{typeExtended, 0, 0, 0, 1}, words("limits@openssh.com").b...))
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) == 0 || len(body) > maxPacket || harmful(body[0]) {
			return
		}
		t.Chdir(t.TempDir())
		hello := (&writer{b: []byte{0, 0, 0, 0, typeInit}}).uint32(version).packet()
		w := &writer{b: append([]byte{0, 0, 0, 0}, body...)}
		var out bytes.Buffer
		if err := Serve(bytes.NewReader(append(hello, w.packet()...)), &out); err != nil {
			t.Fatal(err)
		}
		for _, kind := range []byte{typeVersion, 0} {
			p, err := receive(&out, make([]byte, 2*maxPacket))
			if err != nil || kind != 0 && p.kind != kind {
				t.Fatalf("%d, %v", p.kind, err)
			}
		}
		if out.Len() > 0 {
			t.Fatalf("%d bytes too many", out.Len())
		}
	})
}

// harmful are requests that change what is outside of the test's directory, where they name it.
func harmful(kind byte) bool {
	switch kind {
	case typeOpen, typeSetstat, typeRemove, typeMkdir, typeRmdir, typeRename, typeSymlink, typeExtended:
		return true
	}
	return false
}

func TestBrokenStreams(t *testing.T) {
	for name, in := range map[string][]byte{
		"not a greeting": {0, 0, 0, 5, typeOpen, 0, 0, 0, 1},
		"too long":       {0xff, 0xff, 0xff, 0xff, 1},
		"empty":          {0, 0, 0, 0, 1},
		"cut off":        {0, 0, 0, 5, typeInit, 0},
	} {
		if err := Serve(bytes.NewReader(in), io.Discard); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := Serve(strings.NewReader(""), io.Discard); err != nil {
		t.Errorf("a client that asks for nothing: %v", err)
	}
}
