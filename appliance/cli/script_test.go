package cli_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/palisade-run/palisade/appliance/admin"
	"github.com/palisade-run/palisade/appliance/admin/admintest"
	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/cli"
	"github.com/palisade-run/palisade/appliance/daemon"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"palisade": palisade})
}

// palisade is the program as scripts run it: all of it but the daemon.
func palisade() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	p := cli.Program{
		Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, LookupEnv: os.LookupEnv,
		Version: api.Version{Version: "0.0.0-test", GoVersion: "go"},
		Serve: func(_ context.Context, o cli.ServeOptions) error {
			_, err := io.WriteString(os.Stdout, strings.Join([]string{
				"data=" + filepath.Base(o.Config.Data), "listen=" + o.Config.Listen, "runtime=" + o.Config.Runtime,
				"database=" + o.Config.Database, "level=" + o.Config.Log.Level.String(),
			}, " ")+"\n")
			return err
		},
		VerifyBackup: daemon.VerifyBackup,
	}
	code := p.Run(ctx)
	stop()
	os.Exit(code)
}

// TestScripts runs testdata/*.txtar: the specification of the command line. In each, an appliance without engines
// answers on the socket in $DATA, and the same over TCP at $TCP.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:  "testdata",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exitcode": exitCode, "withkey": withKey, "simulate": simulate, "use": use, "traffic": traffic, "decide": decide, "figures": writeFigures, "await": await, "put": put},
		Setup: func(env *testscript.Env) error {
			// A socket's path must be short; a script's own directory may not be.
			data, err := os.MkdirTemp("", "pal")
			if err != nil {
				return err
			}
			env.Defer(func() { _ = os.RemoveAll(data) })
			ctx, cancel := context.WithCancel(context.Background())
			env.Defer(cancel)
			a, err := admintest.New(ctx, data, slog.New(slog.DiscardHandler))
			if err != nil {
				return err
			}
			for name, network := range map[string]string{filepath.Join(data, "palisade.sock"): "unix", "127.0.0.1:0": "tcp"} {
				l, err := net.Listen(network, name)
				if err != nil {
					return err
				}
				srv := &http.Server{
					Handler: a.Handler, ConnContext: admin.ConnContext, ReadHeaderTimeout: 0,
					BaseContext: func(net.Listener) context.Context { return ctx },
				}
				go func() { _ = srv.Serve(l) }()
				env.Defer(func() { _ = srv.Close() })
				if network == "tcp" {
					env.Setenv("TCP", "http://"+l.Addr().String())
					env.Setenv("TCPS", "https://"+l.Addr().String())
				}
			}
			env.Values[applianceKey{}] = a
			env.Setenv("DATA", data)
			env.Setenv("PALISADE_DATA", data)
			env.Setenv("HOME", env.WorkDir)
			return nil
		},
	})
}

// applianceKey is where a script's appliance is kept.
type applianceKey struct{}

// simulate gives the appliance a simulated box with 8 devices, and a queue.
func simulate(ts *testscript.TestScript, _ bool, _ []string) {
	a, ok := ts.Value(applianceKey{}).(*admintest.Appliance)
	if !ok {
		ts.Fatalf("there is no appliance")
	}
	a.Pool.Simulate()
}

// use is "use TOKEN": the token with that id uses services.
func use(ts *testscript.TestScript, neg bool, args []string) {
	a, ok := ts.Value(applianceKey{}).(*admintest.Appliance)
	if !ok || neg || len(args) != 1 {
		ts.Fatalf("usage: use TOKEN")
	}
	a.Use(strings.TrimSpace(ts.ReadFile(args[0])), time.Now())
}

// traffic has every service answer some requests.
func traffic(ts *testscript.TestScript, _ bool, _ []string) {
	a, ok := ts.Value(applianceKey{}).(*admintest.Appliance)
	if !ok {
		ts.Fatalf("there is no appliance")
	}
	a.Traffic(time.Now())
}

// writeFigures is "figures SESSION [FILE]": the session has written FILE; without one it has put a link out of its directory there.
func writeFigures(ts *testscript.TestScript, neg bool, args []string) {
	a, ok := ts.Value(applianceKey{}).(*admintest.Appliance)
	if !ok || neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: figures SESSION [FILE]")
	}
	v, err := a.Manager.Session(admin.DefaultProject, args[0])
	ts.Check(err)
	dir, err := a.Points.Make(v.ID)
	ts.Check(err)
	file := filepath.Join(dir, "metrics.jsonl")
	if len(args) == 1 {
		ts.Check(os.Remove(file))
		ts.Check(os.Symlink("/etc/passwd", file))
		return
	}
	ts.Check(os.WriteFile(file, []byte(ts.ReadFile(args[1])), 0o600))
}

// await is "await MODEL STEP": its install is at a step.
func await(ts *testscript.TestScript, neg bool, args []string) {
	a, ok := ts.Value(applianceKey{}).(*admintest.Appliance)
	if !ok || neg || len(args) != 2 {
		ts.Fatalf("usage: await MODEL STEP")
	}
	_, err := a.Await(context.Background(), admin.DefaultProject, args[0], args[1])
	ts.Check(err)
}

// put is "put PLACE NAME FILE": a place of models has that file from now on.
func put(ts *testscript.TestScript, neg bool, args []string) {
	a, ok := ts.Value(applianceKey{}).(*admintest.Appliance)
	if !ok || neg || len(args) != 3 {
		ts.Fatalf("usage: put PLACE NAME FILE")
	}
	a.Places.Put(args[0], args[1], ts.ReadFile(args[2]))
}

// decide is "decide SERVICE [CLAIMANT]": its autoscaling has decided; for another one that wants its place.
func decide(ts *testscript.TestScript, neg bool, args []string) {
	a, ok := ts.Value(applianceKey{}).(*admintest.Appliance)
	if !ok || neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: decide SERVICE [CLAIMANT]")
	}
	v, err := a.Manager.Service(admin.DefaultProject, args[0])
	if err != nil {
		ts.Fatalf("%v", err)
	}
	if len(args) > 1 {
		a.Scaling.Yield(v.ID, args[1], time.Now())
		return
	}
	a.Scaling.Decide(v.ID, time.Now())
}

// exitCode is "exitcode N PROGRAM ARGS...": the program must end with that code.
func exitCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exitcode N PROGRAM ARGS...")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// withKey is "withkey FILE PROGRAM ARGS...": the program runs with the API key in FILE.
func withKey(ts *testscript.TestScript, neg bool, args []string) {
	ts.Setenv("PALISADE_KEY", strings.TrimSpace(ts.ReadFile(args[0])))
	defer ts.Setenv("PALISADE_KEY", "")
	if err := ts.Exec(args[1], args[2:]...); (err != nil) != neg {
		ts.Fatalf("%v", err)
	}
}
