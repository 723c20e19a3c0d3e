package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/palisade-run/palisade/appliance/store/pgtest"
)

// engine is what boxes stand on, on a place of its own: a member of etcd, or a Redis.
type engine struct {
	*place
	t       testing.TB
	command []string
	running *exec.Cmd
}

// engine makes one below a directory of its own, and starts it.
func (n *lan) engine(name string, command func(dir, address string) []string) *engine {
	n.t.Helper()
	e := &engine{place: n.place(name), t: n.t}
	dir, err := os.MkdirTemp("/var/tmp", "pal-")
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() {
		e.kill()
		if err := os.RemoveAll(dir); err != nil {
			n.t.Error(err)
		}
	})
	e.command = append([]string{"nsenter", "--net=/run/netns/" + e.namespace}, command(dir, e.address())...)
	e.revive()
	return e
}

func (e *engine) kill() {
	_ = e.running.Process.Kill()
	_ = e.running.Wait()
}

func (e *engine) revive() {
	e.t.Helper()
	e.running = exec.Command(e.command[0], e.command[1:]...)
	e.running.Stderr = os.Stderr
	e.running.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := e.running.Start(); err != nil {
		e.t.Fatal(err)
	}
}

func (e *engine) freeze(is bool) {
	e.t.Helper()
	if err := e.running.Process.Signal(map[bool]syscall.Signal{true: syscall.SIGSTOP, false: syscall.SIGCONT}[is]); err != nil {
		e.t.Fatal(err)
	}
}

// rows is a PostgreSQL on a place of its own.
type rows struct {
	*place
	*pgtest.Server
	t testing.TB
}

func (r *rows) kill()          { r.t.Helper(); r.Kill(r.t) }
func (r *rows) revive()        { r.t.Helper(); r.Start(r.t) }
func (r *rows) freeze(is bool) { r.t.Helper(); r.Freeze(r.t, is) }

// several are victims of one fault.
type several []victim

func (s several) each(f func(victim)) {
	for _, v := range s {
		f(v)
	}
}

func (s several) kill()          { s.each(victim.kill) }
func (s several) revive()        { s.each(victim.revive) }
func (s several) freeze(is bool) { s.each(func(v victim) { v.freeze(is) }) }
func (s several) cut(is bool)    { s.each(func(v victim) { v.cut(is) }) }

// engines are what boxes stand on.
type engines struct {
	etcd  []*engine
	rows  *rows
	redis *engine
}

// newEngines makes a network with them, and boxes that stand on them.
func newEngines(t *testing.T) (*engines, []*host) {
	t.Helper()
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(filepath.Dir(have.palisade), "etcd")
	if _, err := output(root, "go", "build", "-o", program, "./appliance/e2e/testdata/etcd"); err != nil {
		t.Fatal(err)
	}
	n, e := newLAN(t), &engines{}
	var all, urls []string
	for i := range 3 {
		all = append(all, fmt.Sprintf("etcd-%d=http://10.88.7.%d:2380", i+1, i+1))
		urls = append(urls, fmt.Sprintf("%q", fmt.Sprintf("http://10.88.7.%d:2379", i+1)))
	}
	for i := range 3 {
		name := fmt.Sprintf("etcd-%d", i+1)
		e.etcd = append(e.etcd, n.engine(name, func(dir, address string) []string {
			return []string{program, name, filepath.Join(dir, "data"), address, strings.Join(all, ",")}
		}))
	}
	e.redis = n.engine("redis", func(dir, address string) []string {
		return []string{"redis-server", "--bind", address, "--protected-mode", "no", "--save", "", "--appendonly", "no", "--dir", dir, "--loglevel", "nothing"}
	})
	at := n.place("rows")
	e.rows = &rows{at, &pgtest.Server{Network: "/run/netns/" + at.namespace, Address: at.address()}, t}
	t.Cleanup(func() {
		if err := e.rows.Close(); err != nil {
			t.Error(err)
		}
	})
	dsn := e.rows.OverTCP(t, e.rows.Database(t), pgtest.Password)
	hosts := n.hosts(dsn, fmt.Sprintf("redis: {url: \"redis://%s:6379\", bound: 1s}\n", e.redis.address()), fmt.Sprintf(", etcd: [%s]", strings.Join(urls, ", ")), "one", "two", "three")
	return e, hosts
}

// leads is the member of etcd that leads the others.
func (e *engines) leads(t *testing.T) *engine {
	t.Helper()
	var at *engine
	if err := eventually(20e9, func() error {
		for _, one := range e.etcd {
			var status struct {
				Leader string
				Header struct {
					Member string `json:"member_id"`
				}
			}
			client := &http.Client{Transport: &http.Transport{DialContext: within(one.namespace), DisableKeepAlives: true}}
			answer, err := client.Post("http://"+one.address()+":2379/v3/maintenance/status", "application/json", strings.NewReader("{}"))
			if err != nil {
				return err
			}
			err = errors.Join(json.NewDecoder(answer.Body).Decode(&status), answer.Body.Close())
			if err != nil {
				return err
			}
			if status.Leader != "" && status.Leader == status.Header.Member {
				at = one
				return nil
			}
		}
		return errors.New("none leads")
	}); err != nil {
		t.Fatal(err)
	}
	return at
}
