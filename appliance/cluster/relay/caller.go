package relay

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Whoever is on this box may connect to its loopback. What relays lead to is behind tokens and limits at the router's, and is
// another project's engine on another box: so the user is looked up whose socket the other end is.

// errStranger says that somebody else than this program's user has connected.
var errStranger = errors.New("the connection is not of the user that this program runs as")

// errClosed says that who has connected has closed since: whose it was is not known any more.
var errClosed = errors.New("the connection was closed before it was looked whose it is")

// mine checks that a connection of this box's own loopback was made by this program's user. Processes of its sessions have
// networks of their own, or are that user.
func mine(c net.Conn) error {
	from, to := addrOf(c.RemoteAddr()), addrOf(c.LocalAddr())
	if !from.IsValid() || !to.IsValid() {
		return errStranger
	}
	o, err := ask(from, to)
	if err != nil { // the kernel has no such diagnosis, or the socket is gone
		o, err = look(from, to)
	}
	switch {
	case err != nil:
		return fmt.Errorf("looking who has connected: %w", err)
	case o.inode == 0: // closed since: nobody waits for an answer, and the kernel does not say who did
		return errClosed
	case int(o.uid) != os.Geteuid():
		return fmt.Errorf("%w: it is of user %d", errStranger, o.uid)
	}
	return nil
}

func addrOf(a net.Addr) netip.AddrPort {
	tcp, is := a.(*net.TCPAddr)
	if !is {
		return netip.AddrPort{}
	}
	at := tcp.AddrPort()
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
}

// owner is whose a socket is.
type owner struct {
	uid   uint32
	inode uint32 // 0: no program has it open any more
}

// errNoSocket says that there is no socket of two addresses.
var errNoSocket = errors.New("there is no such socket")

// Of inet_diag.h.
const (
	sockDiagByFamily = 20
	requestLength    = unix.SizeofNlMsghdr + 8 + sockIDLength
	sockIDLength     = 48
	answerUID        = unix.SizeofNlMsghdr + 4 + sockIDLength + 12
)

// ask asks the kernel for one socket of IPv4, by its own address and its peer's.
func ask(own, peer netip.AddrPort) (owner, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return owner{}, fmt.Errorf("asking for a socket's owner: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.Sendto(fd, request(own, peer), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return owner{}, fmt.Errorf("asking for a socket's owner: %w", err)
	}
	answer := make([]byte, 4<<10)
	n, _, err := unix.Recvfrom(fd, answer, 0)
	if err != nil {
		return owner{}, fmt.Errorf("asking for a socket's owner: %w", err)
	}
	return answered(answer[:n])
}

func request(own, peer netip.AddrPort) []byte {
	b := make([]byte, 0, requestLength)
	b = binary.NativeEndian.AppendUint32(b, requestLength)
	b = binary.NativeEndian.AppendUint16(b, sockDiagByFamily)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST)
	b = append(b, make([]byte, 8)...) // sequence, port
	b = append(b, unix.AF_INET, unix.IPPROTO_TCP, 0, 0)
	b = binary.NativeEndian.AppendUint32(b, ^uint32(0)) // in any state
	b = binary.BigEndian.AppendUint16(b, own.Port())
	b = binary.BigEndian.AppendUint16(b, peer.Port())
	for _, at := range []netip.AddrPort{own, peer} {
		four := at.Addr().As4()
		b = append(append(b, four[:]...), make([]byte, 12)...)
	}
	b = append(b, 0, 0, 0, 0)                                // on any interface
	return append(b, 255, 255, 255, 255, 255, 255, 255, 255) // whatever its cookie is
}

func answered(b []byte) (owner, error) {
	if len(b) < unix.SizeofNlMsghdr || binary.NativeEndian.Uint16(b[4:]) != sockDiagByFamily || len(b) < answerUID+8 {
		return owner{}, errNoSocket
	}
	return owner{uid: binary.NativeEndian.Uint32(b[answerUID:]), inode: binary.NativeEndian.Uint32(b[answerUID+4:])}, nil
}

// look reads through the list of all sockets.
func look(own, peer netip.AddrPort) (owner, error) {
	file, err := os.Open("/proc/self/net/tcp")
	if err != nil {
		return owner{}, err
	}
	defer file.Close()
	return find(file, own, peer)
}

// find finds a socket in such a list.
func find(list io.Reader, own, peer netip.AddrPort) (owner, error) {
	from, to := listed(own), listed(peer)
	in := bufio.NewScanner(list)
	for in.Scan() {
		fields := strings.Fields(in.Text())
		if len(fields) < 10 || fields[1] != from || fields[2] != to {
			continue
		}
		uid, err := strconv.ParseUint(fields[7], 10, 32)
		if err != nil {
			continue
		}
		inode, err := strconv.ParseUint(fields[9], 10, 32)
		if err != nil {
			continue
		}
		return owner{uint32(uid), uint32(inode)}, nil
	}
	return owner{}, errors.Join(errNoSocket, in.Err())
}

// listed is an address as that list has it: a number in the machine's own order.
func listed(at netip.AddrPort) string {
	four := at.Addr().As4()
	number := make([]byte, 4)
	binary.BigEndian.PutUint32(number, binary.NativeEndian.Uint32(four[:]))
	return strings.ToUpper(hex.EncodeToString(number)) + fmt.Sprintf(":%04X", at.Port())
}
