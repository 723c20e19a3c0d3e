package simulation_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/palisade-run/palisade/appliance/cluster/member"
)

// roleEnv says what a child of the test is: the leader, or all nodes.
const roleEnv = "PALISADE_SIMULATION_ROLE"

// setting is what a child is told when it starts.
type setting struct {
	Role     string
	Etcd     string // host:port
	DSN      string
	Nodes    int
	Services int
	Replicas int
	Port     int // at which all sessions answer probes
	Grace    time.Duration
	Profile  string // prefix of the leader's files; "" for none
}

// order is what a child is told to do; it answers each with one line of JSON.
type order struct {
	Do       string
	Name     string // of a profile
	From, To int    // nodes
	Since    time.Time
}

func TestMain(m *testing.M) {
	text := os.Getenv(roleEnv)
	if text == "" {
		os.Exit(m.Run())
	}
	var s setting
	err := json.Unmarshal([]byte(text), &s)
	if err == nil {
		err = map[string]func(setting, *json.Decoder, *json.Encoder) error{"leader": leader, "nodes": nodes}[s.Role](s, json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout))
	}
	if err != nil && !errors.Is(err, io.EOF) {
		fmt.Fprintln(os.Stderr, s.Role+":", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// child is one of them.
type child struct {
	t    testing.TB
	role string
	cmd  *exec.Cmd
	in   *json.Encoder
	out  *bufio.Reader
}

// start starts one; at is where all sessions answer probes, for the nodes.
func start(t testing.TB, s setting, at *os.File) *child {
	t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	c := &child{t: t, role: s.Role, cmd: exec.Command(os.Args[0])}
	c.cmd.Env = append(os.Environ(), roleEnv+"="+string(text))
	if s.Role == "nodes" {
		c.cmd.ExtraFiles = []*os.File{at}
		c.cmd.Env = append(c.cmd.Env, "GOGC=300") // it stands for a thousand boxes, whose memory is not looked at
	}
	c.cmd.Stderr = os.Stderr
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := c.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.in, c.out = json.NewEncoder(in), bufio.NewReader(out)
	t.Cleanup(func() { _ = c.cmd.Process.Kill(); _ = c.cmd.Wait() })
	return c
}

func (c *child) signal(s syscall.Signal) {
	c.t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		c.t.Fatal(err)
	}
}

// tell has a child do something, and reads what it answers.
func (c *child) tell(o order, answer any) {
	c.t.Helper()
	if err := c.in.Encode(o); err != nil {
		c.t.Fatalf("%s: %v", c.role, err)
	}
	line, err := c.out.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, answer)
	}
	if err != nil {
		c.t.Fatalf("%s: %s: %v", c.role, o.Do, err)
	}
}

// usage is what a process has used.
type usage struct {
	processor time.Duration
	resident  int64 // bytes
}

func usageOf(t testing.TB, pid int) usage {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	var user, system, pages int64
	if _, err := fmt.Sscan(strings.Join([]string{fields[11], fields[12], fields[21]}, " "), &user, &system, &pages); err != nil {
		t.Fatal(err)
	}
	return usage{time.Duration(user+system) * 10 * time.Millisecond, pages * int64(os.Getpagesize())}
}

// connect is a client of its own, as each box has.
func connect(endpoint string) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{Endpoints: []string{"http://" + endpoint}, Logger: zap.NewNop(), DialTimeout: 20 * time.Second, DialOptions: member.Calls()})
}
