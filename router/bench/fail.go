package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/router/bench/engine"
)

// What is done to engines under load, and when: all of it in failTime.
const (
	failTime = 12 * time.Second
	harmAt   = 3 * time.Second
	mendAt   = 7 * time.Second
	rollGap  = 2500 * time.Millisecond
	downTime = 300 * time.Millisecond
)

var harmTitles = map[string]string{
	"kill":   "One of four engines is killed at 3 s (SIGKILL) and back at 7 s",
	"freeze": "One of four engines is frozen from 3 s to 7 s (SIGSTOP)",
	"roll":   "Each of four engines is restarted in turn (SIGTERM, it answers what it has, down for 0.3 s)",
}

func fail(scenario string) mode {
	return mode{
		name: scenario, rounds: 1, again: true, harms: true,
		title: func(b *bench) string {
			return fmt.Sprintf("%s; %d clients ask all the time, an answer takes 20 ms", harmTitles[scenario], b.conns)
		},
		peers:  []string{palisade, nginx, haproxy, plainGo, caddy, traefik},
		engine: func(*bench) []string { return []string{"-delay", "20ms", "-journal", ""} },
		columns: []column{
			{"answered", "ok", "%.0f"}, {"failed", "failed", "%.0f"}, {"of these had not begun", "unbegun", "%.0f"}, {"lost", "lost", "%.0f"},
			{"reached two engines", "duplicated", "%.0f"}, {"retried", "retried", "%.0f"}, {"over 1 s", "slow", "%.0f"}, {"p99 ms", "p99", "%.0f"}, {"longest ms", "max", "%.0f"},
		},
		checks: []check{
			atMost("failed that had not begun", "unbegun", 0), atMost("lost", "lost", 0), atMost("reached two engines", "duplicated", 0),
		},
		measure: func(ctx context.Context, b *bench, t *target) (measured, error) {
			return measureHarm(ctx, b, t, scenario)
		},
	}
}

func measureHarm(ctx context.Context, b *bench, t *target, scenario string) (measured, error) {
	harmed := make(chan error, 1)
	go func() { harmed <- b.harm(ctx, scenario) }()
	w, err := b.load(ctx, t, "-conns", strconv.Itoa(b.conns), "-time", failTime.String(), "-ids", "-body", strconv.Itoa(b.bodyBytes))
	if harm := <-harmed; err == nil {
		err = harm
	}
	if err != nil {
		return measured{}, err
	}
	arrived, err := b.arrived()
	if err != nil {
		return measured{}, err
	}
	c := w.result.Calls
	unbegun, twice := 0, 0
	for _, f := range c.Failed {
		if arrived[f.ID] == 0 {
			unbegun++
		}
	}
	for _, times := range arrived {
		if times > 1 {
			twice++
		}
	}
	values := map[string]float64{
		"ok": float64(c.OK), "failed": float64(len(c.Failed)), "unbegun": float64(unbegun), "lost": float64(c.Kinds["lost"]),
		"duplicated": float64(twice), "slow": float64(c.Slow), "p99": c.Latency.P99 / 1e3, "max": c.Latency.Max / 1e3,
	}
	if t.peer.name == palisade {
		if values["retried"], err = counter(ctx, "http://"+t.addr+"/metrics", "palisade_router_retries_total"); err != nil {
			return measured{}, err
		}
	}
	return measured{values, c.Kinds, w.noise}, nil
}

// harm does to the engines what the scenario says, and mends it.
func (b *bench) harm(ctx context.Context, scenario string) error {
	begun := time.Now()
	at := func(d time.Duration) bool { return pause(ctx, time.Until(begun.Add(d))) }
	switch scenario {
	case "kill":
		at(harmAt)
		b.engines[1].stop(unix.SIGKILL)
		at(mendAt)
		return b.again(ctx, 1)
	case "freeze":
		at(harmAt)
		pid := b.engines[1].cmd.Process.Pid
		err := unix.Kill(pid, unix.SIGSTOP)
		at(mendAt)
		if again := unix.Kill(pid, unix.SIGCONT); err == nil {
			err = again
		}
		return err
	default:
		for i := range b.engines {
			down := time.Second + time.Duration(i)*rollGap
			at(down)
			b.engines[i].stop(unix.SIGTERM)
			at(down + downTime)
			if err := b.again(ctx, i); err != nil {
				return err
			}
		}
		return nil
	}
}

// again starts an engine that has ended, at the address that it had.
func (b *bench) again(ctx context.Context, i int) error {
	e, err := b.startEngine(ctx, i)
	if err != nil {
		return err
	}
	b.engines[i] = e
	return nil
}

// arrived tells how many times each request has reached an engine.
func (b *bench) arrived() (map[uint64]int, error) {
	times := map[uint64]int{}
	for i := range b.engines {
		j, err := engine.OpenJournal(b.journal(i))
		if err != nil {
			return nil, err
		}
		for _, id := range j.IDs() {
			times[id]++
		}
		j.Close()
	}
	return times, nil
}

// counter sums a metric over its labels.
func counter(ctx context.Context, url, name string) (float64, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	res, err := http.DefaultClient.Do(q)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	sum := 0.
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		metric, value, _ := strings.Cut(lines.Text(), " ")
		if metric == name || strings.HasPrefix(metric, name+"{") {
			v, err := strconv.ParseFloat(value[strings.LastIndexByte(value, ' ')+1:], 64)
			if err != nil {
				return 0, fmt.Errorf("reading %s: %w", name, err)
			}
			sum += v
		}
	}
	return sum, nil
}
