package network

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// ErrFull is returned when every address of the range is in use.
var ErrFull = errors.New("no address is left")

// gateway is the bridge's own address: the first of the range.
func gateway(cidr netip.Prefix) netip.Addr { return cidr.Masked().Addr().Next() }

// nextAddr returns the first free address after last, going round, so that one that was just given
// back is the last to be given out again. Not given out: the network's, the bridge's, the broadcast.
func nextAddr(cidr netip.Prefix, last netip.Addr, used map[netip.Addr]string) (netip.Addr, error) {
	first := gateway(cidr).Next()
	addr := first
	if last.IsValid() && cidr.Contains(last) && last.Compare(first) >= 0 {
		addr = last.Next()
	}
	for range 1 << (32 - cidr.Bits()) {
		if !cidr.Contains(addr) || addr == broadcast(cidr) {
			addr = first
			continue
		}
		if used[addr] == "" {
			return addr, nil
		}
		addr = addr.Next()
	}
	return netip.Addr{}, fmt.Errorf("%w in %s: %d in use", ErrFull, cidr, len(used))
}

func broadcast(cidr netip.Prefix) netip.Addr {
	b := cidr.Masked().Addr().As4()
	binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(b[:])|uint32(1<<(32-cidr.Bits())-1))
	return netip.AddrFrom4(b)
}

// pick returns the first range of bits length in pool that overlaps none of taken, beginning at a place
// that seed chooses, so that two appliances on a box seldom try the same one.
func pick(pool netip.Prefix, bits int, seed uint32, taken []netip.Prefix) (netip.Prefix, error) {
	if bits < pool.Bits() {
		bits = pool.Bits()
	}
	base := binary.BigEndian.Uint32(addr4(pool.Masked().Addr()))
	n := uint32(1) << (bits - pool.Bits())
	for i := range n {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], base+((seed%n+i)%n)<<(32-bits))
		cidr := netip.PrefixFrom(netip.AddrFrom4(b), bits)
		if overlapped(cidr, taken) == (netip.Prefix{}) {
			return cidr, nil
		}
	}
	return netip.Prefix{}, fmt.Errorf("every range of %d bits in %s overlaps one that this box has a route to", bits, pool)
}

func addr4(a netip.Addr) []byte { b := a.As4(); return b[:] }

// overlapped returns the first of taken that cidr overlaps.
func overlapped(cidr netip.Prefix, taken []netip.Prefix) netip.Prefix {
	for _, t := range taken {
		if t.Bits() > 0 && t.Overlaps(cidr) {
			return t
		}
	}
	return netip.Prefix{}
}

// hash names things that must be short, and differ.
func hash(s string, n int) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])[:n]
}

func seed(s string) uint32 {
	sum := sha256.Sum256([]byte(s))
	return binary.BigEndian.Uint32(sum[:])
}

// mac derives a session's hardware address from its IP address: when the address goes to another
// session, what neighbours remember of it stays right.
func mac(a netip.Addr) net.HardwareAddr {
	return append(net.HardwareAddr{0x02, 0x50}, addr4(a)...)
}

// validID reports whether id can be a file's name, on its own and beside others.
func validID(id string) bool {
	for i, c := range []byte(id) {
		plain := c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !plain && (i == 0 || c != '-' && c != '_' && c != '.') {
			return false
		}
	}
	return id != "" && len(id) <= 128
}
