package clusterssh_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/palisade-run/palisade/sessions/clusterdir"
	"github.com/palisade-run/palisade/sessions/clusterssh"
)

// TestMain stands for the program that every session has: shell LINE.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "shell" {
		_ = syscall.Exec("/bin/sh", []string{"sh", "-c", strings.Join(os.Args[2:], "")}, os.Environ())
		os.Exit(126)
	}
	os.Exit(m.Run())
}

// serve lets in whoever has the key, and returns how to log in.
func serve(t *testing.T) (dial func() (*ssh.Client, error)) {
	t.Helper()
	dir, err := clusterdir.New(filepath.Join(t.TempDir(), "clusters")).Make("ses-a", []string{"main1", "sub1"}, []int{clusterdir.Port, clusterdir.Port})
	if err != nil {
		t.Fatal(err)
	}
	s, err := clusterssh.New(dir, "/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	key, err := os.ReadFile(filepath.Join(dir, clusterdir.FileKey))
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.ParsePrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	known, err := os.ReadFile(filepath.Join(dir, clusterdir.FileKnown))
	if err != nil {
		t.Fatal(err)
	}
	_, _, host, _, _, err := ssh.ParseKnownHosts(known)
	if err != nil {
		t.Fatal(err)
	}
	return func() (*ssh.Client, error) {
		return ssh.Dial("tcp", l.Addr().String(), &ssh.ClientConfig{
			User: "anybody", Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: ssh.FixedHostKey(host), Timeout: 5 * time.Second,
		})
	}
}

func logIn(t *testing.T) *ssh.Client {
	t.Helper()
	c, err := serve(t)()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func session(t *testing.T, c *ssh.Client) *ssh.Session {
	t.Helper()
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestCommands(t *testing.T) {
	t.Setenv("RANK", "3")
	c := logIn(t)
	s := session(t, c)
	if err := s.Setenv("LC_ALL", "C"); err != nil {
		t.Error(err)
	}
	var out, errs bytes.Buffer
	s.Stdin, s.Stdout, s.Stderr = strings.NewReader("typed\n"), &out, &errs
	err := s.Run(`read line; echo "$line $RANK $LC_ALL"; echo wrong >&2; exit 7`)
	var exit *ssh.ExitError
	if !errors.As(err, &exit) || exit.ExitStatus() != 7 || out.String() != "typed 3 C\n" || errs.String() != "wrong\n" {
		t.Errorf("%v %q %q", err, out.String(), errs.String())
	}
	if err := session(t, c).Run("kill -TERM $$"); !errors.As(err, &exit) || exit.Signal() != "TERM" {
		t.Errorf("ended by a signal: %v", err)
	}
	// What it says last is there, however much it is.
	if b, err := session(t, c).Output("head -c 3000000 /dev/zero; echo end"); err != nil || len(b) != 3000004 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if _, err := c.Dial("tcp", "127.0.0.1:22"); err == nil {
		t.Error("it forwards")
	}
}

func TestSignals(t *testing.T) {
	s := session(t, logIn(t))
	out, err := s.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(`trap 'echo got it; exit 4' USR1; echo ready; while :; do sleep 0.05; done`); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, len("ready\n"))); err != nil {
		t.Fatal(err)
	}
	if err := s.Signal(ssh.SIGUSR1); err != nil {
		t.Error(err)
	}
	rest, _ := io.ReadAll(out)
	var exit *ssh.ExitError
	if err := s.Wait(); !errors.As(err, &exit) || exit.ExitStatus() != 4 || string(rest) != "got it\n" {
		t.Errorf("%v %q", err, rest)
	}
}

func TestTerminals(t *testing.T) {
	s := session(t, logIn(t))
	if err := s.RequestPty("vt100", 30, 90, ssh.TerminalModes{}); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	s.Stdout = &out
	if err := s.Run("stty size; echo $TERM"); err != nil || out.String() != "30 90\r\nvt100\r\n" {
		t.Errorf("%v %q", err, out.String())
	}
}

// TestALineThatIsCut takes what was started on it along.
func TestALineThatIsCut(t *testing.T) {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP) // below nohup a shell could not trap it
	c := logIn(t)
	s := session(t, c)
	out, err := s.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	mark := filepath.Join(t.TempDir(), "hung-up")
	if err := s.Start(`trap 'echo yes > ` + mark + `.new; mv ` + mark + `.new ` + mark + `; exit' HUP; echo ready; while :; do sleep 0.05; done`); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, len("ready\n"))); err != nil {
		t.Fatal(err)
	}
	c.Close()
	for deadline := time.Now().Add(5 * time.Second); ; {
		if _, err := os.Stat(mark); err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("it goes on")
		}
		<-time.After(10 * time.Millisecond)
	}
}

func TestAnotherKeyIsNotLetIn(t *testing.T) {
	dir, err := clusterdir.New(filepath.Join(t.TempDir(), "clusters")).Make("ses-b", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := clusterssh.New(dir, "/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	other, err := clusterdir.New(filepath.Join(t.TempDir(), "clusters")).Make("ses-c", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	key, _ := os.ReadFile(filepath.Join(other, clusterdir.FileKey))
	signer, err := ssh.ParsePrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := ssh.Dial("tcp", l.Addr().String(), &ssh.ClientConfig{
		User: "root", Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: 5 * time.Second,
	})
	if err == nil {
		c.Close()
		t.Error("the key of another session is let in")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
