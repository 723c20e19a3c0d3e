package network_test

import (
	"net/netip"
	"testing"

	"github.com/palisade-run/palisade/sessions/network"
)

// BenchmarkCreate is a network from nothing to its first answer, and its removal.
func BenchmarkCreate(b *testing.B) {
	n, err := network.Open(network.Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer n.Destroy()
	for b.Loop() {
		a, err := n.Create("s")
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		// Nothing listens: that it says so, and does not time out, is the answer.
		if _, err := read(netip.AddrPortFrom(a.Addr, 8000).String()); err == nil || !isRefused(err) {
			b.Fatal(err)
		}
		b.StartTimer()
		if err := n.Remove("s"); err != nil {
			b.Fatal(err)
		}
	}
}
