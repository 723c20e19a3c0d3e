package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// machine is what this run has of the box: one core for the proxy that is measured, the rest for everything else.
type machine struct {
	proxy, rest unix.CPUSet
	soft        []int // kernel threads that finish what interrupts began: their work is ours
}

// newMachine takes the last of the cores that this process may use for the proxy, and keeps this process off it.
func newMachine() (*machine, error) {
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return nil, fmt.Errorf("reading which cores may be used: %w", err)
	}
	if all.Count() < 2 {
		return nil, errors.New("one core is not enough: the one that is measured needs one of its own")
	}
	m := &machine{rest: all}
	for core := 1023; core >= 0; core-- {
		if all.IsSet(core) {
			m.proxy.Set(core)
			m.rest.Clear(core)
			break
		}
	}
	threads, err := filepath.Glob("/proc/self/task/*")
	if err != nil {
		return nil, err
	}
	for _, t := range threads { // threads that come later take it from these
		if id, err := strconv.Atoi(filepath.Base(t)); err == nil {
			_ = unix.SchedSetaffinity(id, &m.rest)
		}
	}
	names, err := filepath.Glob("/proc/[0-9]*/comm")
	for _, name := range names {
		if text, err := os.ReadFile(name); err == nil && strings.HasPrefix(string(text), "ksoftirqd/") {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name))); err == nil {
				m.soft = append(m.soft, pid)
			}
		}
	}
	return m, err
}

// use is what all cores together have done since the box started, in seconds.
type use struct{ busy, steal float64 }

func coresUse() (use, error) {
	f, err := os.Open("/proc/stat")
	if err != nil {
		return use{}, err
	}
	defer f.Close()
	line, err := bufio.NewReader(f).ReadString('\n')
	if err != nil {
		return use{}, fmt.Errorf("reading /proc/stat: %w", err)
	}
	var v [8]float64 // user nice system idle iowait irq softirq steal
	for i, field := range strings.Fields(line)[1:] {
		if i < len(v) {
			ticks, err := strconv.ParseFloat(field, 64)
			if err != nil {
				return use{}, fmt.Errorf("reading /proc/stat: %w", err)
			}
			v[i] = ticks / 100
		}
	}
	return use{busy: v[0] + v[1] + v[2] + v[5] + v[6], steal: v[7]}, nil
}

// quiet waits until others leave the machine alone, at most so long. It says whether they do.
func (m *machine) quiet(ctx context.Context, patience time.Duration, cores float64) bool {
	const look = 400 * time.Millisecond
	for end := time.Now().Add(patience); ; {
		before, err := coresUse()
		if err != nil || !pause(ctx, look) {
			return false
		}
		after, err := coresUse()
		if err != nil {
			return false
		}
		// A look is 40 ticks long: one tick is what nobody can help.
		if (after.busy-before.busy)/look.Seconds() <= cores+.05 {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}

// pause waits; false when ctx has ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// speed is how much the proxy's core gets done at this moment, in rounds of a small loop: it varies with what other
// guests of the host do.
func (m *machine) speed() float64 {
	done := make(chan float64)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine, and its affinity with it
		_ = unix.SchedSetaffinity(0, &m.proxy)
		x, n, begun := uint64(1), 0, threadTime()
		for threadTime()-begun < 30e6 {
			for range 1000 {
				x = x*6364136223846793005 + 1442695040888963407
			}
			n++
		}
		if x == 0 { // never, but the compiler does not know
			n++
		}
		done <- float64(n) / 30
	}()
	return <-done
}

func threadTime() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t)
	return t.Nano()
}

// noise is what a measurement may have suffered from, in cores.
type noise struct{ Foreign, Steal, Speed float64 }

// meter measures the proxy's time on the CPU, and that of strangers, between two moments.
type meter struct {
	m      *machine
	yard   *yard
	target *process
	begun  time.Time
	cores  use
	mine   float64
	cpu    float64
	user   float64
}

func (m *machine) meter(y *yard, target *process) (*meter, error) {
	t := &meter{m: m, yard: y, target: target, begun: time.Now()}
	var err error
	if t.cores, err = coresUse(); err != nil {
		return nil, err
	}
	t.mine = y.cpu() + m.softCPU()
	t.cpu, t.user = target.cpu(), target.user()
	return t, nil
}

// reading is what a meter has counted.
type reading struct {
	seconds   float64
	cpu, user float64 // seconds of the target
	noise
}

func (t *meter) read() (reading, error) {
	r := reading{cpu: t.target.cpu() - t.cpu, user: t.target.user() - t.user}
	mine := t.yard.cpu() + t.m.softCPU() - t.mine
	now, err := coresUse()
	if err != nil {
		return r, err
	}
	r.seconds = time.Since(t.begun).Seconds()
	r.Foreign = max(0, now.busy-t.cores.busy-mine) / r.seconds
	r.Steal = (now.steal - t.cores.steal) / r.seconds
	return r, nil
}

func (m *machine) softCPU() float64 {
	sum := 0.
	for _, pid := range m.soft {
		u, s := ticks(pid)
		sum += u + s
	}
	return sum
}
