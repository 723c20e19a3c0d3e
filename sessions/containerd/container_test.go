package containerd_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/containerd"
	"github.com/palisade-run/palisade/sessions/containerd/containerdtest"
)

func TestWhatTheImageSays(t *testing.T) {
	b := newBox(t, newest(t))
	const ref = "localhost/palisade-test:app"
	bring(t, b.Runtime, ref, v1.Config{
		User: "app", WorkingDir: "/home/app", Env: []string{"PATH=/bin", "FROM=image", "BOTH=image"},
		Entrypoint: []string{"/bin/sh", "-c", `id; pwd; echo "$HOME $FROM $BOTH $SESSION $0"; echo x >/scratch/f && ls -l /scratch/f | cut -d' ' -f1; cat /tmp/made; echo >/dev/stdout; grep -c . /.palisade/plan 2>/dev/null || echo no plan; ls /.palisade/out 2>/dev/null || echo nothing of ours; exec sleep 1000`},
		Cmd:        []string{"the cmd"},
	})
	s := spec("a")
	s.Image, s.Env, s.Scratch = ref, map[string]string{"SESSION": "session", "BOTH": "session"}, []string{"/scratch"}
	s.Processes[0].PreStart = []catalog.Action{
		{Name: "run_command", Args: catalog.ActionArgs{Command: []string{"id", "-u"}, Echo: true}},
		{Name: "write_file", Args: catalog.ActionArgs{Filename: "/tmp/made", Body: []string{"by an action"}}},
		{Name: "run_command", Args: catalog.ActionArgs{Command: []string{"ls", "-ln", "/tmp/made"}}},
	}
	b.start(s)
	b.awaitLine("a", "nothing of ours")
	want := `1234
uid=1234(app) gid=1235(appgroup) groups=44(video),1235(appgroup)
/home/app
/home/app image session session the cmd
-rw-r--r--
by an action

no plan
nothing of ours
`
	if got := b.log("a"); got != want {
		t.Errorf("it has written\n%s\nwant\n%s", got, want)
	}
	got := b.execs("a", "sh", "-c", `id; pwd; echo "$HOME $FROM $BOTH"; grep Cap /proc/self/status | tr '\n\t' ' '; echo >/tmp/made && echo mine`)
	want = `uid=1234(app) gid=1235(appgroup) groups=44(video),1235(appgroup)
/home/app
/home/app image session
CapInh: 0000000000000000 CapPrm: 0000000000000000 CapEff: 0000000000000000 CapBnd: 00000000800005fb CapAmb: 0000000000000000 mine
`
	if got != want {
		t.Errorf("a command has written\n%s\nwant\n%s", got, want)
	}
}

func TestWhatTheImageLacks(t *testing.T) {
	b := newBox(t, newest(t))
	_, err := b.Start(bounded(t), spec("a"))
	if !errors.Is(err, sessions.ErrInvalid) || !strings.Contains(err.Error(), "neither ENTRYPOINT nor CMD") || !strings.Contains(hintOf(err), "start_command") {
		t.Errorf("an image without a command: %v, hint %q", err, hintOf(err))
	}
	bring(t, b.Runtime, "localhost/palisade-test:nobody", v1.Config{User: "who"})
	s := spec("b", "true")
	s.Image = "localhost/palisade-test:nobody"
	if _, err = b.Start(bounded(t), s); err == nil || !strings.Contains(err.Error(), `"who"`) || !strings.Contains(err.Error(), "/etc/passwd") {
		t.Errorf("an image of an unknown user: %v", err)
	}
	s.Image = "localhost/palisade-test:none"
	if _, err = b.Start(bounded(t), s); !errors.Is(err, sessions.ErrNoImage) || !strings.Contains(hintOf(err), "palisade image") {
		t.Errorf("no image: %v, hint %q", err, hintOf(err))
	}
	if left := b.left(); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

func TestSpecsThatCannotStart(t *testing.T) {
	b := newBox(t, newest(t))
	for name, change := range map[string]func(*sessions.Spec){
		"an id that leaves the root":  func(s *sessions.Spec) { s.ID = "../x" },
		"an empty id":                 func(s *sessions.Spec) { s.ID = "" },
		"no process":                  func(s *sessions.Spec) { s.Processes = nil },
		"a relative mount":            func(s *sessions.Spec) { s.Mounts = []sessions.Mount{{Source: "/tmp", Target: "models"}} },
		"a mount over all":            func(s *sessions.Spec) { s.Mounts = []sessions.Mount{{Source: "/tmp", Target: "/"}} },
		"a mount over what is ours":   func(s *sessions.Spec) { s.Mounts = []sessions.Mount{{Source: "/tmp", Target: "/.palisade/out"}} },
		"a relative scratch":          func(s *sessions.Spec) { s.Scratch = []string{"cache"} },
		"a scratch over what is ours": func(s *sessions.Spec) { s.Scratch = []string{"/.palisade"} },
		"a mount on a file":           func(s *sessions.Spec) { s.Mounts = []sessions.Mount{{Source: "/usr", Target: "/etc/passwd"}} },
		"a device that is not there":  func(s *sessions.Spec) { s.Devices = []string{"/dev/no-such-device"} },
		"a device nobody describes":   func(s *sessions.Spec) { s.Devices = []string{"nvidia.com/gpu=77"} },
		"a device of no kind":         func(s *sessions.Spec) { s.Devices = []string{"gpu"} },
		"cores that are not there":    func(s *sessions.Spec) { s.Limits.CPUs = "4000-4001" },
	} {
		t.Run(name, func(t *testing.T) {
			s := spec("a", "true")
			change(&s)
			in, err := b.Start(bounded(t), s)
			if err == nil {
				t.Errorf("it started: %+v", in)
			}
			t.Log(err)
			if left := b.left(); len(left) > 0 {
				t.Errorf("left: %q", left)
			}
		})
	}
}

func TestShutIn(t *testing.T) {
	eachContainerd(t, func(t *testing.T, p containerdtest.Program) {
		b := newBox(t, p)
		s := spec("a")
		s.Limits = sessions.Limits{Shm: 1 << 20, Memory: 64 << 20, MilliCPU: 500, Pids: 50, CPUs: "0"}
		got := b.runs(s, `grep -e Seccomp: -e CapEff -e Cpus_allowed_list /proc/self/status | tr '\t\n' ' '; echo
df -k /dev/shm | tail -n 1 | tr -s ' ' | cut -d' ' -f2
cat /proc/1/maps >/dev/null 2>&1 || echo init is closed
cat /proc/kcore 2>/dev/null | head -c 1 | wc -c
mknod /tmp/node c 1 3 2>/dev/null || echo no nodes
chroot / true 2>/dev/null || echo no chroot
unshare -U true 2>/dev/null || echo no user namespaces
echo x 2>/dev/null >/.palisade/init || echo init stays
ls /sys/class/net | tr '\n' ' '
cat /proc/self/cgroup | grep -c "/palisade/.*[.]a$"`)
		lines := strings.Split(strings.TrimSpace(got), "\n")
		want := []string{"CapEff: 00000000800005fb Seccomp: 2 Cpus_allowed_list: 0 ", "1024", "init is closed", "0", "no nodes", "no chroot", "no user namespaces", "init stays"}
		for i, w := range want {
			if i >= len(lines) || lines[i] != w {
				t.Errorf("line %d: want %q in\n%s", i, w, got)
			}
		}
		if !strings.Contains(got, "eth0") || strings.Contains(got, "veth") {
			t.Errorf("its links: %s", got)
		}
	})
}

// TestWhatTheBoxMountsLater stays the box's own: it would come into a read-only folder as one that can be written.
func TestWhatTheBoxMountsLater(t *testing.T) {
	eachContainerd(t, func(t *testing.T, p containerdtest.Program) {
		b := newBox(t, p)
		dir := t.TempDir()
		later := filepath.Join(dir, "later")
		err := errors.Join(unix.Mount("tmpfs", dir, "tmpfs", 0, ""), unix.Mount("", dir, "", unix.MS_SHARED, ""), os.Mkdir(later, 0o755))
		t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
		if err != nil {
			t.Fatal(err)
		}
		s := spec("a", shell("echo ready; exec sleep 1000")...)
		s.Mounts = []sessions.Mount{{Source: dir, Target: "/models", ReadOnly: true}}
		b.start(s)
		b.awaitLine("a", "ready")
		if err := errors.Join(unix.Mount("tmpfs", later, "tmpfs", 0, ""), os.WriteFile(filepath.Join(later, "f"), []byte("of the box\n"), 0o600)); err != nil {
			t.Fatal(err)
		}
		if got := b.execs("a", shell("cat /models/later/f 2>/dev/null; echo x 2>/dev/null >/models/later/x; echo done")...); got != "done\n" {
			t.Errorf("the session sees %q", got)
		}
		if _, err := os.Stat(filepath.Join(later, "x")); err == nil {
			t.Error("the session has written there")
		}
	})
}

// TestStrangersOfTheBox may not look into sessions' directories: what a session's root user makes there, with any
// mode, would be theirs to run.
func TestStrangersOfTheBox(t *testing.T) {
	b := newBox(t, newest(t))
	s := spec("a", shell("cp /bin/busybox /scratch/tool && chmod 4755 /scratch/tool && echo ready; exec sleep 1000")...)
	s.Scratch = []string{"/scratch"}
	b.start(s)
	b.awaitLine("a", "ready")
	try := exec.Command("cat", filepath.Join(b.cfg.Root, "instances/a/scratch/0/tool"))
	try.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if err := try.Run(); err == nil {
		t.Error("a program that makes its user root is there for everybody on the box")
	}
}

func TestDevices(t *testing.T) {
	b := newBox(t, newest(t))
	node := filepath.Join(t.TempDir(), "accel0")
	if err := unix.Mknod(node, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))); err != nil { // /dev/zero by another name
		t.Fatal(err)
	}
	cdi := fmt.Sprintf(`{"cdiVersion":"0.6.0","kind":"palisade.test/accel","devices":[
{"name":"zero","containerEdits":{"env":["ACCEL=zero"],"deviceNodes":[{"path":"/dev/accel-zero","hostPath":%q}],"mounts":[{"hostPath":"/etc/hostname","containerPath":"/etc/driver","options":["ro","bind"]}]}}]}`, node)
	if err := errors.Join(os.MkdirAll("/run/cdi", 0o755), os.WriteFile("/run/cdi/palisade.json", []byte(cdi), 0o644)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove("/run/cdi/palisade.json") })
	script := `[ -e /etc/driver ] && echo driver; echo "${ACCEL:-none}"; for d in /dev/accel-zero ` + node + `; do head -c 3 $d 2>/dev/null | wc -c; done`
	s := spec("both")
	s.Devices = []string{"palisade.test/accel=zero", node}
	if got := b.runs(s, script); got != "driver\nzero\n3\n3\n" {
		t.Errorf("with both: %q", got)
	}
	if got := b.runs(spec("none"), script); got != "none\n0\n0\n" {
		t.Errorf("with none: %q", got)
	}
}

func TestUserNamespace(t *testing.T) {
	eachContainerd(t, func(t *testing.T, p containerdtest.Program) {
		b := newBox(t, p, func(c *containerd.Config) { c.UserNamespace = true })
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "weights"), []byte("weights\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		s := spec("a", shell("id -u; echo x >/root/f && echo y >/scratch/f && echo written; cat /models/weights; ls -ln /bin/busybox | tr -s ' ' | cut -d' ' -f3; chown 1234 /scratch/f && echo given; echo ready; exec sleep 1000")...)
		s.Scratch, s.Mounts = []string{"/scratch"}, []sessions.Mount{{Source: dir, Target: "/models", ReadOnly: true}}
		in := b.start(s)
		b.awaitLine("a", "ready")
		if got := b.log("a"); got != "0\nwritten\nweights\n0\ngiven\nready\n" {
			t.Errorf("it has written\n%s", got)
		}
		var st unix.Stat_t
		if err := unix.Stat(fmt.Sprintf("/proc/%d", in.PID), &st); err != nil || st.Uid < 100_000 {
			t.Errorf("its first process is the box's user %d, %v", st.Uid, err)
		}
		// An older runc cannot start commands there: that is said.
		exit, err := b.Exec(bounded(t), "a", sessions.ExecSpec{Argv: []string{"true"}})
		if err == nil && exit.Code != 0 || err != nil && (!errors.Is(err, sessions.ErrNotSupported) || !strings.Contains(hintOf(err), "runc")) {
			t.Errorf("a command: %+v, %v, hint %q", exit, err, hintOf(err))
		}
	})
}

// TestUserNamespacesAtOnce: of many that start at once, one makes the image's files those of their users; and a
// removed image's going takes nothing of it away.
func TestUserNamespacesAtOnce(t *testing.T) {
	eachContainerd(t, func(t *testing.T, p containerdtest.Program) {
		b := newBox(t, p, func(c *containerd.Config) { c.UserNamespace = true })
		stop := make(chan struct{})
		var all, beside sync.WaitGroup
		beside.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := b.Import(bounded(t), archive(t, "localhost/palisade-test:comes-and-goes", v1.Config{})); err != nil {
					t.Error(err)
				}
				if err := b.RemoveImage(bounded(t), "localhost/palisade-test:comes-and-goes"); err != nil {
					t.Error(err)
				}
			}
		})
		for i := range 6 {
			all.Go(func() {
				id := "s" + itoa(i)
				if _, err := b.Start(bounded(t), spec(id, "true")); err != nil {
					t.Error(err)
					return
				}
				if exit, err := b.Wait(bounded(t), id); err != nil || exit.Reason != sessions.ExitCompleted {
					t.Errorf("%+v, %v", exit, err)
				}
				if err := b.Remove(bounded(t), id); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		close(stop)
		beside.Wait()
	})
}

func TestTheBoxsNetwork(t *testing.T) {
	b := newBox(t, newest(t), func(c *containerd.Config) { c.Network = nil })
	in := b.start(spec("a", shell("ls /sys/class/net; echo ready; exec sleep 1000")...))
	b.awaitLine("a", "ready")
	if in.Address != "127.0.0.1" || !strings.Contains(b.log("a"), "lo") {
		t.Errorf("%+v\n%s", in, b.log("a"))
	}
	if st, err := b.Stats(bounded(t), "a"); err != nil || st.RxBytes != -1 || st.Memory <= 0 {
		t.Errorf("%+v, %v", st, err)
	}
}

// TestHostileSession: what a session's root user makes of what the daemon reads harms the session alone.
func TestHostileSession(t *testing.T) {
	b := newBox(t, newest(t))
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, script := range map[string]string{
		"links": "rm -rf log state ending; ln -s " + secret + " state; ln -s " + secret + " ending; ln -s " + dir + " log",
		"pipes": "mv log old; mkdir log; rm state; mkfifo state ending log/00000001 log/00000002",
		"lies":  `echo '{"first":1,"started_at":"2999-01-01T00:00:00Z"}' >state; mkdir -p ending/x; echo '{"what":"it","status":0,"at":"2999-01-01T00:00:00Z"}' >ending.new; ln -s ` + secret + ` log/00000002`,
		"flood": "rm state; yes '{' | head -c 5000000 >state; cp state ending; for i in 2 3 4 5; do mkdir log/0000000$i; done",
		"gone":  "rm -rf log state ending ending.new",
	} {
		t.Run(name, func(t *testing.T) {
			b.t = t
			b.start(spec(name, "sleep", "1000"))
			b.execs(name, shell("cd /.palisade/out; "+script)...)
			in, err := b.Inspect(bounded(t), name)
			if err != nil || !in.Running || in.StartedAt.Year() > 2998 {
				t.Errorf("%+v, %v", in, err)
			}
			if l, err := b.Logs(bounded(t), name, sessions.LogOptions{}); err == nil {
				text := make([]byte, 100)
				n, _ := l.Read(text)
				l.Close()
				if strings.Contains(string(text[:n]), "hunter2") {
					t.Error("its log shows the box")
				}
			}
			if err := b.Stop(bounded(t), name, 5e9); err != nil {
				t.Fatal(err)
			}
			exit, err := b.Wait(bounded(t), name)
			if err != nil || exit.FinishedAt.Year() > 2998 || strings.Contains(exit.Message, "hunter2") || exit.Reason == sessions.ExitCompleted {
				t.Errorf("%+v, %v", exit, err)
			}
			t.Logf("%+v", exit)
		})
	}
}
