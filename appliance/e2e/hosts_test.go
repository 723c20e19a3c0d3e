package e2e_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/appliance/store/pgtest"
)

// host is a box on a place of its own.
type host struct {
	*box
	*place
	rightClock []byte // while it is set wrong
}

// newHosts makes boxes that are one appliance, each on a host of its own. They keep an etcd among themselves, and their rows in one
// PostgreSQL that each reaches whatever becomes of the wires. disks: each has one of its own.
func newHosts(t *testing.T, disks bool, names ...string) []*host {
	t.Helper()
	return newHostsWith(t, disks, "", names...)
}

// newHostsWith is newHosts with more settings of their clusters.
func newHostsWith(t *testing.T, disks bool, cluster string, names ...string) []*host {
	t.Helper()
	var server pgtest.Server
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	n := newLAN(t)
	more := ""
	if n.disks = disks; disks { // where one was full its member of etcd is begun again when the process before has ended
		more = "restart: {grace: 5s}\n"
	}
	return n.hosts(server.Database(t), more, cluster, names...)
}

// hosts makes them in a network, with more lines of settings, and more in their part of the cluster.
func (n *lan) hosts(dsn, more, cluster string, names ...string) []*host {
	t := n.t
	t.Helper()
	var all []*host
	var token struct{ Token, URL string }
	for i, name := range names {
		h := &host{box: newBox(t), place: n.place(name)}
		h.dial = within(h.namespace)
		h.program = filepath.Join(filepath.Dir(h.dir), "palisade")
		script := fmt.Sprintf("#!/bin/sh\nexec nsenter --net=/run/netns/%s %s \"$@\"\n", h.namespace, have.palisade)
		file := filepath.Join(filepath.Dir(h.dir), "palisade.yaml")
		settings := fmt.Sprintf("queue: {strategy: dispersed}\ncluster: {listen: \"%s:8480\", grace: 3s%s}\n%s", h.address(), cluster, more)
		if err := errors.Join(os.WriteFile(h.program, []byte(script), 0o755), os.WriteFile(file, []byte(settings), 0o600)); err != nil {
			t.Fatal(err)
		}
		if n.disks {
			h.ownDisk()
		}
		h.settings = []string{"--config", file, "--runtime", cmp.Or(n.runtime, "process")}
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
	all[0].settled("all are there, and keep what they agree on", func(s clusterStatus) bool {
		return len(s.alive()) == len(names) && s.Quorum.Answer == s.Quorum.Votes && (cluster != "" || s.Quorum.Votes == len(names))
	})
	return all
}

func (h *host) freeze(is bool) {
	h.t.Helper()
	if err := h.daemon.Process.Signal(map[bool]syscall.Signal{true: syscall.SIGSTOP, false: syscall.SIGCONT}[is]); err != nil {
		h.t.Fatal(err)
	}
}

// revive starts the daemon again.
func (h *host) revive() {
	h.t.Helper()
	h.start()
}

// fill leaves no room on the box's disk, and gives it back.
func (h *host) fill(is bool) {
	h.t.Helper()
	path := filepath.Join(h.dir, "filler")
	if !is {
		if err := os.Remove(path); err != nil {
			h.t.Fatal(err)
		}
		return
	}
	file, err := os.Create(path)
	if err != nil {
		h.t.Fatal(err)
	}
	defer file.Close()
	for at, size := int64(0), int64(1<<30); size > 0; {
		if unix.Fallocate(int(file.Fd()), 0, at, size) == nil {
			at += size
		} else {
			size /= 2 // to the last block
		}
	}
}

// ownDisk has the box's data on a disk of its own, of 4 GB.
func (h *host) ownDisk() {
	h.t.Helper()
	image := filepath.Join(filepath.Dir(h.dir), "disk")
	err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, 4<<30), os.MkdirAll(h.dir, 0o700))
	for _, do := range [][]string{{"mkfs.ext4", "-q", image}, {"mount", "-o", "loop", image, h.dir}} {
		if err == nil {
			_, err = output("", do[0], do[1:]...)
		}
	}
	if err != nil {
		h.t.Fatal(err)
	}
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
func (h *host) request(ctx context.Context, client *http.Client, model, token string) error {
	body := strings.NewReader(`{"model":"` + model + `","max_tokens":2,"messages":[{"role":"user","content":"Who are you?"}]}`)
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
