package relay

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

// Both ways to look up whose a socket is say the same, and that there is none.
func TestWhoseASocketIs(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	own, peer := addrOf(near.LocalAddr()), addrOf(near.RemoteAddr())
	nobody := netip.AddrPortFrom(netip.MustParseAddr("127.1.2.3"), own.Port())
	for name, look := range map[string]func(own, peer netip.AddrPort) (owner, error){"asked": ask, "looked": look} {
		if o, err := look(own, peer); err != nil || int(o.uid) != os.Geteuid() || o.inode == 0 {
			t.Errorf("%s: %+v, %v", name, o, err)
		}
		if o, err := look(nobody, peer); !errors.Is(err, errNoSocket) {
			t.Errorf("%s for nobody: %+v, %v", name, o, err)
		}
	}
	if err := mine(far); err != nil {
		t.Errorf("this program's own: %v", err)
	}
}

func TestFindInTheList(t *testing.T) {
	const list = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:B4D5 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 5626488 2 00000000dc260250 100 0 0 10 0
   1: 0100007F:D2F0 05004D7F:1F40 01 00000000:00000000 00:00000000 00000000  1000        0 77 1 0000000000000000 20 4 30 10 -1
   2: 0100007F:D2F1 05004D7F:1F40 01 00000000:00000000 00:00000000 00000000  many        0 78 1
   3: 0100007F:D2F2
   4: 0100007F:D2F3 05004D7F:1F40 06 00000000:00000000 00:00000000 00000000     0        0 0 3 0000000000000000
`
	to := netip.MustParseAddrPort("127.77.0.5:8000")
	for from, want := range map[string]owner{
		"127.0.0.1:54000": {1000, 77}, "127.0.0.1:54001": {}, "127.0.0.1:54002": {}, "127.0.0.1:54003": {0, 0}, "127.0.0.1:46293": {},
	} {
		got, err := find(strings.NewReader(list), netip.MustParseAddrPort(from), to)
		if there := from == "127.0.0.1:54000" || from == "127.0.0.1:54003"; got != want || there != (err == nil) {
			t.Errorf("%s: %+v, %v", from, got, err)
		}
	}
}

// FuzzAnswered: whatever a kernel says.
func FuzzAnswered(f *testing.F) {
	f.Add([]byte{})
	f.Add(request(netip.MustParseAddrPort("127.0.0.1:1"), netip.MustParseAddrPort("127.0.0.1:2")))
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = answered(b) })
}

// Who connects again and again, and is refused, does not fill the log.
func TestWarningsAreFew(t *testing.T) {
	r, now := New(nil, slog.New(slog.DiscardHandler)), time.Unix(1000, 0)
	defer r.Close()
	one, two := Target{"a", "s", 1}, Target{"a", "s", 2}
	for i, c := range []struct {
		of   Target
		at   time.Duration
		want bool
	}{{one, 0, true}, {one, time.Second, false}, {two, time.Second, true}, {one, warnEvery, true}, {one, warnEvery + time.Second, false}} {
		if got := r.mayWarn(c.of, now.Add(c.at)); got != c.want {
			t.Errorf("%d: warned %v", i, got)
		}
	}
}
