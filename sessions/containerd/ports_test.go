package containerd_test

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/palisade-run/palisade/sessions"
)

// TestPortsOfTheBox: a container without a network of its own is not started where another one, or another program, has its port: who
// asks whether it is healthy would be answered by that.
func TestPortsOfTheBox(t *testing.T) {
	b := newBox(t, newest(t))
	port := 20001 // none that the kernel gives out by itself
	other, err := net.Listen("tcp", "127.0.0.1:"+itoa(port))
	for ; err != nil && port < 30000; other, err = net.Listen("tcp", "127.0.0.1:"+itoa(port)) {
		port++
	}
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	onHost := func(id string) sessions.Spec {
		s := spec(id, "sleep", "1000")
		s.Processes[0].Port = port
		s.Cluster = &sessions.SpecCluster{ID: id, Names: [][]string{{"main1"}}, Net: &sessions.ClusterNet{
			Kind: sessions.NetHost, Boxes: []sessions.ClusterBox{{Name: "a", Address: netip.MustParseAddr("127.0.0.1")}}, At: []int{0},
		}}
		return s
	}
	refused := func(id, why string) {
		t.Helper()
		_, err := b.Start(bounded(t), onHost(id))
		if err == nil || !strings.Contains(err.Error(), "port "+itoa(port)+" of this box") || !strings.Contains(err.Error(), why) || !strings.Contains(hintOf(err), "cluster.session_network") {
			t.Errorf("%v; hint %q", err, hintOf(err))
		}
	}
	refused("first", "another program listens there")
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	b.start(onHost("first"))
	refused("second", "is session first's") // though nothing listens yet: an engine that loads does not
	if err := b.Stop(bounded(t), "first", 0); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Wait(bounded(t), "first"); err != nil {
		t.Fatal(err)
	}
	b.start(onHost("second"))
}
