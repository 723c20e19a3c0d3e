package sftp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The kinds of packets.
const (
	typeInit     = 1
	typeVersion  = 2
	typeOpen     = 3
	typeClose    = 4
	typeRead     = 5
	typeWrite    = 6
	typeLstat    = 7
	typeFstat    = 8
	typeSetstat  = 9
	typeFsetstat = 10
	typeOpendir  = 11
	typeReaddir  = 12
	typeRemove   = 13
	typeMkdir    = 14
	typeRmdir    = 15
	typeRealpath = 16
	typeStat     = 17
	typeRename   = 18
	typeReadlink = 19
	typeSymlink  = 20
	typeExtended = 200

	typeStatus        = 101
	typeHandle        = 102
	typeData          = 103
	typeName          = 104
	typeAttrs         = 105
	typeExtendedReply = 201
)

// version is the one that everybody speaks.
const version = 3

// The bounds of packets, as OpenSSH's server has them. Who asks for more gets less, and asks again.
const (
	maxPacket = 256 << 10
	maxData   = maxPacket - 1<<10
)

// errBadMessage is a packet that ends before it says all that it should.
var errBadMessage = errors.New("the message is cut short, or has more than it should")

// packet is one message: its type, and what follows.
type packet struct {
	kind byte
	body reader
}

// receive reads one packet. buffer is used again for the next.
func receive(from io.Reader, buffer []byte) (packet, error) {
	var head [5]byte
	if _, err := io.ReadFull(from, head[:]); err != nil {
		return packet{}, err
	}
	n := binary.BigEndian.Uint32(head[:4])
	if n == 0 || n > uint32(len(buffer)) {
		return packet{}, fmt.Errorf("a packet of %d bytes: 1 to %d are allowed", n, len(buffer))
	}
	body := buffer[:n-1]
	if _, err := io.ReadFull(from, body); err != nil {
		return packet{}, err
	}
	return packet{head[4], reader{rest: body}}, nil
}

// reader takes a packet apart. Once something is missing all that follows is zero, and bad says so.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) take(n int) []byte {
	if r.bad || n < 0 || n > len(r.rest) {
		r.bad, r.rest = true, nil
		return nil
	}
	out := r.rest[:n]
	r.rest = r.rest[n:]
	return out
}

func (r *reader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// bytes is valid until the next packet is read.
func (r *reader) bytes() []byte { return r.take(int(r.uint32())) }

func (r *reader) string() string { return string(r.bytes()) }

// writer puts a packet together.
type writer struct{ b []byte }

// reply begins one to a request.
func reply(kind byte, id uint32) *writer {
	w := &writer{b: make([]byte, 4, 64)}
	w.b = append(w.b, kind)
	return w.uint32(id)
}

func (w *writer) uint32(v uint32) *writer { w.b = binary.BigEndian.AppendUint32(w.b, v); return w }
func (w *writer) uint64(v uint64) *writer { w.b = binary.BigEndian.AppendUint64(w.b, v); return w }

func (w *writer) string(s string) *writer {
	w.uint32(uint32(len(s)))
	w.b = append(w.b, s...)
	return w
}

// packet is the whole of it, with its length.
func (w *writer) packet() []byte {
	binary.BigEndian.PutUint32(w.b, uint32(len(w.b)-4))
	return w.b
}
