package runtimetest

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/sessions"
)

var files = map[string]func(*fixture){
	"the model folder is read-only": func(f *fixture) {
		dir := f.TempDir()
		f.write(dir, "model.gguf", "weights", 0o666)
		spec := f.script("a", "cat /models/model.gguf; echo; echo x 2>/dev/null >/models/model.gguf || echo refused; touch /models/new 2>/dev/null || echo refused; rm -f /models/model.gguf 2>/dev/null || echo refused")
		spec.Mounts = []sessions.Mount{{Source: dir, Target: "/models", ReadOnly: true}}
		f.start(spec)
		f.wait("a")
		f.logIs("a", "weights", "refused", "refused", "refused")
	},
	"a folder that may be written": func(f *fixture) {
		dir := f.TempDir()
		spec := f.script("a", "echo result >/home/work/out/file && echo done")
		spec.Mounts = []sessions.Mount{{Source: dir, Target: "/home/work/out"}}
		f.start(spec)
		f.wait("a")
		f.logIs("a", "done")
		if b, err := os.ReadFile(filepath.Join(dir, "file")); string(b) != "result\n" {
			f.Errorf("%q, %v", b, err)
		}
	},
	"mounts inside mounts, and beside what the image has": func(f *fixture) {
		outer, inner := f.TempDir(), f.TempDir()
		if err := os.Mkdir(filepath.Join(outer, "sub"), 0o755); err != nil {
			f.Fatal(err)
		}
		f.write(inner, "x", "inner\n", 0o644)
		f.write(outer, "y", "outer\n", 0o644)
		spec := f.script("a", "cat /usr/palisade-test/deep/sub/x /usr/palisade-test/deep/y; ls -d /usr/bin; touch /usr/palisade-test/deep/new 2>/dev/null || echo refused")
		spec.Mounts = []sessions.Mount{
			{Source: inner, Target: "/usr/palisade-test/deep/sub", ReadOnly: true},
			{Source: outer, Target: "/usr/palisade-test/deep", ReadOnly: true},
		}
		f.start(spec)
		f.ends("a", sessions.ExitCompleted, 0)
		f.logIs("a", "inner", "outer", "/usr/bin", "refused")
	},
	"a directory in a folder": func(f *fixture) {
		dir := f.TempDir()
		if err := os.MkdirAll(filepath.Join(dir, "runs/7"), 0o755); err != nil {
			f.Fatal(err)
		}
		f.write(dir, "secret", "s", 0o644)
		spec := f.script("a", "ls -A /out; test ! -e /out/../secret && echo x >/out/file && echo done")
		spec.Mounts = []sessions.Mount{{Source: dir + "/runs/7", Target: "/out", Within: dir}}
		f.start(spec)
		f.wait("a")
		f.logIs("a", "done")
		if b, err := os.ReadFile(filepath.Join(dir, "runs/7/file")); string(b) != "x\n" {
			f.Errorf("%q, %v", b, err)
		}
	},
	"a directory in a folder that somebody has exchanged for a link": func(f *fixture) {
		dir, elsewhere := f.TempDir(), f.TempDir()
		if err := os.MkdirAll(filepath.Join(elsewhere, "deep"), 0o755); err != nil {
			f.Fatal(err)
		}
		for name, to := range map[string]string{"out": elsewhere, "in": "real"} {
			if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
				f.Fatal(err)
			}
		}
		for _, sub := range []string{"/out", "/out/deep", "/in", "/.."} {
			spec := f.script("a", "true")
			spec.Mounts = []sessions.Mount{{Source: dir + sub, Target: "/out", Within: dir}}
			f.doesNotStart(spec, "mount of "+dir)
		}
	},
	"a source that is missing": func(f *fixture) {
		spec := f.script("a", "true")
		spec.Mounts = []sessions.Mount{{Source: "/no/such/folder", Target: "/models", ReadOnly: true}}
		f.doesNotStart(spec, "/no/such/folder", "not exist")
	},
	"scratch directories": func(f *fixture) {
		script := "ls -A /scratch /opt/cache/deep | grep -v : | grep -c .; echo x >/scratch/f && echo y >/opt/cache/deep/f && echo z >/tmp/f && echo written"
		for _, id := range []string{"a", "b"} { // b sees nothing of a
			spec := f.script(id, script)
			spec.Scratch = []string{"/scratch", "/opt/cache/deep"}
			f.start(spec)
			f.wait(id)
			f.logIs(id, "0", "written")
		}
	},
}

// sharedImage is of runtimes whose image is there once, for all.
var sharedImage = map[string]func(*fixture){
	"is read-only": func(f *fixture) {
		f.start(f.script("a", "for d in / /usr /etc /dev; do touch $d/palisade-test 2>/dev/null && echo $d can be written; done; echo x >/tmp/x && echo x >/dev/shm/x && echo ok >/dev/null && cat /tmp/x"))
		f.wait("a")
		f.logIs("a", "x")
	},
}

// ownImage is of runtimes that give each session its own.
var ownImage = map[string]func(*fixture){
	"what is written to it is the session's own": func(f *fixture) {
		for _, id := range []string{"a", "b"} {
			f.start(f.script(id, "for d in / /usr /etc /root; do [ -e $d/palisade-test ] && echo $d has it; echo x >$d/palisade-test || echo $d cannot be written; done; echo done"))
			f.wait(id)
			f.logIs(id, "done")
		}
	},
}

func action(name string, args catalog.ActionArgs) catalog.Action {
	return catalog.Action{Name: name, Args: args}
}

var prestart = map[string]func(*fixture){
	"all five": func(f *fixture) {
		spec := f.script("a", "cat /tmp/d/e/conf /tmp/t; ls -l /tmp/t | cut -c1-10")
		spec.Processes[0].PreStart = []catalog.Action{
			action("log", catalog.ActionArgs{Message: "preparing"}),
			action("mkdir", catalog.ActionArgs{Path: "/tmp/d/e"}),
			action("mkdir", catalog.ActionArgs{Path: "/tmp/d/e"}),
			action("write_file", catalog.ActionArgs{Filename: "/tmp/d/e/conf", Body: []string{"gone"}}),
			action("write_file", catalog.ActionArgs{Filename: "/tmp/d/e/conf", Body: []string{"one", "two"}, Mode: "644"}),
			action("write_file", catalog.ActionArgs{Filename: "/tmp/d/e/conf", Body: []string{"three"}, Append: true}),
			action("write_tempfile", catalog.ActionArgs{Filename: "/tmp/t", Body: []string{"temp"}, Mode: "600"}),
			action("run_command", catalog.ActionArgs{Command: f.h.Can.Shell("echo heard"), Echo: true}),
			action("run_command", catalog.ActionArgs{Command: f.h.Can.Shell("echo unheard")}),
		}
		f.start(spec)
		f.ends("a", sessions.ExitCompleted, 0)
		f.logIs("a", "preparing", "heard", "one", "two", "three", "temp", "-rw-------")
	},
	"a command that fails": func(f *fixture) {
		spec := f.script("a", "echo must not run")
		spec.Processes[0].PreStart = []catalog.Action{action("run_command", catalog.ActionArgs{Command: f.h.Can.Shell("echo the reason >&2; exit 42")})}
		f.start(spec)
		f.ends("a", sessions.ExitStartFailed, 0, "run_command", f.h.Can.Shell("x")[0], "42", "the reason")
		if strings.Contains(f.logs("a", sessions.LogOptions{}), "must not run") {
			f.Error("the command ran nevertheless")
		}
	},
	"a command that may fail": func(f *fixture) {
		spec := f.script("a", "echo runs")
		spec.Processes[0].PreStart = []catalog.Action{
			action("run_command", catalog.ActionArgs{Command: f.h.Can.Shell("exit 42"), IgnoreError: true}),
			action("run_command", catalog.ActionArgs{Command: []string{"no-such-tool"}, IgnoreError: true}),
		}
		f.start(spec)
		f.ends("a", sessions.ExitCompleted, 0)
		f.says(f.logs("a", sessions.LogOptions{}), "runs")
	},
	"a command that is missing": func(f *fixture) {
		spec := f.script("a", "true")
		spec.Processes[0].PreStart = []catalog.Action{action("run_command", catalog.ActionArgs{Command: []string{"no-such-tool"}})}
		f.start(spec)
		f.ends("a", sessions.ExitStartFailed, 0, "no-such-tool", "not found")
	},
	"a file that cannot be written": func(f *fixture) {
		spec := f.script("a", "true")
		spec.Mounts = []sessions.Mount{{Source: f.TempDir(), Target: "/models", ReadOnly: true}}
		spec.Processes[0].PreStart = []catalog.Action{action("write_file", catalog.ActionArgs{Filename: "/models/x", Body: []string{"y"}})}
		f.start(spec)
		f.ends("a", sessions.ExitStartFailed, 0, "write_file", "/models/x", "read-only")
	},
	"stopped meanwhile": func(f *fixture) {
		spec := f.script("a", "echo must not run")
		spec.Processes[0].PreStart = []catalog.Action{action("run_command", catalog.ActionArgs{Command: f.h.Can.Shell("echo ready; exec sleep 1000"), Echo: true})}
		f.start(spec)
		f.awaitLine("a", "ready")
		if err := f.Stop(f.ctx(), "a", grace); err != nil {
			f.Fatal(err)
		}
		f.ends("a", sessions.ExitStopped, 0)
		f.logIs("a", "ready")
	},
	"adopted meanwhile": func(f *fixture) {
		dir := f.TempDir()
		spec := f.script("a", "echo runs")
		spec.Mounts = []sessions.Mount{{Source: dir, Target: "/gate"}}
		spec.Processes[0].PreStart = []catalog.Action{action("run_command", catalog.ActionArgs{Command: f.h.Can.Shell("echo ready; cat /gate/fifo"), Echo: true})}
		if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o666); err != nil {
			f.Fatal(err)
		}
		f.start(spec)
		f.awaitLine("a", "ready")
		f.reopen()
		if in := f.list()["a"]; !in.Running {
			f.Errorf("%+v", in)
		}
		gate, err := os.OpenFile(filepath.Join(dir, "fifo"), os.O_WRONLY, 0)
		if err != nil {
			f.Fatal(err)
		}
		gate.Close()
		f.ends("a", sessions.ExitCompleted, 0)
		f.logIs("a", "ready", "runs")
	},
}
