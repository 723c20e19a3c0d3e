package runtimetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/palisade-run/palisade/sessions"
)

var memory = map[string]func(*fixture){
	"the first process": func(f *fixture) {
		spec := f.script("a", "exec tail /dev/zero")
		spec.Limits.Memory = 64 << 20
		f.start(spec)
		f.ends("a", sessions.ExitOutOfMemory, 137, "64 MiB")
	},
	"a child of it": func(f *fixture) {
		spec := f.script("a", "tail /dev/zero; exit 1")
		spec.Limits.Memory = 64 << 20
		f.start(spec)
		f.ends("a", sessions.ExitOutOfMemory, 1)
	},
	"a kill from outside is not one": func(f *fixture) {
		spec := f.script("a", "echo ready; exec sleep 1000")
		spec.Limits.Memory = 64 << 20
		in := f.start(spec)
		f.awaitLine("a", "ready")
		f.signal(in.PID, syscall.SIGKILL)
		f.ends("a", sessions.ExitKilled, 137)
	},
}

var pids = map[string]func(*fixture){
	"is held": func(f *fixture) {
		spec := f.script("a", "i=0; while [ $i -lt 40 ]; do sleep 1000 & i=$((i+1)); done; echo made 40")
		spec.Limits.Pids = 20
		f.start(spec)
		f.wait("a")
		if strings.Contains(f.logs("a", sessions.LogOptions{}), "made 40") {
			f.Error("40 processes were made within a limit of 20")
		}
	},
}

var ownNetwork = map[string]func(*fixture){
	"ten listen on one port": func(f *fixture) {
		instances := map[string]sessions.Instance{}
		for i := range 10 {
			id := fmt.Sprintf("s%d", i)
			argv, mounts := f.h.Can.Listener(f.T, 8000, id)
			spec := f.spec(id, argv)
			spec.Mounts = mounts
			instances[id] = f.start(spec)
		}
		f.reopen()
		for id, in := range f.list() {
			if in.Address != instances[id].Address {
				f.Errorf("%s had %s and has %s", id, instances[id].Address, in.Address)
			}
			if got, err := fetch(f.ctx(), net.JoinHostPort(in.Address, "8000")); got != id {
				f.Errorf("%s at %s answers %q, %v", id, in.Address, got, err)
			}
		}
	},
	"ports are reached from inside": func(f *fixture) {
		argv, mounts := f.h.Can.Listener(f.T, 8000, "hello")
		spec := f.spec("a", argv)
		spec.Mounts = mounts
		in := f.start(spec)
		if _, err := fetch(f.ctx(), net.JoinHostPort(in.Address, "8000")); err != nil { // it listens
			f.Fatal(err)
		}
		var outside net.ListenConfig
		box, err := outside.Listen(f.ctx(), "tcp", "127.0.0.1:0")
		if err != nil {
			f.Fatal(err)
		}
		defer box.Close()
		f.reopen()
		dial := func(id string, port int) (string, error) {
			dialer, ok := f.Box.(sessions.Dialer)
			if !ok {
				f.Fatal("no sessions.Dialer")
			}
			c, err := dialer.Dial(f.ctx(), id, port)
			if err != nil {
				return "", err
			}
			defer c.Close()
			text, err := io.ReadAll(c)
			return string(text), err
		}
		if got, err := dial("a", 8000); got != "hello" || err != nil {
			f.Errorf("%q, %v", got, err)
		}
		address, ok := box.Addr().(*net.TCPAddr)
		if !ok {
			f.Fatal(box.Addr())
		}
		for _, port := range []int{8001, address.Port} {
			if _, err := dial("a", port); !errors.Is(err, syscall.ECONNREFUSED) {
				f.Errorf("port %d: %v", port, err)
			}
		}
		if _, err := dial("b", 8000); !errors.Is(err, sessions.ErrNoInstance) {
			f.Errorf("of nobody: %v", err)
		}
		if err := f.Stop(f.ctx(), "a", 0); err != nil {
			f.Fatal(err)
		}
		if _, err := dial("a", 8000); !errors.Is(err, sessions.ErrNoInstance) {
			f.Errorf("of one that has ended: %v", err)
		}
	},
	"traffic is counted": func(f *fixture) {
		argv, mounts := f.h.Can.Listener(f.T, 8000, strings.Repeat("x", 100_000))
		spec := f.spec("a", argv)
		spec.Mounts = mounts
		in := f.start(spec)
		if _, err := fetch(f.ctx(), net.JoinHostPort(in.Address, "8000")); err != nil {
			f.Fatal(err)
		}
		if s, err := f.Stats(f.ctx(), "a"); err != nil || s.TxBytes < 100_000 || s.RxBytes <= 0 {
			f.Errorf("%+v, %v", s, err)
		}
	},
}

// fetch reads all that address answers, once somebody listens there.
func fetch(ctx context.Context, address string) (string, error) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", address)
		if errors.Is(err, syscall.ECONNREFUSED) && ctx.Err() == nil {
			<-tick.C
			continue
		}
		if err != nil {
			return "", err
		}
		defer c.Close()
		text, err := io.ReadAll(c)
		return string(text), err
	}
}

var flood = map[string]func(*fixture){
	"is bounded, and blocks nothing": func(f *fixture) {
		f.start(f.script("a", "yes 'a line of a log that floods the disk if nobody bounds it' | head -c 120000000; echo; echo the end"))
		f.ends("a", sessions.ExitCompleted, 0)
		text := f.logs("a", sessions.LogOptions{})
		if int64(len(text)) > f.h.Can.LogBound {
			f.Errorf("%d bytes are kept", len(text))
		}
		if !strings.HasPrefix(text, "a line of a log") || !strings.HasSuffix(text, "\nthe end\n") {
			f.Errorf("it begins %q and ends %q", text[:min(80, len(text))], text[max(0, len(text)-80):])
		}
		if tail := f.logs("a", sessions.LogOptions{Tail: 1}); tail != "the end\n" {
			f.Errorf("the tail: %q", tail)
		}
	},
	"does not hold up who follows": func(f *fixture) {
		f.start(f.script("a", "yes 'another line' | head -c 60000000; echo; echo the end"))
		got := f.logs("a", sessions.LogOptions{Follow: true})
		if !strings.HasSuffix(got, "\nthe end\n") {
			f.Errorf("it ends %q", got[max(0, len(got)-80):])
		}
	},
}
