package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// yard starts the programs of a run, each on its cores, and ends them. They end with this process too, however that
// goes: the kernel kills them with the thread that started them, which is the yard's own.
type yard struct {
	machine *machine
	dir     string // for logs
	nice    int
	starts  chan func()

	mu   sync.Mutex
	all  []*process
	past float64 // seconds on the CPU of those that have ended
}

func newYard(m *machine, dir string, nice int) *yard {
	y := &yard{machine: m, dir: dir, nice: nice, starts: make(chan func())}
	go func() {
		runtime.LockOSThread()
		_ = unix.Setpriority(unix.PRIO_PROCESS, 0, nice) // of this thread and those it starts; not everybody may
		for start := range y.starts {
			start()
		}
	}()
	return y
}

// process is one program that runs.
type process struct {
	yard   *yard
	cmd    *exec.Cmd
	name   string
	only   bool // its children are not what is measured
	ended  chan struct{}
	log    string
	handed []int // processes of others that are ours as well
}

// command is a program to start.
type command struct {
	name  string
	args  []string
	env   []string
	cores *unix.CPUSet
	out   io.Writer // nil: its log
}

func (y *yard) start(c command) (*process, error) {
	cmd := exec.Command(c.args[0], c.args[1:]...) //nolint:noctx // it is stopped in its turn: what a context would end at once has to be measured before
	cmd.Dir, cmd.Env = y.dir, append(os.Environ(), c.env...)
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	p := &process{yard: y, cmd: cmd, name: c.name, ended: make(chan struct{}), log: filepath.Join(y.dir, c.name+".log")}
	f, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	cmd.Stdout, cmd.Stderr = f, f
	if c.out != nil {
		cmd.Stdout = c.out
	}
	failed := make(chan error)
	y.starts <- func() {
		_ = unix.SchedSetaffinity(0, c.cores)
		failed <- cmd.Start()
	}
	if err := <-failed; err != nil {
		return nil, fmt.Errorf("starting %s: %w", c.name, err)
	}
	y.mu.Lock()
	y.all = append(y.all, p)
	y.mu.Unlock()
	go func() {
		_ = cmd.Wait()
		y.mu.Lock()
		y.all = slices.DeleteFunc(y.all, func(o *process) bool { return o == p })
		y.past += (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds() // with its children
		y.mu.Unlock()
		close(p.ended)
	}()
	return p, nil
}

// cpu is what all of the run has taken, this process included.
func (y *yard) cpu() float64 {
	y.mu.Lock()
	defer y.mu.Unlock()
	u, s := ticks(os.Getpid())
	sum := y.past + u + s
	for _, p := range y.all {
		for _, pid := range tree(p.cmd.Process.Pid) {
			sum += cpuOf(pid)
		}
		for _, pid := range p.handed {
			sum += cpuOf(pid)
		}
	}
	return sum
}

func (y *yard) stopAll() {
	y.mu.Lock()
	all := slices.Clone(y.all)
	y.mu.Unlock()
	for _, p := range slices.Backward(all) {
		p.stop(unix.SIGTERM)
	}
}

// stop ends it: with the signal, and after 3 s for good.
func (p *process) stop(sig unix.Signal) {
	children := tree(p.cmd.Process.Pid)
	_ = p.cmd.Process.Signal(sig)
	select {
	case <-p.ended:
	case <-time.After(3 * time.Second):
		for _, pid := range children {
			if !p.only {
				_ = unix.Kill(pid, unix.SIGKILL)
			}
		}
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// pids are the processes that are measured; with nobody between load and engines there are none.
func (p *process) pids() []int {
	if p == nil {
		return nil
	}
	if p.only {
		return []int{p.cmd.Process.Pid}
	}
	return tree(p.cmd.Process.Pid)
}

// cpu in seconds, to the nanosecond.
func (p *process) cpu() float64 {
	sum := 0.
	for _, pid := range p.pids() {
		sum += cpuOf(pid)
	}
	return sum
}

// user is the part of cpu outside of the kernel, to the tick.
func (p *process) user() float64 {
	sum := 0.
	for _, pid := range p.pids() {
		u, _ := ticks(pid)
		sum += u
	}
	return sum
}

// memory is what it holds, in KiB; what several processes share counts once.
func (p *process) memory() float64 {
	sum := 0.
	for _, pid := range p.pids() {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if fields := strings.Fields(line); fields[0] == "Pss:" {
				kib, _ := strconv.ParseFloat(fields[1], 64)
				sum += kib
			}
		}
	}
	return sum
}

// tree is a process and all below it.
func tree(pid int) []int {
	out := []int{pid}
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, f := range files {
		text, _ := os.ReadFile(f)
		for field := range strings.FieldsSeq(string(text)) {
			if child, err := strconv.Atoi(field); err == nil {
				out = append(out, tree(child)...)
			}
		}
	}
	return out
}

// cpuOf reads the clock that the kernel keeps of a process: clock_getcpuclockid(3).
func cpuOf(pid int) float64 {
	const sched = 2
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|sched), &t); err != nil {
		return 0
	}
	return float64(t.Nano()) / 1e9
}

// ticks is a process's time in its own code and in the kernel, in seconds.
func ticks(pid int) (user, system float64) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, 0
	}
	user, _ = strconv.ParseFloat(fields[11], 64)
	system, _ = strconv.ParseFloat(fields[12], 64)
	return user / 100, system / 100
}

// ready waits until it answers.
func (p *process) ready(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		q, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		if res, err := client.Do(q); err == nil {
			_ = res.Body.Close()
			if res.StatusCode < 500 {
				return nil
			}
		}
		select {
		case <-p.ended:
			return fmt.Errorf("%s has ended: %s", p.name, p.lastWords())
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer at %s: %w: %s", p.name, url, context.Cause(ctx), p.lastWords())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (p *process) lastWords() string {
	text, err := os.ReadFile(p.log)
	if err != nil || len(text) == 0 {
		return "it said nothing"
	}
	return strings.TrimSpace(string(text[max(0, len(text)-600):]))
}

var errEnded = errors.New("the run was ended")
