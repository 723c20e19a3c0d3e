package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// leave walks boxes out of their cluster, and one of them in again: as a member of etcd with a vote, as the one that decides, as one
// that keeps nothing of etcd, and as the last one.
func leave(t *testing.T, boxes map[string]*box) {
	in := func() (names []string) {
		for name := range boxes {
			names = append(names, name)
		}
		slices.Sort(names)
		return names
	}()
	status := func() clusterStatus {
		t.Helper()
		return boxes[in[0]].settled("somebody decides", func(s clusterStatus) bool { return s.Leader != "" })
	}
	out := func(name string) {
		t.Helper()
		began := time.Now()
		boxes[name].run("cluster", "leave")
		t.Logf("%s has left after %v", name, time.Since(began).Round(time.Millisecond))
		in = slices.DeleteFunc(in, func(n string) bool { return n == name })
		if err := eventually(soon, func() error { // it is alone, and answers as such
			var self clusterSelf
			if err := boxes[name].ask(http.MethodGet, "cluster/self", struct{}{}, &self); err != nil {
				return err
			}
			if self.State != "alone" || self.Problem != "" {
				return fmt.Errorf("%+v", self)
			}
			return nil
		}); err != nil {
			t.Fatal(name, err)
		}
		for _, n := range in {
			boxes[n].settled(name+" is gone, and what is left comes to rest", func(s clusterStatus) bool {
				var members []string
				for _, m := range s.Members {
					members = append(members, m.Box)
				}
				slices.Sort(members)
				votes := len(in) - (len(in)+1)%2
				return len(s.Boxes) == len(in) && len(s.alive()) == len(in) && s.Leader != "" && s.Quorum.Votes == votes && s.Quorum.Answer == votes &&
					len(members) == votes && !slices.Contains(members, name)
			})
		}
	}
	voter := func(is bool) string {
		t.Helper()
		s := status()
		for _, n := range in {
			has := slices.ContainsFunc(s.Members, func(m memberSeen) bool {
				return m.Box == n
			})
			if has == is && n != s.Leader {
				return n
			}
		}
		return ""
	}

	boxes[in[0]].run(append([]string{"cluster", "uncordon"}, in...)...) // one was drained

	// A member with a vote that does not decide. Its seat is free for the next box at once.
	first := voter(true)
	out(first)
	b := boxes[first]
	url, token := newToken(t, boxes[in[0]], false)
	b.fails(1, []string{"token"}, "join", url, token[:len(token)-1]+map[bool]string{true: "q", false: "a"}[token[len(token)-1] == 'a'], "--name", first, "--detach")
	var waiting clusterSelf // what was refused does not keep it from asking again, without a restart
	if err := b.ask(http.MethodPost, "cluster/self/join", map[string]string{"url": url, "token": token, "name": first}, &waiting); err != nil || waiting.State != "joining" {
		t.Fatal(waiting, err)
	}
	if err := eventually(soon, func() error {
		_, errs, code := boxes[in[0]].cli("cluster", "approve", first)
		if code != 0 {
			return errors.New(errs)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	in = append(in, first)
	slices.Sort(in)
	boxes[in[0]].settled(first+" is back, with a vote", func(s clusterStatus) bool {
		return len(s.alive()) == 3 && s.Quorum.Votes == 3 && s.Quorum.Answer == 3
	})

	// One is dead, and taken out. When it is back it says so, until its owner has it be alone.
	dead := voter(true)
	removed := boxes[dead]
	removed.kill()
	in = slices.DeleteFunc(in, func(n string) bool { return n == dead })
	boxes[in[0]].settled("it is silent", func(s clusterStatus) bool { return len(s.alive()) == 2 && s.Leader != "" })
	if err := eventually(soon, func() error { // etcd lets no member go so shortly after it lost one
		_, errs, code := boxes[in[0]].cli("cluster", "remove", dead, "--force")
		if code != 0 {
			return errors.New(errs)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	boxes[in[0]].settled("it is gone", func(s clusterStatus) bool {
		return len(s.Boxes) == 2 && s.Quorum.Votes == 1 && len(s.Members) == 1
	})
	removed.start()
	for _, args := range [][]string{{"cluster", "status"}, {"doctor"}} {
		if err := eventually(soon, func() error {
			out, errs, code := removed.cli(args...)
			if code != 1 || !strings.Contains(out+errs, "this box was removed from the cluster") || !strings.Contains(out+errs, "palisade cluster leave") {
				return fmt.Errorf("palisade %v says: %d %s %s", args, code, out, errs)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
	removed.run("cluster", "leave")
	if err := eventually(soon, func() error {
		_, errs, code := removed.cli("join", url, token, "--name", dead) // used up
		if code != 1 || !strings.Contains(errs, "used up") {
			return fmt.Errorf("%d %s", code, errs)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	url, token = newToken(t, boxes[in[0]], true)
	removed.run("join", url, token, "--name", dead)
	in = append(in, dead)
	slices.Sort(in)
	boxes[in[0]].settled(dead+" is back, with a vote", func(s clusterStatus) bool {
		return len(s.alive()) == 3 && s.Quorum.Votes == 3 && s.Quorum.Answer == 3
	})

	// Most members are lost; the one that is left goes on alone. When the others come back all the same, they learn anew.
	rescuer := status().Leader
	for _, n := range in {
		if n != rescuer {
			boxes[n].kill()
		}
	}
	if err := eventually(soon, func() error {
		_, errs, code := boxes[rescuer].cli("cluster", "rescue", "--yes")
		if code != 0 {
			return errors.New(errs)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	boxes[rescuer].settled("it decides alone", func(s clusterStatus) bool {
		return s.Leader == rescuer && s.Era == 1 && len(s.alive()) == 1 && s.Quorum.Votes == 1
	})
	for _, n := range in {
		if n != rescuer {
			boxes[n].start()
		}
	}
	boxes[rescuer].settled("all are back, with votes", func(s clusterStatus) bool {
		return len(s.alive()) == 3 && s.Quorum.Votes == 3 && s.Quorum.Answer == 3 && s.Era == 1
	})

	// The one that decides.
	leads := status().Leader
	boxes[leads].fails(1, []string{"decides", "cluster leave"}, "cluster", "remove", leads)
	out(leads)

	// Of two, one keeps etcd for both. While it is away the other one answers, over a restart too: by the table on its own disk.
	keeps := status().Members[0].Box
	for _, n := range in {
		if n != keeps {
			withoutEtcd(t, boxes[n], boxes[keeps])
		}
	}
	// It leaves: what it keeps goes on to the other one first.
	out(keeps)
	if s := status(); s.Leader != in[0] || s.Members[0].Box != in[0] {
		t.Errorf("%+v", s)
	}

	// One joins again, and leaves without ever having kept anything of etcd.
	other := boxes[keeps]
	url, token = newToken(t, boxes[in[0]], true)
	other.run("join", url, token, "--name", keeps)
	in = append(in, keeps)
	slices.Sort(in)
	boxes[keeps].settled("it is back", func(s clusterStatus) bool { return len(s.alive()) == 2 })
	out(voter(false))

	// And the last one, once it has moved to other ports.
	last := boxes[in[0]]
	settings, err := os.ReadFile(last.settings[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(last.settings[1], []byte(strings.Replace(string(settings), ":8480", ":8580", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	last.kill()
	last.start()
	last.settled("it decides at other ports", func(s clusterStatus) bool {
		return s.Leader == in[0] && s.Quorum.Answer == 1 && strings.HasSuffix(s.Boxes[0].Address, ":8580")
	})
	out(in[0])
	if text := last.run("model", "list", "-q"); strings.Contains(text, "error") {
		t.Error(text)
	}
}

// withoutEtcd has a box be started while the one that keeps etcd for both is dead.
func withoutEtcd(t *testing.T, b, keeps *box) {
	t.Helper()
	b.run("service", "create", "host", "voices", "2", "--name", "alone", "-r", "cpu=0.1", "--wait")
	token := b.run("service", "generate-token", "alone", "--duration", "1h", "-q")
	answers := func() error {
		return eventually(soon, func() error {
			_, err := say(t.Context(), b.client(token), "alone", 4, nil)
			return err
		})
	}
	if err := errors.Join(answers(), eventually(soon, func() error { // it is written down now and then
		text, err := os.ReadFile(filepath.Join(b.dir, "cluster", "table.json"))
		if err != nil {
			return err
		}
		_, body, _ := strings.Cut(string(text), "\n")
		var kept struct {
			Rows map[string]struct{ Nodes map[string]string }
		}
		if err := json.Unmarshal([]byte(body), &kept); err != nil {
			return err
		}
		for _, row := range kept.Rows {
			if len(row.Nodes) == 2 {
				return nil
			}
		}
		return fmt.Errorf("two routes are not in %s", body)
	})); err != nil {
		t.Fatal(err)
	}
	keeps.kill()
	b.kill()
	b.start()
	if err := answers(); err != nil {
		t.Error("it does not answer while etcd is away:", err)
	}
	for _, args := range [][]string{{"cluster", "status"}, {"doctor"}} {
		out, errs, code := b.cli(args...)
		if code != 1 || !strings.Contains(out+errs, "kept on its disk") || !strings.Contains(out+errs, "etcd has not heard of this box") {
			t.Errorf("palisade %v says: %d %s %s", args, code, out, errs)
		}
	}
	ready, err := http.Get(b.url + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer ready.Body.Close()
	if text, err := io.ReadAll(ready.Body); err != nil || ready.StatusCode != http.StatusOK || !strings.Contains(string(text), "kept on its disk") {
		t.Errorf("/readyz: %s %s %v", ready.Status, text, err)
	}
	keeps.start()
	b.settled("all is as before", func(s clusterStatus) bool { return len(s.alive()) == 2 && s.Leader != "" })
	if err := answers(); err != nil {
		t.Error(err)
	}
	b.run("service", "rm", "alone")
	b.settled("nothing runs", func(s clusterStatus) bool {
		return !slices.ContainsFunc(s.Boxes, func(b boxSeen) bool {
			return b.Sessions > 0
		})
	})
}

func newToken(t *testing.T, of *box, approve bool) (url, token string) {
	t.Helper()
	var made struct{ Token, URL string }
	if err := of.ask(http.MethodPost, "cluster/tokens", map[string]any{"approve": approve, "uses": 1}, &made); err != nil {
		t.Fatal(err)
	}
	return made.URL, made.Token
}
