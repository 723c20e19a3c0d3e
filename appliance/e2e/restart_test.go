package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/openai/openai-go/v3/option"

	"github.com/palisade-run/palisade/router/usage"
)

// TestRestartUnderLoad restarts the daemon three times while clients of all kinds ask: none of them notices, and all is
// counted once.
func TestRestartUnderLoad(t *testing.T) {
	b := newBox(t)
	b.start()
	token := b.steadyService(2)
	before := pids(b.routes("steady"))
	d := b.newDemand(token)
	for range 6 {
		d.each("a connection that is kept", d.kept())
	}
	for range 2 {
		d.each("net/http on a new connection", d.posted(true, false))
		d.each("net/http with a body in chunks", d.posted(false, true))
		d.each("OpenAI's client", d.spoken(option.WithMaxRetries(0)))
	}
	echo := d.upgraded()
	for i := range 3 {
		for range 4 {
			d.stream(160) // 8 s: over the restarts that follow
		}
		if err := eventually(soon, func() error {
			if load := b.service("steady"); inFlight(load) < 4*(i+1) {
				return fmt.Errorf("%d are in flight", inFlight(load))
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		old := b.daemon.Process.Pid
		asked := d.asked.Load()
		t.Logf("restart %d: nothing was decided for %s", i+1, b.restart())
		if b.daemon.Process.Pid == old {
			t.Error("it is the same process")
		}
		if err := echo(fmt.Sprintf("word %d", i)); err != nil {
			t.Error("the upgraded connection: ", err)
		}
		if err := eventually(soon, func() error {
			if d.asked.Load() < asked+200 {
				return errors.New("no load any more")
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
	if n := len(b.daemons()); n != 4 {
		t.Errorf("%d processes; the streams were to go on in each of 4", n)
	}
	if err := echo("last word"); err != nil {
		t.Error("the upgraded connection: ", err)
	}
	if err := echo(""); err != nil {
		t.Error(err)
	}
	d.end()
	t.Logf("%d requests answered, %d failed; the longest took %s", d.asked.Load(), d.failed.Load(), time.Duration(d.slow.Load()))
	if after := pids(b.routes("steady")); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("sessions were %v and are %v", before, after)
	}
	if err := eventually(soon, func() error {
		if all := b.daemons(); len(all) != 1 {
			return fmt.Errorf("processes %v are left", all)
		}
		requests, tokens := b.counted()
		if requests != d.asked.Load() || tokens != d.words.Load() {
			return fmt.Errorf("counted are %d requests and %d tokens of %d and %d", requests, tokens, d.asked.Load(), d.words.Load())
		}
		if left, _ := filepath.Glob(filepath.Join(b.dir, "usage", "*")); len(left) > 1 || len(left) == 1 && !strings.HasSuffix(left[0], usage.JournalSuffix) {
			return fmt.Errorf("files are left, beside what the daemon that runs counts in: %v", left)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// TestRestartThatFails asks for successors that do not come up, in all ways: the daemon goes on, says why, and nobody
// else notices.
func TestRestartThatFails(t *testing.T) {
	b := newBox(t)
	home := filepath.Dir(b.dir)
	b.program = filepath.Join(home, "palisade")
	b.replace("")
	settings := filepath.Join(home, "settings.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(settings, []byte("restart: {patience: 3s}\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b.settings = []string{"--config", settings}
	write("")
	b.start()
	token := b.steadyService(1)
	d := b.newDemand(token)
	d.each("a connection that is kept", d.kept())
	d.each("net/http on a new connection", d.posted(true, false))
	d.each("OpenAI's client", d.spoken(option.WithMaxRetries(0)))
	d.stream(200)
	checked := `case "$*" in *--check) exit 0;; esac` + "\n"
	for _, tt := range []struct {
		name, script, settings string
		words                  []string
	}{
		{"settings that are wrong", "", "network: {bridge: two words}\n", []string{"network.bridge", "--check"}},
		{"a file that is no program", "exit 3", "", []string{"exit status 3"}},
		{"a program that ends", checked + "exit 3", "", []string{"ended without a word"}},
		{"a program that does nothing", checked + "exec sleep 60", "", []string{"prepared", "restart.patience"}},
		{"a database that is away", "", "database: postgres://127.0.0.1:1/none\n", []string{"127.0.0.1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pid := b.daemon.Process.Pid
			b.replace(tt.script)
			write(tt.settings)
			asked := d.asked.Load()
			b.fails(1, append(tt.words, "hint:"), "restart")
			if all := b.daemons(); len(all) != 1 || all[0] != pid {
				t.Errorf("daemons are %v; it was %d", all, pid)
			}
			if v := b.service("steady"); v.Status != "HEALTHY" {
				t.Errorf("the service is %s: %s", v.Status, v.Sentence)
			}
			if err := eventually(soon, func() error {
				if d.asked.Load() < asked+50 {
					return errors.New("no load any more")
				}
				return nil
			}); err != nil {
				t.Error(err)
			}
		})
	}
	b.replace("")
	write("")
	b.restart()
	d.end()
	if err := eventually(soon, func() error {
		if requests, tokens := b.counted(); requests != d.asked.Load() || tokens != d.words.Load() {
			return fmt.Errorf("counted are %d requests and %d tokens of %d and %d", requests, tokens, d.asked.Load(), d.words.Load())
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	t.Logf("%d requests answered, %d failed", d.asked.Load(), d.failed.Load())
}

// TestRestartThatBreaksTheData has a successor that fails when it has made the database one that cannot be opened: requests
// go on to be answered, and when the data is there again, or a successor that can read it, so does the rest.
func TestRestartThatBreaksTheData(t *testing.T) {
	b := newBox(t)
	b.program = filepath.Join(filepath.Dir(b.dir), "palisade")
	b.replace("")
	b.start()
	token := b.steadyService(1)
	d := b.newDemand(token)
	d.each("a connection that is kept", d.kept())
	d.each("net/http on a new connection", d.posted(true, false))
	db := filepath.Join(b.dir, "palisade.db")
	mend := func() {
		t.Helper()
		if err := errors.Join(os.Remove(db), os.Rename(db+".away", db)); err != nil {
			t.Fatal(err)
		}
	}
	for _, by := range []string{"itself", "a restart"} {
		pid := b.daemon.Process.Pid
		b.replace(`case "$*" in *--check) exit 0;; esac
read -r hello <&3; echo '{"say":"prepared","version":"broken"}' >&3
read -r yours <&3; mv ` + db + " " + db + ".away; mkdir " + db + `
echo '{"say":"failed","error":"the data is broken now"}' >&3; exit 1`)
		b.fails(1, []string{"goes on as before", "the data is broken now"}, "restart")
		asked := d.asked.Load()
		if err := eventually(soon, func() error {
			if d.asked.Load() < asked+50 {
				return errors.New("no load any more")
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
		b.replace("")
		mend()
		if by == "a restart" {
			b.restart()
		}
		if v := b.service("steady"); v.Status != "HEALTHY" { // it waits until there is somebody to say so
			t.Errorf("mended by %s, the service is %s: %s", by, v.Status, v.Sentence)
		}
		if changed := b.daemon.Process.Pid != pid; changed != (by == "a restart") {
			t.Errorf("mended by %s, it is another process: %v", by, changed)
		}
	}
	d.end()
	if err := eventually(soon, func() error {
		if requests, tokens := b.counted(); requests != d.asked.Load() || tokens != d.words.Load() {
			return fmt.Errorf("counted are %d requests and %d tokens of %d and %d", requests, tokens, d.asked.Load(), d.words.Load())
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	t.Logf("%d requests answered, %d failed", d.asked.Load(), d.failed.Load())
}

// TestRouteGoesAfterARestart takes a route away, after a restart, on which the process before it still answers: the answer
// comes whole before the route ends.
func TestRouteGoesAfterARestart(t *testing.T) {
	b := newBox(t)
	b.start()
	token := b.steadyService(1)
	d := b.newDemand(token)
	d.stream(100) // 5 s
	if err := eventually(soon, func() error {
		if inFlight(b.service("steady")) == 0 {
			return errors.New("nothing is in flight")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	b.restart()
	if n := inFlight(b.service("steady")); n != 1 {
		t.Errorf("%d are in flight; the process before has 1", n)
	}
	b.run("service", "scale", "steady", "0")
	if n := inFlight(b.service("steady")); n != 1 {
		t.Errorf("%d are in flight while the route drains; the process before has 1", n)
	}
	d.end()
	if err := eventually(soon, func() error {
		if routes := b.service("steady").Routes; len(routes) > 0 {
			return fmt.Errorf("routes are left: %+v", routes)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// TestSignals restarts by SIGHUP, tells the service manager, and ends all processes with the last one.
func TestSignals(t *testing.T) {
	b := newBox(t)
	manager := newServiceManager(t, b)
	b.start()
	first := b.daemon.Process.Pid
	manager.wait("READY=1")
	token := b.steadyService(1)
	d := b.newDemand(token)
	d.all.Go(func() { _, _ = say(context.Background(), b.client(token), "steady", 10000, nil) }) // it is cut
	if err := eventually(soon, func() error {
		if inFlight(b.service("steady")) == 0 {
			return errors.New("nothing is in flight")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := b.daemon.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	manager.wait("RELOADING=1")
	said := manager.wait("MAINPID=")
	_, text, _ := strings.Cut(said, "MAINPID=")
	pid, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil || pid == first {
		t.Fatalf("MAINPID is %q", text)
	}
	b.now(pid)
	b.run("service", "list")
	if n := len(b.daemons()); n != 2 {
		t.Errorf("%d processes: the stream was to go on in the first", n)
	}
	b.stop() // returns when all have ended
	d.all.Wait()
	b.start()
}

// TestStoppedAndStarted measures what clients see of a daemon that is stopped, or killed, and started again at once: when
// connections are accepted again, and whether the retries of OpenAI's client bridge it.
func TestStoppedAndStarted(t *testing.T) {
	for _, tt := range []struct {
		name    string
		end     func(b *box)
		streams bool
	}{
		{"SIGTERM", func(b *box) { _ = b.daemon.Process.Signal(syscall.SIGTERM) }, false},
		{"SIGTERM with a stream that does not end", func(b *box) { _ = b.daemon.Process.Signal(syscall.SIGTERM) }, true},
		{"SIGKILL", func(b *box) { b.kill() }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBox(t)
			b.start()
			token := b.steadyService(2)
			d := b.newDemand(token)
			for range 4 {
				d.each("OpenAI's client with its own retries", d.spoken())
			}
			d.hope(d.kept())
			var streams sync.WaitGroup
			if tt.streams {
				streams.Go(func() { _, _ = say(context.Background(), b.client(token), "steady", 400, nil) }) // 20 s; it is cut
				if err := eventually(soon, func() error {
					if inFlight(b.service("steady")) == 0 {
						return errors.New("nothing is in flight")
					}
					return nil
				}); err != nil {
					t.Fatal(err)
				}
			}
			gaps := b.watchPort(t)
			exited := b.exited
			tt.end(b)
			b.start() // does not wait for the end of the first
			gap := gaps()
			time.AfterFunc(time.Second, func() { close(d.stop) })
			d.all.Wait()
			<-exited
			streams.Wait()
			t.Logf("connections were refused for %s; of OpenAI's client %d requests answered, %d failed, the longest took %s with its retries; one that asks without end and tries nothing twice lost %d",
				gap.Round(time.Millisecond), d.asked.Load(), d.failed.Load(), time.Duration(d.slow.Load()).Round(time.Millisecond), d.lost.Load())
		})
	}
}

// TestSocketActivation has the sockets held by somebody else, as systemd does: nothing is refused when the daemon is killed
// and started again, and it restarts as ever.
func TestSocketActivation(t *testing.T) {
	b := newBox(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		t.Fatalf("%T", l)
	}
	file, err := tcp.File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	b.url = "http://" + l.Addr().String()
	b.activate = file
	b.start()
	token := b.steadyService(1)
	d := b.newDemand(token)
	asks := d.posted(true, false)
	if err := asks(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		b.kill()
		answered := make(chan error, 1)
		go func() { answered <- asks() }() // while nobody is there
		b.start()
		if err := <-answered; err != nil {
			t.Errorf("a request while no daemon was there: %v", err)
		}
		b.restart()
		if err := asks(); err != nil {
			t.Error(err)
		}
	}
}
