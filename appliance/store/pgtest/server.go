// Package pgtest starts a PostgreSQL server for tests: the one that is installed, in a directory of its
// own, as a user of its own where the tests run as root, which PostgreSQL refuses.
package pgtest

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Superuser and Password get into every database of a Server over TCP; over its socket no password is
// asked for.
const (
	Superuser = "postgres"
	Password  = "right"
)

const installHint = "PostgreSQL is not installed: apt-get install -y postgresql"

// startLimit bounds how long the server may take to answer, on a machine that is busy with other tests.
const startLimit = 60 * time.Second

// Server is one PostgreSQL server that starts when the first database is asked for. The zero value is
// ready. A test binary has one, and closes it in TestMain.
type Server struct {
	// Network is the path of the network namespace that it runs in; "": the one of the tests.
	Network string
	// Address is where it listens for everybody who has the password; "": on loopback alone.
	Address string

	mu        sync.Mutex
	dir       string // short: a unix socket's path has at most 104 bytes
	bin       string
	port      int
	databases int
	stop      func() error // nil while it does not run
	pid       int
	ended     <-chan error
}

// Database makes an empty database and returns its URL, over the server's unix socket.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ensure(); err != nil {
		t.Fatal(err)
	}
	s.databases++
	name := "test" + strconv.Itoa(s.databases)
	conn, err := pgx.Connect(t.Context(), s.url("postgres"))
	if err != nil {
		t.Fatalf("connecting to the test server: %v", err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatalf("making database %s: %v", name, err)
	}
	return s.url(name)
}

// OverTCP returns url, of this server, with the server's TCP address and the given password.
func (s *Server) OverTCP(t testing.TB, socketURL, password string) string {
	t.Helper()
	u, err := url.Parse(socketURL)
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u.User, u.Host, u.RawQuery = url.UserPassword(Superuser, password), s.address()+":"+strconv.Itoa(s.port), ""
	return u.String()
}

// Stop ends the server as an administrator does who does not wait for clients. Its databases stay.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.halt(); err != nil {
		t.Fatal(err)
	}
}

// Start starts the server again after Stop.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ensure(); err != nil {
		t.Fatal(err)
	}
}

// Close ends the server and removes its directory.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.halt()
	if s.dir != "" {
		err = errors.Join(err, os.RemoveAll(s.dir))
	}
	return err
}

func (s *Server) url(database string) string {
	q := url.Values{"host": {s.dir}, "port": {strconv.Itoa(s.port)}}
	return "postgres://" + Superuser + "@/" + database + "?" + q.Encode()
}

// ensure makes the server's files, once, and starts it if it does not run.
func (s *Server) ensure() error {
	if s.dir == "" {
		if err := s.initialise(); err != nil {
			return err
		}
	}
	if s.stop != nil {
		return nil
	}
	return s.start()
}

func (s *Server) initialise() error {
	bin, err := findBin()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("/tmp", "pg")
	if err != nil {
		return err
	}
	s.bin, s.dir = bin, dir
	cred, err := credential()
	if err != nil {
		return err
	}
	if cred != nil {
		if err := os.Chown(dir, int(cred.Uid), int(cred.Gid)); err != nil {
			return err
		}
	}
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte(Password), 0o644); err != nil {
		return err
	}
	cmd, err := s.command("initdb", "-D", filepath.Join(dir, "data"), "-U", Superuser, "--auth-local=trust",
		"--auth-host=scram-sha-256", "--pwfile", password, "--no-sync", "-E", "UTF8", "--locale=C")
	if err != nil {
		return err
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	if s.Address == "" {
		return nil
	}
	who, err := os.OpenFile(filepath.Join(dir, "data", "pg_hba.conf"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = who.WriteString("host all all 0.0.0.0/0 scram-sha-256\n")
	return errors.Join(err, who.Close())
}

func (s *Server) address() string {
	if s.Address == "" {
		return "127.0.0.1"
	}
	return s.Address
}

// start runs the server as a child that dies with this process, and waits until it answers.
func (s *Server) start() error {
	if s.port == 0 {
		port, err := freePort()
		if err != nil {
			return err
		}
		s.port = port
	}
	cmd, err := s.command("postgres", "-D", filepath.Join(s.dir, "data"), "-p", strconv.Itoa(s.port), "-k", s.dir,
		"-c", "listen_addresses="+s.address(), "-c", "fsync=off", "-c", "max_connections=200")
	if err != nil {
		return err
	}
	var log bytes.Buffer
	cmd.Stderr = &log
	ended := make(chan error, 1)
	begun := make(chan error)
	go func() {
		// The signal comes when the thread ends that started the child, not the process: keep the thread.
		runtime.LockOSThread()
		err := s.enter()
		if err == nil {
			err = cmd.Start()
		}
		begun <- err
		if err == nil {
			ended <- cmd.Wait()
		}
	}()
	if err := <-begun; err != nil {
		return fmt.Errorf("starting postgres: %w", err)
	}
	if err := s.awaitReady(ended, &log); err != nil {
		return err
	}
	s.pid, s.ended = cmd.Process.Pid, ended
	s.stop = func() error {
		// SIGINT: clients are cut off, transactions rolled back.
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			return err
		}
		return <-ended
	}
	return nil
}

func (s *Server) awaitReady(ended <-chan error, log *bytes.Buffer) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.NewTimer(startLimit)
	defer limit.Stop()
	for {
		check, err := s.command("pg_isready", "-q", "-h", s.dir, "-p", strconv.Itoa(s.port))
		if err != nil {
			return err
		}
		if check.Run() == nil {
			return nil
		}
		select {
		case err := <-ended:
			return fmt.Errorf("postgres ended at once: %w\n%s", err, log)
		case <-limit.C:
			return fmt.Errorf("postgres did not answer within %v", startLimit)
		case <-tick.C:
		}
	}
}

func (s *Server) halt() error {
	if s.stop == nil {
		return nil
	}
	stop := s.stop
	s.stop = nil
	return stop()
}

// command runs one of PostgreSQL's programs as a user whom it accepts, in the server's directory.
func (s *Server) command(name string, args ...string) (*exec.Cmd, error) {
	cred, err := credential()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir = s.dir
	cmd.Env = []string{"HOME=" + s.dir, "PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred, Pdeathsig: syscall.SIGINT, Setpgid: true}
	return cmd, nil
}

// credential is nobody's where this process is root's; nil otherwise.
func credential() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL refuses root, and there is no user nobody: %w", err)
	}
	uid, err := strconv.ParseUint(nobody.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(nobody.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// findBin is the directory of the newest server that is installed. Debian keeps it out of the PATH.
func findBin() (string, error) {
	dirs, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return "", err
	}
	slices.SortFunc(dirs, func(a, b string) int { return version(b) - version(a) })
	if p, err := exec.LookPath("initdb"); err == nil {
		if p, err = filepath.EvalSymlinks(p); err == nil {
			dirs = append(dirs, filepath.Dir(p))
		}
	}
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, "postgres")); err == nil {
			return dir, nil
		}
	}
	return "", errors.New(installHint)
}

// version is the number in /usr/lib/postgresql/15/bin.
func version(dir string) int {
	n, err := strconv.Atoi(filepath.Base(strings.TrimSuffix(dir, "/bin")))
	if err != nil {
		return 0
	}
	return n
}

// freePort is a port that nobody listens on now.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	addr, err := netip.ParseAddrPort(l.Addr().String())
	return int(addr.Port()), err
}
