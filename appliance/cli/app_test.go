package cli_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/admin"
	"github.com/palisade-run/palisade/appliance/admin/admintest"
	"github.com/palisade-run/palisade/appliance/cli"
)

// TestAppsAreBroughtHere: one port of this box for all connections, until Ctrl-C.
func TestAppsAreBroughtHere(t *testing.T) {
	data, err := os.MkdirTemp("", "pal")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(data) })
	a, err := admintest.New(t.Context(), data, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(data, "palisade.sock"))
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: a.Handler, ConnContext: admin.ConnContext, ReadHeaderTimeout: time.Minute}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	run := func(ctx context.Context, out io.Writer, args ...string) int {
		return cli.Program{
			Args: append([]string{"--data", data}, args...), Stdin: strings.NewReader(""), Stdout: out, Stderr: io.Discard,
			LookupEnv: func(string) (string, bool) { return "", false },
		}.Run(ctx)
	}
	if code := run(t.Context(), io.Discard, "session", "create", "host", "--name", "work", "--preopen", "8000"); code != 0 {
		t.Fatal(code)
	}
	for _, args := range [][]string{{"app", "work", "8000", "-b", "127.0.0.1:0"}, {"app", "work", "--port", "8000", "-b", "0"}} {
		ctx, interrupt := context.WithCancel(t.Context())
		out, ended := newLines(), make(chan int, 1)
		go func() { ended <- run(ctx, out, args...) }()
		var address string
		select {
		case said := <-out.said:
			address = strings.TrimSpace(said)
		case code := <-ended:
			t.Fatalf("%v ended with %d", args, code)
		}
		for _, path := range []string{"one", "two"} {
			resp, err := http.Get(address + path)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || string(text) != "GET /"+path+"\n" {
				t.Errorf("%v: %q, %v", args, text, err)
			}
		}
		interrupt()
		select {
		case code := <-ended:
			if code != 0 {
				t.Errorf("%v ended with %d", args, code)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("it does not end")
		}
		if c, err := net.DialTimeout("tcp", strings.TrimSuffix(strings.TrimPrefix(address, "http://"), "/"), time.Second); err == nil {
			c.Close()
			t.Error("its port is still open")
		}
	}
}

// lines hands on what is written.
type lines struct{ said chan string }

func newLines() *lines { return &lines{make(chan string, 16)} }

func (l *lines) Write(p []byte) (int, error) {
	l.said <- string(p)
	return len(p), nil
}
