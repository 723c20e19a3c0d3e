package network_test

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"github.com/palisade-run/palisade/sessions/network"
)

// masquerade has a box forward what its sessions send, in its own name, as boxes do whose sessions see the world.
func (b boxWith) masquerade(t *testing.T) {
	t.Helper()
	err := network.Enter(b.at.Path, func() error {
		if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o600); err != nil {
			return err
		}
		c, err := nftables.New()
		if err != nil {
			return err
		}
		table := c.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "world"})
		chain := c.AddChain(&nftables.Chain{Name: "out", Table: table, Type: nftables.ChainTypeNAT, Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource})
		c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{&expr.Masq{}}})
		return c.Flush()
	})
	if err != nil {
		t.Fatal(err)
	}
}

// forged is what a box would send by a tunnel for a packet from one session of a group to another.
func forged(vni uint32, to net.HardwareAddr, source, target netip.Addr, port uint16, text string) []byte {
	b := []byte{0x08, 0, 0, 0}
	b = binary.BigEndian.AppendUint32(b, vni<<8)
	b = append(b, to...)
	b = append(b, 2, 0, 0, 0, 0, 9, 0x08, 0) // from anybody, IPv4
	ip := []byte{0x45, 0}
	ip = binary.BigEndian.AppendUint16(ip, uint16(28+len(text)))
	ip = append(ip, 0, 0, 0, 0, 64, 17, 0, 0)
	ip = append(append(ip, source.AsSlice()...), target.AsSlice()...)
	var sum uint32
	for i := 0; i < len(ip); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(ip[10:], ^uint16(sum))
	b = append(b, ip...)
	for _, v := range []uint16{port, port, uint16(8 + len(text)), 0} {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	return append(b, text...)
}

// TestTunnelsAreNotForged: a session whose box sends in its own name what sessions send to the world gets nothing into the tunnels of a
// group that it is not of.
func TestTunnelsAreNotForged(t *testing.T) {
	boxes := newBoxes(t, 2, true)
	o := network.Overlay{VNI: 0x4242, Port: 4789, Range: netip.MustParsePrefix("10.221.7.0/24"), At: []int{0, 1}, Boxes: []netip.Addr{boxes[0].at.Addr, boxes[1].at.Addr}}
	var far []network.Attachment
	for rank, id := range []string{"far-0", "far-1"} {
		own := o
		own.Box = rank
		far = append(far, boxes[rank].join(t, id, network.Group{ID: "far", Size: 2, Rank: rank, Overlay: &own}))
	}
	boxes[0].masquerade(t)
	var stranger network.Attachment
	if err := network.Enter(boxes[0].at.Path, func() (err error) { stranger, err = boxes[0].Create("stranger"); return err }); err != nil {
		t.Fatal(err)
	}
	const port = 7777
	var heard net.PacketConn
	var mac net.HardwareAddr
	if err := network.Enter(far[1].Path, func() error {
		link, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		mac = link.HardwareAddr
		heard, err = net.ListenPacket("udp4", ":7777")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer heard.Close()
	send := func(from network.Attachment, to netip.AddrPort, packet []byte) {
		t.Helper()
		if err := network.Enter(from.Path, func() error {
			c, err := net.Dial("udp4", to.String())
			if err != nil {
				return err
			}
			defer c.Close()
			_, err = c.Write(packet)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	// The world is there: the stranger is heard by the other box, as its own box.
	var world net.PacketConn
	if err := network.Enter(boxes[1].at.Path, func() (err error) { world, err = net.ListenPacket("udp4", ":9999"); return err }); err != nil {
		t.Fatal(err)
	}
	defer world.Close()
	got := make([]byte, 100)
	send(stranger, netip.AddrPortFrom(boxes[1].at.Addr, 9999), []byte("hello"))
	if _, from, err := world.ReadFrom(got); err != nil || netip.MustParseAddrPort(from.String()).Addr() != boxes[0].at.Addr {
		t.Fatalf("the stranger comes as %v: %v", from, err)
	}
	send(stranger, netip.AddrPortFrom(boxes[1].at.Addr, uint16(o.Port)), forged(o.VNI, mac, far[0].Addr, far[1].Addr, port, "forged"))
	send(far[0], netip.AddrPortFrom(far[1].Addr, port), []byte("good"))
	n, _, err := heard.ReadFrom(got)
	if err != nil || string(got[:n]) != "good" {
		t.Errorf("the first word of the group is %q: %v", got[:n], err)
	}
}
