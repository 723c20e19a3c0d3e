package admin_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/palisade-run/palisade/appliance/admin"
	"github.com/palisade-run/palisade/appliance/api"
)

// online is a box that listens, a client of it, and a session that runs there.
type online struct {
	*box
	client  *api.Client
	url     string
	session string
}

func newOnline(t *testing.T, image string) *online {
	t.Helper()
	o := &online{box: newBox(t)}
	srv := httptest.NewUnstartedServer(o.Handler)
	srv.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context { return admin.LocalPeer(ctx, "me") }
	srv.Start()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		o.Lines.End(ctx, errors.New("the test is over"))
		o.Terminals.End(ctx, errors.New("the test is over"))
		srv.Close()
	})
	o.url = srv.URL
	var err error
	if o.client, err = api.NewClient(api.Options{Host: srv.URL}); err != nil {
		t.Fatal(err)
	}
	if _, err := o.client.CreateService(t.Context(), api.ServiceCreate{Name: "demo", Image: image, RuntimeVariant: "vllm", Replicas: new(1)}); err != nil {
		t.Fatal(err)
	}
	if err := o.client.WatchService(t.Context(), "demo", func(v api.Service) error {
		if v.Status == "HEALTHY" {
			return api.ErrStopWatch
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	all, err := o.client.Sessions(t.Context(), api.SessionFilter{})
	if err != nil || len(all) != 1 {
		t.Fatalf("%v, %v", all, err)
	}
	o.session = all[0].ID
	return o
}

func (o *online) exec(e api.ExecOptions) *api.ClientLine {
	o.t.Helper()
	line, err := o.client.Exec(o.t.Context(), o.session, e)
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(line.Close)
	return line
}

// bounded is a context for one wait.
func (o *online) bounded() context.Context {
	ctx, cancel := context.WithTimeoutCause(o.t.Context(), 20*time.Second, errors.New("it takes too long"))
	o.t.Cleanup(cancel)
	return ctx
}

// running wants n commands to run.
func (o *online) running(n int) {
	o.t.Helper()
	if err := o.Manager.Commands(o.bounded(), n); err != nil {
		o.t.Fatal(err)
	}
}

func (o *online) ends(line *api.ClientLine, code int) {
	o.t.Helper()
	if exit, err := line.Exit(o.bounded()); err != nil || exit.Code != code {
		o.t.Errorf("it ended with %+v, %v; want %d", exit, err, code)
	}
}

// fails wants the line to end with a problem in those words.
func (o *online) fails(line *api.ClientLine, words string) {
	o.t.Helper()
	_, err := line.Exit(o.bounded())
	if p, ok := errors.AsType[*api.Problem](err); !ok || !strings.Contains(p.Detail, words) {
		o.t.Errorf("it ended with %v, want a problem that says %q", err, words)
	}
}

// shows reads until words were shown.
func (o *online) shows(from io.Reader, words string) string {
	o.t.Helper()
	var seen bytes.Buffer
	late := time.AfterFunc(20*time.Second, func() { panic("not shown: " + words + " in " + seen.String()) })
	defer late.Stop()
	for p := make([]byte, 4096); !strings.Contains(seen.String(), words); {
		n, err := from.Read(p)
		seen.Write(p[:n])
		if err != nil {
			o.t.Fatalf("%q was not shown but %q (%v)", words, seen.String(), err)
		}
	}
	return seen.String()
}

func TestExecStreams(t *testing.T) {
	o := newOnline(t, "host")
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MiB: four windows each way
	line := o.exec(api.ExecOptions{Command: []string{"cat"}, Stdin: true})
	go func() {
		_, _ = line.Stdin(t.Context()).Write(big)
		_ = line.EndStdin()
	}()
	got, err := io.ReadAll(line.Stdout())
	if err != nil || !bytes.Equal(got, big) {
		t.Errorf("%d bytes came back, %v", len(got), err)
	}
	o.ends(line, 0)

	line = o.exec(api.ExecOptions{Command: []string{"err", "oops"}})
	if got, err := io.ReadAll(line.Stderr()); err != nil || string(got) != "oops\n" {
		t.Errorf("%q, %v", got, err)
	}
	o.ends(line, 0)
	o.ends(o.exec(api.ExecOptions{Command: []string{"exit", "9"}}), 9)

	line = o.exec(api.ExecOptions{Command: []string{"size"}, Size: &api.Window{Rows: 31, Columns: 117}, Term: "vt220"})
	o.shows(line.Stdout(), "31 117 vt220")
	if err := line.Resize(api.Window{Rows: 50, Columns: 132}); err != nil {
		t.Fatal(err)
	}
	o.shows(line.Stdout(), "50 132")
	o.ends(line, 0)
	o.running(0)
}

// TestExecFlood: a client that reads nothing holds the command up, and Ctrl-C still gets through.
func TestExecFlood(t *testing.T) {
	o := newOnline(t, "host")
	line := o.exec(api.ExecOptions{Command: []string{"flood"}, Stdin: true, Size: &api.Window{}})
	if _, err := io.CopyN(io.Discard, line.Stdout(), 2*api.ExecWindow); err != nil {
		t.Fatal(err)
	}
	if _, err := line.Stdin(t.Context()).Write([]byte{3}); err != nil {
		t.Fatal(err)
	}
	o.running(0) // before any more of it was taken, so what was under way fits in the window
	if shown, err := io.Copy(io.Discard, line.Stdout()); err != nil || shown > api.ExecWindow {
		t.Errorf("%d more bytes were shown, %v", shown, err)
	}
	o.ends(line, 130)
}

func TestExecClientGone(t *testing.T) {
	o := newOnline(t, "host")
	for name, e := range map[string]api.ExecOptions{
		"its input ends":                {Command: []string{"wait"}, Stdin: true},
		"its terminal is hung up":       {Command: []string{"stay"}, Stdin: true, Size: &api.Window{}},
		"nothing of its flood is taken": {Command: []string{"flood"}, Stdin: true, Size: &api.Window{}},
	} {
		t.Run(name, func(t *testing.T) {
			line := o.exec(e)
			o.running(1)
			line.Close()
			o.running(0)
		})
	}
}

func TestExecApplianceStops(t *testing.T) {
	o := newOnline(t, "host")
	line := o.exec(api.ExecOptions{Command: []string{"stay"}})
	term, err := o.client.Terminal(t.Context(), o.session, "main", api.Window{}, "")
	if err != nil {
		t.Fatal(err)
	}
	o.running(2)
	o.Lines.End(o.bounded(), errors.New("the appliance was stopped"))
	o.fails(line, "the appliance was stopped")
	o.fails(term, "the terminal goes on in its session")
	o.running(0)
	o.Terminals.End(o.bounded(), errors.New("the appliance was stopped"))
	if _, err := o.client.Exec(t.Context(), o.session, api.ExecOptions{Command: []string{"echo"}}); !errors.Is(err, api.KindError(api.KindUnavailable)) {
		t.Errorf("afterwards: %v", err)
	}
}

func TestExecRefusals(t *testing.T) {
	o := newOnline(t, "host")
	for name, tt := range map[string]struct {
		path, origin, words string
		plain               bool
		status              int
	}{
		"another origin":     {path: "/exec?command=ls", origin: "https://evil.example", status: 403, words: "another origin"},
		"no websocket":       {path: "/exec?command=ls", plain: true, status: 426, words: "palisade.exec.v1"},
		"a page's terminal":  {path: "/terminal?name=x", origin: "https://evil.example", status: 403, words: "another origin"},
		"a plain terminal":   {path: "/terminal?name=y", plain: true, status: 426, words: "palisade.exec.v1"},
		"no command":         {path: "/exec", status: 400, words: "?command"},
		"a bad variable":     {path: "/exec?command=ls&env=x", status: 400, words: "?env"},
		"a bad size":         {path: "/exec?command=ls&rows=-1", status: 400, words: "?rows"},
		"a name of a path":   {path: "/terminal?name=..%2Fx", status: 400, words: "no name of a terminal"},
		"a misspelt word":    {path: "/exec?comand=ls", status: 400, words: "did you mean"},
		"something repeated": {path: "/exec?command=ls&cwd=/&cwd=/x", status: 400, words: "given 2 times"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, o.url+api.Prefix+"/sessions/"+o.session+tt.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if !tt.plain {
				for k, v := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="} {
					r.Header.Set(k, v)
				}
			}
			if tt.origin != "" {
				r.Header.Set("Origin", tt.origin)
			}
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != tt.status || !strings.Contains(string(body), tt.words) {
				t.Errorf("%d %s", resp.StatusCode, body)
			}
			o.running(0) // nothing was begun for it
		})
	}
}

// TestExecStrict: who does not keep to the protocol is told so, and the command ends.
func TestExecStrict(t *testing.T) {
	o := newOnline(t, "host")
	for name, message := range map[string][]byte{
		"empty":                   {},
		"a channel that is none":  {9},
		"what is ours to say":     {1, 'x'},
		"taken what was not sent": append([]byte{6}, `{"channel":1,"bytes":1}`...),
		"a size that is none":     {3, '{'},
		"too long":                make([]byte, api.ExecChunk+2),
	} {
		t.Run(name, func(t *testing.T) {
			ws, _, err := websocket.Dial(t.Context(), o.url+api.Prefix+"/sessions/"+o.session+"/exec?command=wait&stdin=true", &websocket.DialOptions{Subprotocols: []string{api.ExecProtocol}})
			if err != nil {
				t.Fatal(err)
			}
			defer ws.CloseNow()
			o.running(1)
			if err := ws.Write(t.Context(), websocket.MessageBinary, message); err != nil {
				t.Fatal(err)
			}
			for err == nil {
				_, _, err = ws.Read(o.bounded())
			}
			if code := websocket.CloseStatus(err); code != websocket.StatusProtocolError && code != websocket.StatusMessageTooBig {
				t.Errorf("%v", err)
			}
			o.running(0)
		})
	}
}

func TestTerminalComesBack(t *testing.T) {
	o := newOnline(t, "host")
	attach := func(name string) *api.ClientLine {
		t.Helper()
		line, err := o.client.Terminal(t.Context(), o.session, name, api.Window{Rows: 24, Columns: 80}, "xterm")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(line.Close)
		return line
	}
	typed := func(line *api.ClientLine, text string) {
		t.Helper()
		if _, err := io.WriteString(line.Stdin(t.Context()), text); err != nil {
			t.Fatal(err)
		}
	}
	first := attach("main")
	o.shows(first.Stdout(), "$ ")
	typed(first, "hello")
	o.shows(first.Stdout(), "hello")
	first.Close()
	second := attach("main")
	if shown := o.shows(second.Stdout(), "hello"); shown != "$ hello" {
		t.Errorf("%q", shown)
	}
	third := attach("main") // two watch one
	o.shows(third.Stdout(), "hello")
	typed(third, " you\r")
	o.shows(second.Stdout(), " you\r\n$ ")
	other := attach("other")
	o.shows(other.Stdout(), "$ ")
	o.running(3) // they show it; what is held needs nobody
	typed(second, "exit 5\r")
	o.shows(third.Stdout(), "exit 5")
	o.ends(second, 5)
	o.ends(third, 5)
	again := attach("main") // a new one
	if shown := o.shows(again.Stdout(), "$ "); shown != "$ " {
		t.Errorf("%q", shown)
	}
}

// TestTheSessionEndsUnderATerminal: why it is over is said, and not what became of the connection.
func TestTheSessionEndsUnderATerminal(t *testing.T) {
	o := newOnline(t, "host")
	term, err := o.client.Terminal(t.Context(), o.session, "main", api.Window{}, "")
	if err != nil {
		t.Fatal(err)
	}
	defer term.Close()
	o.running(1)
	if err := o.client.TerminateSession(t.Context(), o.session, false); err != nil {
		t.Fatal(err)
	}
	o.Terminals.End(o.bounded(), errors.New("it was cut off"))
	o.fails(term, "does not run")
}

func TestTerminalWithoutAShell(t *testing.T) {
	o := newOnline(t, "shell-less")
	line, err := o.client.Terminal(t.Context(), o.session, "main", api.Window{}, "")
	if err != nil {
		t.Fatal(err)
	}
	defer line.Close()
	o.fails(line, "no shell can be started in the session")
}
