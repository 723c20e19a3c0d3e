package network

import (
	"fmt"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

func guardTable(bridge string) *nftables.Table {
	return &nftables.Table{Family: nftables.TableFamilyINet, Name: "palisade-" + bridge}
}

// Guard lets packets that come in by bridge, from sessions, to the box only where they belong to a connection
// that the box began, and from one session to another not at all. The bridge need not be there yet. To guard
// again replaces the rules.
//
//  1. TCP, unless it has SYN without ACK: through;
//  2. all else to the box: dropped;
//  3. what the box would forward by the bridge it came from: dropped. The ports are isolated from each other,
//     but on a box that forwards, who can make a packet by hand could send it by way of the box.
//
// It keeps no state. Asking for the connection's state instead would have the kernel track every
// connection of the box, the router's too. A fragment without its TCP header falls to rule 2.
func Guard(bridge string) error { return guard(bridge, guarding{}) }

// guarding is what rules of a bridge there are beyond those for the box itself.
type guarding struct {
	peers  bool     // those on the bridge reach each other
	closed bool     // they reach nobody else: nothing is forwarded
	others []string // beginnings of the names of bridges where other sessions are: what the box would forward to them is dropped
}

func guard(bridge string, g guarding) error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("nf_tables: %w", err)
	}
	table := guardTable(bridge)
	c.AddTable(table) // so that there is one to delete
	c.DelTable(table)
	c.AddTable(table)
	chain := c.AddChain(&nftables.Chain{
		Name: "input", Table: table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookInput, Priority: nftables.ChainPriorityRef(-10), Policy: new(nftables.ChainPolicyAccept),
	})
	name := make([]byte, unix.IFNAMSIZ)
	copy(name, bridge)
	fromBridge := []expr.Any{
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: name},
	}
	const synAck, syn = 0x12, 0x02
	answers := slices.Concat(fromBridge, []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_TCP}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 13, Len: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{synAck}, Xor: []byte{0}},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: []byte{syn}},
		&expr.Verdict{Kind: expr.VerdictAccept},
	})
	c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: answers})
	c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: slices.Concat(fromBridge, []expr.Any{
		&expr.Counter{}, &expr.Verdict{Kind: expr.VerdictDrop},
	})})
	forward := c.AddChain(&nftables.Chain{
		Name: "forward", Table: table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityRef(-10), Policy: new(nftables.ChainPolicyAccept),
	})
	drop := []expr.Any{&expr.Counter{}, &expr.Verdict{Kind: expr.VerdictDrop}}
	within := drop
	if g.peers { // not forwarded by the box, but shown to these rules where it has bridged packets pass them
		within = []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}}
	}
	c.AddRule(&nftables.Rule{Table: table, Chain: forward, Exprs: slices.Concat(fromBridge, goingOut(name), within)})
	for _, other := range g.others {
		c.AddRule(&nftables.Rule{Table: table, Chain: forward, Exprs: slices.Concat(fromBridge, goingOut([]byte(other)), drop)})
	}
	if g.closed {
		c.AddRule(&nftables.Rule{Table: table, Chain: forward, Exprs: slices.Concat(fromBridge, drop)})
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("nf_tables: %w", err)
	}
	return nil
}

// goingOut is of packets that leave by a link whose name, with the zeros behind it, begins so.
func goingOut(name []byte) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: name},
	}
}

// Unguard takes the rules away; that there are none is no error.
func Unguard(bridge string) {
	if c, err := nftables.New(); err == nil {
		c.DelTable(guardTable(bridge))
		_ = c.Flush()
	}
}
