package e2e_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// remote is a person with OpenSSH's programs and the lines of palisade ssh-config.
type remote struct {
	*box
	t      testing.TB // of the part that runs
	dir    string
	config string
}

// remote makes a session called desk, for a person who comes from elsewhere.
func (b *box) remote(t testing.TB, image string) *remote {
	t.Helper()
	r := &remote{box: b, t: t, dir: t.TempDir()}
	r.config = filepath.Join(r.dir, "config")
	b.env = append(b.env, "XDG_CONFIG_HOME="+r.dir, "HOME="+r.dir)
	b.run("session", "create", image, "--name", "desk", "--wait")
	r.configure()
	return r
}

// configure is needed again when the port is another one.
func (r *remote) configure() {
	r.t.Helper()
	if err := os.WriteFile(r.config, []byte(r.run("ssh-config")+"\n"), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// command is one of OpenSSH's programs; all of them take -F.
func (r *remote) command(program string, args ...string) *exec.Cmd {
	args = append([]string{"-F", r.config, "-o", "ConnectTimeout=10"}, args...)
	if program == "rsync" {
		args = append([]string{"-e", "ssh -F " + r.config}, args[4:]...)
	}
	cmd := exec.CommandContext(r.t.Context(), program, args...)
	cmd.Env = r.env
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

type answer struct {
	out, said string
	code      int
}

func (r *remote) does(stdin io.Reader, program string, args ...string) (a answer) {
	r.t.Helper()
	cmd := r.command(program, args...)
	var out, said bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &said
	err := cmd.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		r.t.Fatal(err)
	}
	return answer{out.String(), said.String(), cmd.ProcessState.ExitCode()}
}

// fine runs a program that must end with 0.
func (r *remote) fine(program string, args ...string) string {
	r.t.Helper()
	a := r.does(nil, program, args...)
	if a.code != 0 {
		r.t.Fatalf("%s %s: %d %s", program, args, a.code, a.said)
	}
	return a.out
}

// commands are what every session must do for a person, whatever its image.
func (r *remote) commands(t *testing.T) {
	t.Helper()
	r.t = t
	a := r.does(strings.NewReader("input"), "ssh", "desk@palisade", `pwd; cat; echo "$LOGNAME" >&2; exit 42`)
	if a.out != "/home/work\ninput" || a.said != "root\n" || a.code != 42 {
		t.Errorf("%+v", a)
	}
	if a := r.does(nil, "ssh", "desk@palisade", "kill -9 $$"); a.code != 137 {
		t.Errorf("%+v", a)
	}
	if a := r.does(nil, "ssh", "desk@palisade", "no-such-tool"); a.code != 127 || !strings.Contains(a.said, "no-such-tool") {
		t.Errorf("%+v", a)
	}
	if out := r.run("ssh", "desk", "echo", "as", "ever"); out != "as ever" {
		t.Errorf("palisade ssh: %q", out)
	}
	r.fails(3, nil, "ssh", "desk", "exit 3")
	r.fails(1, []string{"session", "nobody"}, "ssh", "nobody")
	if a := r.does(nil, "ssh", "nobody@palisade", "ls"); a.code != 255 || !strings.Contains(a.said, `no session "nobody"`) || !strings.Contains(a.said, "desk") {
		t.Errorf("%+v", a)
	}
}

// files goes there and back with each of the programs.
func (r *remote) files(t *testing.T, programs ...string) {
	t.Helper()
	r.t = t
	blob := make([]byte, 3<<20)
	_, _ = rand.Read(blob)
	tree := filepath.Join(r.dir, "tree")
	if err := os.MkdirAll(filepath.Join(tree, "deep", "er"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"blob", "a blank", "deep/er/ünï", "deep/new\nline"} {
		if err := os.WriteFile(filepath.Join(tree, name), blob, 0o640); err != nil {
			t.Fatal(err)
		}
	}
	for _, program := range programs {
		back := filepath.Join(r.dir, "back-"+program)
		switch program {
		case "scp":
			r.fine("scp", "-rp", tree, "desk@palisade:tree-scp")
			r.fine("scp", "-rp", "desk@palisade:tree-scp", back)
		case "sftp":
			put := fmt.Sprintf("mkdir tree-sftp\nput -Rp %s/. tree-sftp\nls -l tree-sftp\nget -Rp tree-sftp %s\nrename tree-sftp x\nrm x/blob\ndf\n", tree, back)
			if a := r.does(strings.NewReader(put), "sftp", "-b", "-", "desk@palisade"); a.code != 0 {
				t.Errorf("%+v", a)
			}
		case "rsync":
			r.fine("rsync", "-a", tree+"/", "desk@palisade:tree-rsync/")
			r.fine("rsync", "-a", "desk@palisade:tree-rsync/", back+"/")
		}
		if out, err := exec.CommandContext(t.Context(), "diff", "-r", tree, back).CombinedOutput(); err != nil {
			t.Errorf("%s: %s", program, out)
		}
		info, err := os.Stat(filepath.Join(back, "blob"))
		if err != nil || info.Mode() != 0o640 {
			t.Errorf("%s: %v, %v", program, info, err)
		}
	}
}

// ports reaches a server in the session that listens on localhost alone, as editors do: over one connection, beside others.
func (r *remote) ports(t *testing.T) {
	t.Helper()
	r.t = t
	master := filepath.Join(r.dir, "m")
	server := r.command("ssh", "-S", master, "-M", "-tt", "desk@palisade", "echo page > index.html; busybox httpd -f -p 127.0.0.1:8888")
	shown := &safeBuffer{}
	server.Stdout, server.Stderr = shown, shown
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = server.Wait(); close(ended) }()
	ask := func(address string) answer {
		return r.does(strings.NewReader("GET / HTTP/1.0\r\n\r\n"), "ssh", "-S", master, "-W", address, "desk@palisade")
	}
	if err := eventually(soon, func() error {
		if a := ask("localhost:8888"); !strings.HasSuffix(a.out, "\r\n\r\npage\n") {
			return fmt.Errorf("%+v", a)
		}
		return nil
	}); err != nil {
		t.Fatalf("%v; the server says %s", err, shown)
	}
	if out := r.fine("ssh", "-S", master, "desk@palisade", "cat index.html"); out != "page\n" {
		t.Errorf("%q", out)
	}
	if a := r.does(nil, "ssh", "-W", "10.1.2.3:80", "desk@palisade"); a.code == 0 || !strings.Contains(a.said, "write localhost in place of 10.1.2.3") {
		t.Errorf("%+v", a)
	}
	if a := ask("localhost:1"); a.code == 0 {
		t.Errorf("%+v", a)
	}
	// Who goes takes the command on the terminal along.
	_ = server.Process.Kill()
	<-ended
	if err := eventually(soon, func() error {
		if a := r.does(nil, "ssh", "desk@palisade", "grep -l '888[8]' /proc/[0-9]*/cmdline"); a.code == 0 {
			return fmt.Errorf("it is still there: %s", a.out)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// TestSSH comes into a session with OpenSSH's own programs.
func TestSSH(t *testing.T) {
	b := newBox(t)
	b.settings = []string{"--runtime", "process", "--ssh-listen", "127.0.0.1:0"}
	b.start()
	r := b.remote(t, "host")
	t.Run("commands", r.commands)
	t.Run("files", func(t *testing.T) { r.files(t, "scp", "sftp", "rsync") })
	t.Run("ports", r.ports)
	t.Run("a terminal", func(t *testing.T) {
		p := b.sit("ssh", "desk")
		p.types("stty size; echo $TERM $0; exit 6\r")
		p.sees("31 117\r\n")
		p.sees("xterm -bash\r\n")
		p.leaves(6)
	})
	t.Run("a wrong key", func(t *testing.T) {
		r.t = t
		wrong := r.other("wrong")
		if a := wrong.does(nil, "ssh", "desk@palisade", "ls"); a.code != 255 || !strings.Contains(a.said, "Permission denied (publickey)") {
			t.Errorf("%+v", a)
		}
		b.run("ssh-key", "add", filepath.Join(r.dir, "wrong.pub"), "--name", "second")
		if a := wrong.does(nil, "ssh", "desk@palisade", "echo in"); a.out != "in\n" {
			t.Errorf("%+v", a)
		}
		p := b.sit("ssh", "desk") // with the other key
		held := wrong.holds()
		b.run("ssh-key", "rm", "second")
		if err := held.Wait(); held.ProcessState.ExitCode() != 255 {
			t.Errorf("who came with a key that is gone: %v", err)
		}
		p.types("exit 4\r")
		p.leaves(4)
	})
	t.Run("a session that does not run", func(t *testing.T) {
		r.t = t
		b.run("session", "create", "host", "--name", "done", "-c", "true", "--wait")
		if a := r.does(nil, "ssh", "done@palisade", "ls"); a.code != 255 || !strings.Contains(a.said, "session done does not run: it is TERMINATED") {
			t.Errorf("%+v", a)
		}
	})
	t.Run("a crash of the daemon", func(t *testing.T) {
		r.t = t
		before := b.run("ssh-key", "host", "-q")
		b.kill()
		b.start()
		r.configure()
		if after := b.run("ssh-key", "host", "-q"); after != before {
			t.Errorf("another host key: %s, was %s", after, before)
		}
		if out := r.fine("ssh", "desk@palisade", "cat index.html"); out != "page\n" {
			t.Errorf("%q", out)
		}
	})
	t.Run("a restart", r.overRestart)
}

// other is somebody with a key of their own, which the appliance does not know yet.
func (r *remote) other(key string) *remote {
	r.t.Helper()
	if out, err := exec.CommandContext(r.t.Context(), "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(r.dir, key)).CombinedOutput(); err != nil {
		r.t.Fatal(string(out))
	}
	config := strings.ReplaceAll(r.run("ssh-config"), "id_ed25519", "../../"+key)
	if err := os.WriteFile(r.config+"."+key, []byte(config), 0o600); err != nil {
		r.t.Fatal(err)
	}
	return &remote{box: r.box, t: r.t, dir: r.dir, config: r.config + "." + key}
}

// holds is a command that runs until it is ended.
func (r *remote) holds() *exec.Cmd {
	r.t.Helper()
	held := r.command("ssh", "desk@palisade", "echo up; sleep 1000")
	out, err := held.StdoutPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := held.Start(); err != nil {
		r.t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 3)); err != nil {
		r.t.Fatal(err)
	}
	return held
}

// overRestart: what runs goes on in the old process, who comes finds the new one, and the port is the same. A key that the new
// one is told to end is ended in the old one too.
func (r *remote) overRestart(t *testing.T) {
	r.t = t
	third := r.other("third")
	r.run("ssh-key", "add", filepath.Join(r.dir, "third.pub"), "--name", "third")
	held := third.holds()
	p := r.sit("ssh", "desk")
	p.types("PS1='> '; echo he''re\r")
	p.sees("here\r\n")
	r.restart()
	if out := r.fine("ssh", "desk@palisade", "echo new"); out != "new\n" {
		t.Errorf("%q", out)
	}
	r.run("ssh-key", "rm", "third")
	if err := held.Wait(); held.ProcessState.ExitCode() != 255 {
		t.Errorf("who came before the restart with a key that is gone: %v", err)
	}
	p.types("echo still he''re\r")
	p.sees("still here\r\n")
	p.types("exit 5\r")
	p.leaves(5)
	if err := eventually(soon, func() error {
		if all := r.daemons(); len(all) != 1 {
			return fmt.Errorf("processes %v are left", all)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// TestSSHInContainers: the same with an image that has neither bash nor a server for files.
func TestSSHInContainers(t *testing.T) {
	b := containerBox(t)
	r := b.remote(t, "engine:1")
	t.Run("commands", r.commands)
	t.Run("files", func(t *testing.T) { r.files(t, "scp", "sftp") })
	t.Run("ports", r.ports)
	t.Run("signals", r.signals)
}

// signals are sent by clients that know how: OpenSSH's does not.
func (r *remote) signals(t *testing.T) {
	r.t = t
	text, err := os.ReadFile(filepath.Join(r.dir, "palisade", "ssh", "id_ed25519"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.ParsePrivateKey(text)
	if err != nil {
		t.Fatal(err)
	}
	var at struct {
		Listen string
		Key    string `json:"host_key"`
	}
	r.into(&at, "ssh-key", "host")
	host, _, _, _, err := ssh.ParseAuthorizedKey([]byte(at.Key))
	if err != nil {
		t.Fatal(err)
	}
	c, err := ssh.Dial("tcp", at.Listen, &ssh.ClientConfig{User: "desk", Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, HostKeyCallback: ssh.FixedHostKey(host)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(`trap 'exit 9' USR1; echo up; while :; do sleep 0.05; done`); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	if err := s.Signal(ssh.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	exit, ok := errors.AsType[*ssh.ExitError](s.Wait())
	if !ok || exit.ExitStatus() != 9 {
		t.Errorf("%v", exit)
	}
}

// BenchmarkFilesBySSH copies a file into a session and back by scp, beside a plain copy.
func BenchmarkFilesBySSH(b *testing.B) {
	box := newBox(b)
	box.settings = []string{"--runtime", "process"}
	box.start()
	r := box.remote(b, "host")
	blob := make([]byte, 256<<20)
	_, _ = rand.Read(blob)
	path := filepath.Join(r.dir, "blob")
	if err := os.WriteFile(path, blob, 0o600); err != nil {
		b.Fatal(err)
	}
	var up, down time.Duration
	n := 0
	for b.Loop() {
		begun := time.Now()
		r.fine("scp", path, "desk@palisade:blob")
		up += time.Since(begun)
		begun = time.Now()
		r.fine("scp", "desk@palisade:blob", path+".back")
		down += time.Since(begun)
		n++
	}
	for name, took := range map[string]time.Duration{"MB/s-up": up, "MB/s-down": down} {
		b.ReportMetric(float64(n*len(blob))/1e6/took.Seconds(), name)
	}
	b.ReportMetric(0, "ns/op")
}
