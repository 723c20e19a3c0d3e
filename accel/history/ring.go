// Package history keeps what devices said of themselves for a day: utilization, memory, power and temperature, every 15
// seconds. It owns a directory with one file of a fixed size (361 KiB) for each device, and holds nothing in memory but the
// names of the files. It knows nothing of sessions, nor of what is done about what it keeps.
package history

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"
	"math"
	"time"
)

// Every is how often devices are sampled, and Span how far back one can look.
const (
	Every = 15 * time.Second
	Span  = 24 * time.Hour
)

// The form of a file: a head, and then places for records. A record's place follows from its time alone, so that nothing
// has to be remembered, a crash loses nothing but the record that was being written, and what is a day old is written over.
// There are two places for each interval: samples come 15 seconds apart more or less, and no two share one.
const (
	width      = Every / 2
	places     = int(Span / width)
	recordSize = 32
	headSize   = 512
	fileSize   = headSize + places*recordSize
	magic      = "palisade ring 1\n"
	latest     = 7_258_118_400_000 // milliseconds: the year 2200
)

// record is what one device said at one moment. What it could not tell is -1.
type record struct {
	at          time.Time // whole milliseconds
	memory      int64     // bytes
	utilization float64   // 0 to 1
	power       float64   // watts
	temperature float64   // degrees Celsius
}

// place is where in the file a record of that time stands.
func place(at time.Time) int {
	n := int(at.UnixMilli() / width.Milliseconds() % int64(places))
	if n < 0 {
		n += places
	}
	return n
}

// encode writes a record with a check sum over it: one that was written only in part is told by that.
func (r record) encode() []byte {
	b := make([]byte, 0, recordSize)
	b = binary.LittleEndian.AppendUint64(b, uint64(r.at.UnixMilli()))
	b = binary.LittleEndian.AppendUint64(b, uint64(r.memory))
	for _, v := range []float64{r.utilization, r.power, r.temperature} {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(v)))
	}
	return binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
}

// decode reads the record at a place. It is not ok where nothing was written, or not all of it, or nothing that a
// device can have said.
func decode(b []byte, at int) (r record, ok bool) {
	if len(b) != recordSize || binary.LittleEndian.Uint32(b[28:]) != crc32.ChecksumIEEE(b[:28]) {
		return record{}, false
	}
	r.at = time.UnixMilli(int64(binary.LittleEndian.Uint64(b)))
	r.memory = int64(binary.LittleEndian.Uint64(b[8:]))
	for i, v := range []*float64{&r.utilization, &r.power, &r.temperature} {
		*v = float64(math.Float32frombits(binary.LittleEndian.Uint32(b[16+4*i:])))
		if math.IsNaN(*v) || math.IsInf(*v, 0) || *v < -1000 {
			return record{}, false
		}
	}
	// Times far from ours overflow where they are calculated with.
	if millis := r.at.UnixMilli(); millis < 0 || millis > latest || r.memory < -1 || place(r.at) != at {
		return record{}, false
	}
	return r, true
}

// records reads all of a file that can be read, between two times (both included), in no order. Whatever stands in the
// file, it answers what is right of it.
func records(file []byte, from, to time.Time) []record {
	var all []record
	for n := range places {
		start := headSize + n*recordSize
		if start+recordSize > len(file) {
			break
		}
		if r, ok := decode(file[start:start+recordSize], n); ok && !r.at.Before(from) && !r.at.After(to) {
			all = append(all, r)
		}
	}
	return all
}

// key names a device of a node in a fixed number of bytes.
func key(node, device string) [sha256.Size]byte {
	return sha256.Sum256([]byte(node + "\x00" + device))
}

// head is what a file begins with: what it is, and whose; the names are for people.
func head(node, device string) []byte {
	b := make([]byte, headSize)
	k := key(node, device)
	n := copy(b, magic)
	n += copy(b[n:], k[:])
	copy(b[n:headSize-1], node+"\n"+device+"\n")
	return b
}

// isHead says whether a file begins as that of the device does.
func isHead(b []byte, node, device string) bool {
	k := key(node, device)
	return len(b) >= headSize && bytes.HasPrefix(b, []byte(magic)) && bytes.Equal(b[len(magic):len(magic)+len(k)], k[:])
}
