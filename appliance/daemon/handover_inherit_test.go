package daemon

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/config"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestInherited(t *testing.T) {
	const pid, parent = 100, 50
	for _, tt := range []struct {
		name   string
		env    map[string]string
		want   []string
		daemon bool
		wrong  bool
	}{
		{name: "nothing"},
		{name: "systemd's", env: map[string]string{listenPID: "100", listenFDs: "2", listenNames: "palisade.socket:local"}, want: []string{"palisade.socket", "local"}},
		{name: "without names", env: map[string]string{listenPID: "100", listenFDs: "2"}, want: []string{"", ""}},
		{name: "with more names than there are", env: map[string]string{listenPID: "100", listenFDs: "1", listenNames: "a:b:c"}, want: []string{"a"}},
		{name: "somebody else's", env: map[string]string{listenPID: "99", listenFDs: "1"}},
		{name: "for nobody", env: map[string]string{listenFDs: "1"}},
		{name: "a daemon's", env: map[string]string{fromVar: "50", listenFDs: "2", listenNames: "palisade-control:palisade-lock"}, want: []string{controlName, lockName}, daemon: true},
		{name: "of a daemon before the parent", env: map[string]string{fromVar: "49", listenFDs: "2", listenNames: "palisade-control:palisade-lock"}},
		{name: "no number", env: map[string]string{listenPID: "100", listenFDs: "x"}, wrong: true},
		{name: "fewer than none", env: map[string]string{listenPID: "100", listenFDs: "-1"}, wrong: true},
		{name: "too many", env: map[string]string{listenPID: "100", listenFDs: "100000000"}, wrong: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, daemon, err := inherited(func(name string) string { return tt.env[name] }, pid, parent)
			if (err != nil) != tt.wrong {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, got); d != "" && !tt.wrong || daemon != tt.daemon {
				t.Errorf("from a daemon: %v, names (-want +got):\n%s", daemon, d)
			}
		})
	}
}

// What is handed over stays as it is for those who have it: a socket that blocks could not be closed any more.
func TestDoorsAreHandedOver(t *testing.T) {
	dir := t.TempDir()
	tcp, err := listenTCP(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	local, err := listenSocket(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	h := &house{doors: []*doorway{{Listener: tcp, open: true}, {Listener: local, open: true}}}
	files, err := h.files()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK == 0 {
			t.Errorf("%s: flags %x, %v: it blocks", f.Name(), flags, err)
		}
	}
	ports, sockets, err := (&inheritance{listeners: files}).open()
	if err != nil || len(ports) != 1 || len(sockets) != 1 {
		t.Fatal(ports, sockets, err)
	}
	if ports[0].Addr().String() != tcp.Addr().String() {
		t.Errorf("the port is %s, was %s", ports[0].Addr(), tcp.Addr())
	}
	// Whoever comes when the first one has closed is the second one's.
	h.shut()
	for _, l := range []net.Listener{ports[0], sockets[0]} {
		network, at := l.Addr().Network(), l.Addr().String()
		if network == "unix" {
			at = filepath.Join(dir, SocketName)
		}
		conn, err := net.Dial(network, at)
		if err != nil {
			t.Error(err)
			continue
		}
		_ = conn.Close()
		if there, err := l.Accept(); err != nil {
			t.Error(err)
		} else {
			_ = there.Close()
		}
		_ = l.Close()
	}
}

// Who leans a door keeps those who come waiting, and lets them in later.
func TestLean(t *testing.T) {
	dir := t.TempDir()
	local, err := listenSocket(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan error, 1)
	go func() { _, err := local.Accept(); accepted <- err }()
	h := &house{doors: []*doorway{{Listener: local, open: true}}}
	if err := h.lean(); err != nil {
		t.Fatal(err)
	}
	if err := <-accepted; !errors.Is(err, net.ErrClosed) {
		t.Errorf("whoever accepted got %v", err)
	}
	conn, err := net.Dial("unix", filepath.Join(dir, SocketName))
	if err != nil {
		t.Fatal("who comes meanwhile is refused: ", err)
	}
	defer conn.Close()
	later, err := h.doors[0].Accept()
	if err != nil {
		t.Fatal(err)
	}
	_ = later.Close()
	h.shut()
}

func TestInheritLock(t *testing.T) {
	dir := t.TempDir()
	first, err := lockData(t.Context(), config.Config{Data: dir})
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Dup(int(first.file.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	second, err := inheritLock(dir, os.NewFile(uintptr(fd), lockName))
	if err != nil {
		t.Fatal(err)
	}
	first.release()
	if _, err := lockData(t.Context(), config.Config{Data: dir}); !errors.Is(err, ErrLocked) {
		t.Errorf("between the two somebody else gets the lock: %v", err)
	}
	if _, err := inheritLock(t.TempDir(), second.file); err == nil {
		t.Error("the lock of another directory was taken for this one's")
	}
	second.release()
	third, err := lockData(t.Context(), config.Config{Data: dir})
	if err != nil {
		t.Fatal(err)
	}
	third.release()
}

// A daemon that is about to end is waited for; one that is not is not.
func TestWaitLock(t *testing.T) {
	dir := t.TempDir()
	first, err := lockData(t.Context(), config.Config{Data: dir})
	if err != nil {
		t.Fatal(err)
	}
	ending := func() bool {
		_, err := lockData(t.Context(), config.Config{Data: dir})
		held, ok := errors.AsType[lockedError](err)
		return ok && held.ending()
	}
	if ending() {
		t.Error("it is said to end")
	}
	if err := first.sign(stopping); err != nil {
		t.Fatal(err)
	}
	if !ending() {
		t.Error("it is not said to end")
	}
	if _, err := waitLock(t.Context(), config.Config{Data: dir}, 20*time.Millisecond); !errors.Is(err, ErrLocked) {
		t.Errorf("waiting for one that does not end: %v", err)
	}
	time.AfterFunc(20*time.Millisecond, first.release)
	second, err := waitLock(t.Context(), config.Config{Data: dir}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	second.release()
}

func TestTheServiceManagerIsTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	m := serviceManager{socket: path}
	m.tell(append(reloading(), mainPID(7))...)
	text := make([]byte, 1000)
	n, err := conn.Read(text)
	if got := string(text[:n]); err != nil || !strings.HasPrefix(got, "RELOADING=1\nMONOTONIC_USEC=") || !strings.HasSuffix(got, "\nMAINPID=7") {
		t.Errorf("it was told %q, %v", got, err)
	}
	serviceManager{}.tell("READY=1") // to nobody
}
