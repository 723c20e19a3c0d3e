package e2e_test

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// vitals are what a daemon needs of its box.
type vitals struct {
	pid                        int
	memory, goroutines, opened float64 // bytes, and how many
	snapshots, addresses       int
}

// figures are the values of metrics without labels.
func (b *box) figures() map[string]float64 {
	b.t.Helper()
	res, err := http.Get(b.url + "/metrics")
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	values := map[string]float64{}
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), " "); ok {
			if n, err := strconv.ParseFloat(value, 64); err == nil {
				values[name] = n
			}
		}
	}
	return values
}

func (s *soak) vitals() vitals {
	s.t.Helper()
	f := s.figures()
	return vitals{
		s.daemon.Process.Pid, f["process_resident_memory_bytes"], f["go_goroutines"], f["process_open_fds"], s.snapshots(), len(s.links()),
	}
}

// warm notes what the box needs when all has happened once.
func (s *soak) warm() { s.first = s.vitals() }

// measure compares it with what it needs now. A daemon that was started anew is compared with itself, from here on.
func (s *soak) measure() {
	s.t.Helper()
	if err := eventually(soon, func() error {
		v := s.vitals()
		switch {
		case v.snapshots > s.first.snapshots:
			return fmt.Errorf("%d layers lie on the disk, %d at first", v.snapshots, s.first.snapshots)
		case v.addresses > s.first.addresses:
			return fmt.Errorf("there are %d links, %d at first", v.addresses, s.first.addresses)
		case v.pid != s.first.pid:
			s.first = v
		case v.goroutines > s.first.goroutines*1.2+20:
			return fmt.Errorf("%.0f goroutines, %.0f at first", v.goroutines, s.first.goroutines)
		case v.opened > s.first.opened*1.2+20:
			return fmt.Errorf("%.0f files are open, %.0f at first", v.opened, s.first.opened)
		case v.memory > s.first.memory*1.5+32<<20:
			return fmt.Errorf("%.0f MiB of memory, %.0f at first", v.memory/(1<<20), s.first.memory/(1<<20))
		}
		s.last = append(s.last, v)
		return nil
	}); err != nil {
		s.t.Errorf("after %d faults: %v", s.round, err)
	}
}

// end looks that nothing stays of what is removed.
func (s *soak) end() {
	s.t.Helper()
	s.run("service", "rm", "ledger")
	s.run("service", "rm", "voices")
	s.wantNoContainers()
	if err := eventually(soon, func() error {
		if n, who := s.taken(); n != 0 {
			return fmt.Errorf("%d devices are taken, by %v", n, who)
		}
		return nil
	}); err != nil {
		s.t.Error(err)
	}
}

// report tells what was done and what came of it, a line for each kind of fault.
func (s *soak) report(took time.Duration) {
	s.t.Helper()
	kinds := map[string]*tally{}
	var order []string
	times := map[string]int{}
	for _, y := range s.lines {
		times[y.fault]++
		sum := kinds[y.fault]
		if sum == nil {
			kinds[y.fault], order = &y, append(order, y.fault)
			continue
		}
		sum.asked += y.asked
		sum.answered += y.answered
		sum.failed += y.failed
		sum.notBegun += y.notBegun
		sum.retried += y.retried
		sum.duplicated += y.duplicated
		sum.lost += y.lost
		sum.again += y.again
		sum.p99, sum.most = max(sum.p99, y.p99), max(sum.most, y.most)
	}
	var r strings.Builder
	fmt.Fprintf(&r, "| what was done | times | requests | answered | failed, begun | failed, not begun | tried again by clients | no answer | worst p99 | slowest |\n|---|---|---|---|---|---|---|---|---|---|\n")
	for _, name := range order {
		y := kinds[name]
		fmt.Fprintf(&r, "| %s | %d | %d | %d | %d | %d | %d | %d | %s | %s |\n", name, times[name], y.asked, y.answered, y.failed-y.notBegun, y.notBegun,
			y.again, y.lost, y.p99.Round(time.Millisecond), y.most.Round(time.Millisecond))
	}
	fmt.Fprintf(&r, "\n%d faults in %s; a request each %s, and %d answers of the real engine beside, of which %d failed after the 8 tries of the official client%s\n",
		s.round, took.Round(time.Second), s.every, s.real.asked.Load(), s.real.failed.Load(), map[bool]string{true: ".", false: ":"}[s.real.failed.Load() == 0])
	for why, n := range s.real.reasons() {
		fmt.Fprintf(&r, "- %d times: %s\n", n, why)
	}
	fmt.Fprintf(&r, "\n| the daemon (process) | memory | goroutines | open files | layers on the disk | links |\n|---|---|---|---|---|---|\n")
	for _, v := range append([]vitals{s.first}, s.last...) {
		fmt.Fprintf(&r, "| %d | %.0f MiB | %.0f | %.0f | %d | %d |\n", v.pid, v.memory/(1<<20), v.goroutines, v.opened, v.snapshots, v.addresses)
	}
	s.t.Log("\n" + r.String())
	if *soakReport == "" {
		return
	}
	page, err := os.ReadFile(*soakReport)
	if err != nil {
		s.t.Fatal(err)
	}
	head, _, _ := strings.Cut(string(page), "\n| what was done")
	if err := os.WriteFile(*soakReport, []byte(head+"\n"+r.String()), 0o644); err != nil {
		s.t.Error(err)
	}
}
