package folders

import (
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

func TestFolderDirectory(t *testing.T) {
	fo, _, _ := newFolders(t)
	f := create(t, fo, "data")
	if err := fo.MakeDirectory(f, "runs/7/out"); err != nil {
		t.Fatal(err)
	}
	if err := fo.MakeDirectory(f, "/runs/7/out/"); err != nil {
		t.Errorf("once more: %v", err)
	}
	if err := os.WriteFile(f.Path+"/runs/file", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"out": "/etc", "in": "runs", "runs/up": "../../.."} {
		if err := os.Symlink(to, filepath.Join(f.Path, name)); err != nil {
			t.Fatal(err)
		}
	}
	for sub, want := range map[string]string{"": f.Path, "runs/7/out": f.Path + "/runs/7/out", "runs/./7/": f.Path + "/runs/7"} {
		if got, err := f.Directory(sub); err != nil || got != want {
			t.Errorf("%q: %q, %v", sub, got, err)
		}
	}
	for sub, words := range map[string]string{
		"..": "leaves the folder", "../x": "leaves the folder", "runs/../../x": "leaves the folder", "/etc": "leaves the folder",
		"runs\x00": "leaves the folder", "in": "is a symbolic link", "in/7": "is a symbolic link", "out": "is a symbolic link", "runs/up/x": "is a symbolic link",
		"runs/file": "is not a directory", "runs/file/x": "is not a directory",
	} {
		_, err := f.Directory(sub)
		wantError(t, err, ErrInvalid, words)
	}
	_, err := f.Directory("runs/8/out")
	wantError(t, err, ErrNotFound, "folder data has no directory runs/8 (palisade folder mkdir data:runs/8/out makes it")
	wantError(t, fo.MakeDirectory(f, "runs/file"), ErrExists, "is no directory")
	wantError(t, fo.MakeDirectory(f, "runs/file/x"), ErrInvalid, "a file is in the way")
	wantError(t, fo.MakeDirectory(f, "out/x"), ErrInvalid, "leaves the folder")
	wantError(t, fo.MakeDirectory(f, "../x"), ErrInvalid, "leaves the folder")
}

func TestRefs(t *testing.T) {
	for ref, want := range map[string][2]string{
		"data": {"data", ""}, "data/": {"data", ""}, "data/.": {"data", ""}, "data/a/b": {"data", "a/b"}, "data//a/": {"data", "a"},
		"data/../x": {"data", "../x"}, "": {"", ""}, "/a": {"", "a"},
	} {
		folder, sub := SplitRef(ref)
		if folder != want[0] || sub != want[1] {
			t.Errorf("%q: %q and %q", ref, folder, sub)
		}
	}
	if JoinRef("data", "") != "data" || JoinRef("data", "a/b") != "data/a/b" {
		t.Error("what was cut is not joined")
	}
}

func TestTargets(t *testing.T) {
	for _, target := range []string{
		"/models", "/home/work/data", "/home/work/.cache", "/home/work/.config/code", "/root/.cache/huggingface", "/data/.bashrc", "/opt/x",
		"/usr/local/share/x", "/var/lib/app", "/mnt", "/home/work", "/pipeline/input1", "/home/work/archive",
	} {
		if err := CheckTarget(target); err != nil {
			t.Errorf("%q: %v", target, err)
		}
	}
	for target, words := range map[string]string{
		"": "plain absolute", "models": "plain absolute", "/a/../b": "plain absolute", "/a/": "plain absolute", "//a": "plain absolute", "/a\x00": "plain absolute",
		"/a\nb": "plain absolute", "/\xff": "plain absolute", "/": "system directory", "/etc": "system directory", "/etc/ssh": "system directory", "/proc/1": "system directory",
		"/dev/shm": "system directory", "/usr/bin": "system directory", "/home": "system directory", "/.palisade": "system directory", "/tmp": "system directory",
		"/home/work/.bashrc": "would cover .bashrc", "/home/work/.ssh": "would cover .ssh", "/home/work/.ssh/x": "would cover .ssh", "/home/ada/.zshrc": "would cover .zshrc",
		"/root/.profile": "would cover .profile", "/home/work/.SSH": "would cover .SSH", "/home/work/.config": "would cover .config", "/home/work/.anyrc/x": "would cover .anyrc",
	} {
		wantError(t, CheckTarget(target), ErrInvalid, words)
	}
}

// FuzzTarget: what passes is a path that can be mounted at, and no way around it names what is refused.
func FuzzTarget(f *testing.F) {
	for _, s := range []string{"/models", "/home/work/.bashrc", "/etc/passwd", "/home/work/../../etc", "/a//b", "/root/.ssh"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, target string) {
		if CheckTarget(target) != nil {
			return
		}
		if path.Clean(target) != target || !strings.HasPrefix(target, "/") || strings.ContainsAny(target, "\x00\n") {
			t.Errorf("%q passes", target)
		}
		for _, tree := range []string{"/etc", "/proc", "/usr/bin", "/home/work/.ssh"} {
			if target == tree || strings.HasPrefix(target, tree+"/") {
				t.Errorf("%q passes", target)
			}
		}
	})
}

// FuzzDirectory: whatever is asked for, what is found lies in the folder and is reached without a link.
func FuzzDirectory(f *testing.F) {
	for _, s := range []string{"a/b", "..", "a/../..", "link", "link/x", "a/up", "/", "a//b/.", "\x00"} {
		f.Add(s)
	}
	root := f.TempDir()
	dir := filepath.Join(root, "folder")
	if err := os.MkdirAll(filepath.Join(dir, "a/b"), 0o755); err != nil {
		f.Fatal(err)
	}
	for name, to := range map[string]string{"link": "/etc", "a/up": "../.."} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, sub string) {
		got, err := Folder{Name: "f", Path: dir}.Directory(sub)
		if err != nil {
			return
		}
		real, err := filepath.EvalSymlinks(got)
		if err != nil || real != got || !inside(dir, got) {
			t.Errorf("%q: %q, really %q, %v", sub, got, real, err)
		}
	})
}
