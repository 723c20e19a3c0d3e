package daemon

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPortTaken(t *testing.T) {
	first, err := listenTCP(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	_, err = listenTCP(t.Context(), first.Addr().String())
	if err == nil || !strings.Contains(err.Error(), "taken") || !strings.Contains(adviceOf(err), "--listen") {
		t.Errorf("got %v, hint %q", err, adviceOf(err))
	}
}

func TestListenOnWhatIsNoAddress(t *testing.T) {
	for _, addr := range []string{"127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000", "192.0.2.1:0"} {
		l, err := listenTCP(t.Context(), addr)
		if err == nil {
			_ = l.Close()
			t.Errorf("%s was taken for an address of this box", addr)
		} else if adviceOf(err) == "" {
			t.Errorf("%s: %v has no hint", addr, err)
		}
	}
}

func TestSocket(t *testing.T) {
	deep := filepath.Join(t.TempDir(), strings.Repeat("deep-", 40), "data")
	shallow := t.TempDir()
	for name, dir := range map[string]string{"deep": deep, "open to others": shallow} {
		t.Run(name, func(t *testing.T) {
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(dir, 0o777); err != nil {
				t.Fatal(err)
			}
			// A daemon that was killed left a socket, and one half made.
			if err := os.WriteFile(filepath.Join(dir, SocketName), nil, 0o666); err != nil {
				t.Fatal(err)
			}
			if err := os.MkdirAll(filepath.Join(dir, SocketName+".new", "x"), 0o777); err != nil {
				t.Fatal(err)
			}
			for range 2 { // the second daemon finds the first one's
				l, err := listenSocket(t.Context(), dir)
				if err != nil {
					t.Fatal(err)
				}
				wantSocket(t, l, dir)
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func wantSocket(t *testing.T, l net.Listener, dir string) {
	t.Helper()
	st, err := os.Lstat(filepath.Join(dir, SocketName))
	if err != nil {
		t.Fatal(err)
	}
	if st.Mode() != os.ModeSocket|0o600 {
		t.Errorf("the socket is %s: others may not use it", st.Mode())
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("beside the socket there is %v, %v", entries, err)
	}
	served := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			_, err = io.WriteString(conn, "here")
			_ = conn.Close()
		}
		served <- err
	}()
	d, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	conn, err := net.Dial("unix", fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), SocketName))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got, err := io.ReadAll(conn); err != nil || string(got) != "here" {
		t.Errorf("it said %q, %v", got, err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestReachable(t *testing.T) {
	for addr, want := range map[string]string{
		"0.0.0.0:8080": "127.0.0.1:8080", "[::]:8080": "127.0.0.1:8080", "10.1.2.3:80": "10.1.2.3:80", "[fd00::1]:80": "[fd00::1]:80",
	} {
		tcp, err := net.ResolveTCPAddr("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if got := reachable(tcp); got != want {
			t.Errorf("%s is reached at %s, want %s", addr, got, want)
		}
	}
}
