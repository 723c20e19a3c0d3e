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
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"

	"github.com/palisade-run/palisade/appliance/store/pgtest"
)

// boxSeen and memberSeen are a box and a member of etcd, as far as tests look at them.
type (
	boxSeen struct {
		Name, State, Address, Problem string
		Alive                         bool
		Sessions                      int
	}
	memberSeen struct {
		Box     string
		Learner bool
	}
)

// clusterStatus is how boxes are that are one appliance, as far as tests look at it.
type clusterStatus struct {
	Leader   string
	Boxes    []boxSeen
	Members  []memberSeen
	Quorum   struct{ Votes, Answer int }
	Era      int64
	External bool
}

type clusterSelf struct {
	State, Name, Leader, Problem string
	Leads                        bool
}

// ask asks the API of a box over its socket.
func (b *box) ask(method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(b.dir, "palisade.sock"))
	}}}
	r, err := http.NewRequest(method, "http://palisade/api/v1/"+path, bytes.NewReader(body))
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
		err = fmt.Errorf("%s %s: %s: %s", method, path, answer.Status, text)
	}
	if err == nil && out != nil {
		err = json.Unmarshal(text, out)
	}
	return err
}

// settled waits until something is so of all boxes, as one of them sees them.
func (b *box) settled(what string, is func(clusterStatus) bool) clusterStatus {
	b.t.Helper()
	var seen clusterStatus
	if err := eventually(90*time.Second, func() error {
		seen = clusterStatus{}
		if err := b.ask(http.MethodGet, "cluster", struct{}{}, &seen); err != nil {
			return err
		}
		if !is(seen) {
			return fmt.Errorf("not %s: %+v", what, seen)
		}
		return nil
	}); err != nil {
		b.t.Fatal(err)
	}
	return seen
}

func (s clusterStatus) alive() (names []string) {
	for _, one := range s.Boxes {
		if one.Alive {
			names = append(names, one.Name)
		}
	}
	return names
}

// newBoxes makes boxes that are one appliance, each on a loopback address of its own, and returns them by name.
func newBoxes(t *testing.T, names ...string) map[string]*box {
	t.Helper()
	return newBoxesWith(t, "", names...)
}

// newBoxesWith is newBoxes with more lines of settings.
func newBoxesWith(t *testing.T, more string, names ...string) map[string]*box {
	t.Helper()
	return newBoxesOn(t, "", more, names...)
}

// newBoxesOn is newBoxesWith on an etcd of the owner's; "": the boxes keep one among themselves.
func newBoxesOn(t *testing.T, etcd, more string, names ...string) map[string]*box {
	t.Helper()
	votes := len(names)
	if etcd != "" {
		etcd, votes = fmt.Sprintf(", etcd: [%q]", etcd), 0
	}
	var server pgtest.Server
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	all := map[string]*box{}
	var first *box
	var token struct{ Token, URL string }
	for i, name := range names {
		b := newBox(t)
		settings := fmt.Sprintf("queue: {strategy: dispersed}\ncluster: {listen: \"127.31.0.%d:8480\", grace: 2s%s}\n", i+1, etcd) + more
		file := filepath.Join(filepath.Dir(b.dir), "palisade.yaml")
		if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
			t.Fatal(err)
		}
		b.settings = []string{"--config", file, "--runtime", "process"}
		if first == nil {
			b.settings = append(b.settings, "--database", server.Database(t))
		}
		b.start()
		all[name] = b
		var err error
		if first == nil {
			first = b
			if err = b.ask(http.MethodPost, "cluster/self/init", map[string]string{"name": name}, nil); err == nil {
				b.settled("the first one decides", func(s clusterStatus) bool { return s.Leader == name && len(s.alive()) == 1 })
				err = b.ask(http.MethodPost, "cluster/tokens", map[string]any{"approve": true, "uses": max(1, len(names)-1)}, &token)
			}
		} else {
			err = b.ask(http.MethodPost, "cluster/self/join", map[string]string{"url": token.URL, "token": token.Token, "name": name}, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	first.settled("all are there, and keep what they agree on", func(s clusterStatus) bool {
		return len(s.alive()) == len(names) && s.Quorum.Votes == votes
	})
	return all
}

// client of a service at one box that counts what becomes of its requests, until it is ended.
type asker struct {
	asked, failed atomic.Int64
	mu            sync.Mutex
	first         error
	end           context.CancelFunc
	done          chan struct{}
}

// reasons are why requests failed, and how many for each.
func (s *asker) reasons() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := map[string]int{}
	if s.first == nil {
		return n
	}
	for line := range strings.Lines(s.first.Error()) {
		n[strings.TrimSpace(line)]++
	}
	return n
}

// stop returns when the last answer came.
func (s *asker) stop() {
	s.end()
	<-s.done
}

func (b *box) keepAsking(ctx context.Context, token, model string) *asker {
	return keepAsking(ctx, b.client(token), model)
}

func keepAsking(ctx context.Context, client openai.Client, model string) *asker {
	ctx, end := context.WithCancel(ctx)
	s := &asker{end: end, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		for ctx.Err() == nil {
			_, err := say(ctx, client, model, 4, nil)
			if ctx.Err() != nil {
				return
			}
			s.asked.Add(1)
			if err != nil {
				s.failed.Add(1)
				s.mu.Lock()
				s.first = errors.Join(s.first, err)
				s.mu.Unlock()
			}
		}
	}()
	return s
}

// TestSeveralBoxes: three boxes are one appliance. Each answers for a service of all of them; the one that decides is killed, and
// nobody who asks the others notices; another one decides, makes up for what is missing, and what the killed one ran is run by it
// no more when it is back.
func TestSeveralBoxes(t *testing.T) {
	boxes := newBoxes(t, "one", "two", "three")
	one, two := boxes["one"], boxes["two"]
	one.folder("voices", strings.Replace(voices, "MODE", "recite", 1), map[string]string{"mkhello": have.mkhello})
	two.run("service", "create", "host", "voices", "3", "--name", "voices", "-r", "cpu=0.1", "--wait") // one that follows passes it on
	token := two.run("service", "generate-token", "voices", "--duration", "1h", "-q")
	one.settled("a route is on each box", func(s clusterStatus) bool {
		return !slices.ContainsFunc(s.Boxes, func(b boxSeen) bool {
			return b.Sessions != 1
		})
	})

	// Each box answers by its own route, and goes on so: that it has one, and the token, each hears a moment after the one that decides.
	own := func() error {
		of := map[string]string{}
		for name, b := range boxes {
			for range 3 {
				text, err := say(t.Context(), b.client(token), "voices", 50, nil)
				if err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				if before, said := of[text]; said && before != name {
					return fmt.Errorf("%s and %s both say %q: the local route comes first", before, name, text)
				}
				of[text] = name
			}
		}
		if len(of) != len(boxes) {
			return fmt.Errorf("not one route for each box: %v", of)
		}
		return nil
	}
	if err := eventually(soon, own); err != nil {
		t.Error(err)
	}
	if err := own(); err != nil {
		t.Error("once more:", err)
	}

	// A token that was made by way of one box is good on all, and revoked by way of another it is refused by all.
	three := boxes["three"]
	spare := three.run("service", "generate-token", "voices", "--name", "spare", "--duration", "1h", "-q")
	everywhere := func(what string, is func(error) bool) {
		t.Helper()
		for name, b := range boxes {
			if err := eventually(soon, func() error {
				if _, err := say(t.Context(), b.client(spare), "voices", 4, nil); !is(err) {
					return fmt.Errorf("%s: %w", what, errors.Join(errors.New("it answers otherwise"), err))
				}
				return nil
			}); err != nil {
				t.Error(name, err)
			}
		}
	}
	everywhere("a new token", func(err error) bool { return err == nil })
	two.run("service", "revoke-token", "voices", "spare")
	everywhere("a revoked token", func(err error) bool { return isStatus(err, http.StatusUnauthorized) })

	scaledByOneThatFollows(t, one, two)

	// The one that decides is killed.
	others := []*box{two, three}
	var clients []*asker
	for _, b := range others {
		clients = append(clients, b.keepAsking(t.Context(), token, "voices"))
	}
	before := one.routes("voices")
	one.kill()
	after := two.settled("another one decides", func(s clusterStatus) bool {
		return s.Leader != "one" && s.Leader != "" && !slices.Contains(s.alive(), "one")
	})
	t.Log(after.Leader, "decides")
	whole := func(b *box) error {
		return eventually(60*time.Second, func() error {
			out, errText, code := b.cli("service", "info", "voices", "--output", "json")
			var v serviceView
			if code != 0 || json.Unmarshal([]byte(out), &v) != nil || v.Status != "HEALTHY" || len(v.Routes) != 3 {
				return fmt.Errorf("not whole: %s %s", out, errText)
			}
			return nil
		})
	}
	if err := whole(two); err != nil {
		t.Error(err)
	}
	for i, s := range clients {
		s.stop()
		if s.failed.Load() > 0 || s.asked.Load() == 0 {
			t.Errorf("box %d: %d of %d requests failed: %v", i, s.failed.Load(), s.asked.Load(), s.first)
		}
	}

	// It comes back: what was moved is given up, and it is a box like any other. It knows the database of all without being told.
	one.settings = one.settings[:len(one.settings)-2]
	one.start()
	two.settled("the killed one is back, and runs nothing twice", func(s clusterStatus) bool {
		return len(s.alive()) == 3 && s.Leader == after.Leader
	})
	if err := eventually(soon, func() error {
		for _, r := range before {
			if holder := sessionProcesses(r.ID); len(holder) > 0 && !slices.ContainsFunc(two.routes("voices"), func(n routeView) bool { return n.ID == r.ID }) {
				return fmt.Errorf("session %s was begun elsewhere under another id, and still runs: %v", r.ID, holder)
			}
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if err := whole(one); err != nil {
		t.Error(err)
	}
	if _, err := say(t.Context(), one.client(token), "voices", 50, nil); err != nil {
		t.Error("the box that is back:", err)
	}

	// A box that is to be empty.
	for _, box := range two.settled("", func(clusterStatus) bool { return true }).Boxes {
		if box.Sessions > 0 && box.Name != after.Leader {
			one.run("cluster", "drain", box.Name)
			drained := box.Name
			two.settled(drained+" is empty", func(s clusterStatus) bool {
				for _, b := range s.Boxes {
					if b.Name == drained {
						return b.Sessions == 0
					}
				}
				return false
			})
			if err := whole(one); err != nil {
				t.Error(err)
			}
			break
		}
	}
	one.run("service", "rm", "voices")
	if err := eventually(soon, func() error {
		if out, _, _ := two.cli("service", "list", "-q"); out != "" {
			return errors.New(out)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if !t.Failed() {
		leave(t, boxes)
	}
}

// sessionProcesses are the processes of the machine that belong to a session.
func sessionProcesses(id string) (pids []string) {
	all, _ := filepath.Glob("/proc/[0-9]*/cgroup")
	for _, path := range all {
		text, err := os.ReadFile(path)
		if err == nil && bytes.Contains(text, []byte(id)) {
			pids = append(pids, filepath.Base(filepath.Dir(path)))
		}
	}
	return pids
}
