package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/appliance/store/pgtest"
)

// host is a box in a network namespace of its own, on a wire to a switch that can be cut.
type host struct {
	*box
	name      string
	number    int
	namespace string
	wire      string // the end of it that is at the switch
	others    []*host
}

// ip runs the tool of that name.
func ip(t testing.TB, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

func (h *host) address() string { return fmt.Sprintf("10.88.7.%d", h.number) }

// newHosts makes boxes that are one appliance, each on a host of its own. They keep an etcd among themselves, and their rows in one
// PostgreSQL that each reaches whatever becomes of the wires.
func newHosts(t *testing.T, names ...string) []*host {
	t.Helper()
	var server pgtest.Server
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	bridge := fmt.Sprintf("sw%d", os.Getpid()%100000)
	ip(t, "link", "add", bridge, "type", "bridge")
	t.Cleanup(func() { ip(t, "link", "del", bridge) })
	ip(t, "link", "set", bridge, "up")
	dsn := server.Database(t)
	var all []*host
	var token struct{ Token, URL string }
	for i, name := range names {
		h := &host{name: name, number: i + 1, namespace: fmt.Sprintf("pal%d-%d", os.Getpid(), i+1), wire: fmt.Sprintf("w%d-%d", os.Getpid()%100000, i+1)}
		ip(t, "netns", "add", h.namespace)
		t.Cleanup(func() { ip(t, "netns", "del", h.namespace) })
		ip(t, "link", "add", h.wire, "type", "veth", "peer", "name", "eth0", "netns", h.namespace)
		ip(t, "link", "set", h.wire, "master", bridge, "up")
		ip(t, "-n", h.namespace, "addr", "add", h.address()+"/24", "dev", "eth0")
		ip(t, "-n", h.namespace, "link", "set", "eth0", "up")
		ip(t, "-n", h.namespace, "link", "set", "lo", "up")
		h.box = newBox(t)
		h.dial = within(h.namespace)
		h.program = filepath.Join(filepath.Dir(h.dir), "palisade")
		script := fmt.Sprintf("#!/bin/sh\nexec nsenter --net=/run/netns/%s %s \"$@\"\n", h.namespace, have.palisade)
		file := filepath.Join(filepath.Dir(h.dir), "palisade.yaml")
		settings := fmt.Sprintf("queue: {strategy: dispersed}\ncluster: {listen: \"%s:8480\", grace: 3s}\n", h.address())
		if err := errors.Join(os.WriteFile(h.program, []byte(script), 0o755), os.WriteFile(file, []byte(settings), 0o600)); err != nil {
			t.Fatal(err)
		}
		h.settings = []string{"--config", file, "--runtime", "process"}
		if i == 0 {
			h.settings = append(h.settings, "--database", dsn)
		}
		h.start()
		all = append(all, h)
		var err error
		if i == 0 {
			if err = h.ask(http.MethodPost, "cluster/self/init", map[string]string{"name": name}, nil); err == nil {
				h.settled("the first one decides", func(s clusterStatus) bool { return s.Leader == name && len(s.alive()) == 1 })
				err = h.ask(http.MethodPost, "cluster/tokens", map[string]any{"approve": true, "uses": len(names)}, &token)
			}
		} else {
			err = h.ask(http.MethodPost, "cluster/self/join", map[string]string{"url": token.URL, "token": token.Token, "name": name}, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, h := range all {
		h.others = slices.DeleteFunc(slices.Clone(all), func(o *host) bool { return o == h })
	}
	all[0].settled("all are there, and keep what they agree on", func(s clusterStatus) bool {
		return len(s.alive()) == len(names) && s.Quorum.Votes == len(names) && s.Quorum.Answer == len(names)
	})
	return all
}

// within dials as a program in a network namespace does.
func within(namespace string) dialer {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		type dialled struct {
			conn net.Conn
			err  error
		}
		done := make(chan dialled, 1)
		go func() {
			runtime.LockOSThread() // the thread ends with the goroutine
			f, err := os.Open("/run/netns/" + namespace)
			if err != nil {
				done <- dialled{nil, err}
				return
			}
			defer f.Close()
			if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
				done <- dialled{nil, err}
				return
			}
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				done <- dialled{nil, err}
				return
			}
			at, err := net.ResolveTCPAddr(network, address)
			if err == nil {
				err = unix.Connect(fd, &unix.SockaddrInet4{Port: at.Port, Addr: [4]byte(at.IP.To4())})
			}
			file := os.NewFile(uintptr(fd), address)
			defer file.Close()
			if err != nil {
				done <- dialled{nil, err}
				return
			}
			conn, err := net.FileConn(file)
			done <- dialled{conn, err}
		}()
		select {
		case d := <-done:
			return d.conn, d.err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// cut takes the wire out of the switch, or puts it in again.
func (h *host) cut(is bool) {
	h.t.Helper()
	ip(h.t, "link", "set", h.wire, map[bool]string{true: "down", false: "up"}[is])
}

// astray sends what a host says to another into the void.
func (h *host) astray(to *host, is bool) {
	h.t.Helper()
	if is {
		ip(h.t, "-n", h.namespace, "neigh", "replace", to.address(), "lladdr", "02:00:00:00:00:99", "dev", "eth0", "nud", "permanent")
		return
	}
	ip(h.t, "-n", h.namespace, "neigh", "del", to.address(), "dev", "eth0")
}

// mute lets nothing that a host says get to the others, and deaf nothing that they say to it.
func (h *host) mute(is bool) {
	for _, o := range h.others {
		h.astray(o, is)
	}
}

func (h *host) deaf(is bool) {
	for _, o := range h.others {
		o.astray(h, is)
	}
}

func (h *host) freeze(is bool) {
	h.t.Helper()
	if err := h.daemon.Process.Signal(map[bool]syscall.Signal{true: syscall.SIGSTOP, false: syscall.SIGCONT}[is]); err != nil {
		h.t.Fatal(err)
	}
}

// asked is one request of a client.
type asked struct {
	began, ended time.Time
	err          error
}

// history is what was seen while something was done to hosts.
type history struct {
	mu      sync.Mutex
	asked   map[string][]asked
	led     []string // moments at which two said that they lead
	leader  string   // as those who can be asked say
	changed time.Time
	made    []string // services that were accepted
	refused int
	doubled map[string]bool
	saw     int // sessions at most that were seen to run at a time
}

// watch looks at hosts until it is ended: clients ask each box, somebody makes services, and all are asked who leads.
func watch(t *testing.T, hosts []*host, token string) (h *history, end func()) {
	h = &history{asked: map[string][]asked{}, doubled: map[string]bool{}}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for _, one := range hosts {
		client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DialContext: one.dial, DisableKeepAlives: true}}
		all.Go(func() {
			for ctx.Err() == nil {
				a := asked{began: time.Now()}
				a.err = one.request(context.WithoutCancel(ctx), client, token) // the last one, too, is seen through
				a.ended = time.Now()
				h.mu.Lock()
				h.asked[one.name] = append(h.asked[one.name], a)
				h.mu.Unlock()
				pauseFor(ctx, 20*time.Millisecond)
			}
		})
	}
	all.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			name := fmt.Sprintf("made-%d", n)
			one := hosts[n%len(hosts)]
			err := one.asks(ctx, 3*time.Second, http.MethodPost, "services", map[string]any{"name": name, "folder": "voices", "image": "host", "replicas": 0}, nil)
			h.mu.Lock()
			if err == nil {
				h.made = append(h.made, name)
			} else {
				h.refused++
			}
			h.mu.Unlock()
			pauseFor(ctx, 300*time.Millisecond)
		}
	})
	all.Go(func() {
		for ctx.Err() == nil {
			h.look(ctx, hosts)
			pauseFor(ctx, 50*time.Millisecond)
		}
	})
	return h, func() { cancel(); all.Wait() }
}

func pauseFor(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// look asks all at once who leads, and sees what runs where.
func (h *history) look(ctx context.Context, hosts []*host) {
	selves := make([]clusterSelf, len(hosts))
	var all sync.WaitGroup
	for i, one := range hosts {
		all.Go(func() {
			if one.asks(ctx, time.Second, http.MethodGet, "cluster/self", nil, &selves[i]) != nil {
				selves[i] = clusterSelf{}
			}
		})
	}
	all.Wait()
	var leads []string
	for i, s := range selves {
		if s.Leads {
			leads = append(leads, hosts[i].name)
		}
	}
	where := map[string]string{}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(leads) > 1 {
		h.led = append(h.led, fmt.Sprint(leads))
	}
	if len(leads) == 1 && leads[0] != h.leader {
		h.leader, h.changed = leads[0], time.Now()
	}
	for _, one := range hosts {
		for _, id := range one.runs() {
			if at, is := where[id]; is && at != one.name {
				h.doubled[id+" on "+at+" and "+one.name] = true
			}
			where[id] = one.name
		}
	}
	h.saw = max(h.saw, len(where))
}

// runs are the sessions whose engines run on a host.
func (h *host) runs() (ids []string) {
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range all {
		text, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(text, []byte("palisade-supervise")) && !bytes.Contains(text, []byte("supervise")) {
			continue
		}
		if _, rest, is := strings.Cut(string(text), h.dir); is {
			if i := strings.Index(rest, "ses-"); i >= 0 && len(rest) >= i+16 {
				ids = append(ids, rest[i:i+16])
			}
		}
	}
	return ids
}

// asks is ask with a bound.
func (h *host) asks(ctx context.Context, within time.Duration, method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(h.dir, "palisade.sock"))
	}}}
	r, err := http.NewRequestWithContext(ctx, method, "http://palisade/api/v1/"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode/100 != 2 {
		err = fmt.Errorf("%s: %s", answer.Status, text)
	}
	if err == nil && out != nil {
		err = json.Unmarshal(text, out)
	}
	return err
}

// request asks for a short answer at a host.
func (h *host) request(ctx context.Context, client *http.Client, token string) error {
	body := strings.NewReader(`{"model":"voices","max_tokens":2,"messages":[{"role":"user","content":"Who are you?"}]}`)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url+"/v1/chat/completions", body)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %.200s", answer.Status, text)
	}
	return err
}
