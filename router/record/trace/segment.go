package trace

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
)

// Request is one that came to a service. It is 16 bytes.
type Request struct {
	At     int64  // when it arrived: milliseconds since 1970
	Prompt uint32 // tokens
	Output uint32 // tokens; with Prompt 0: it found no route, and nobody knows what it would have taken
}

const (
	magic      = "palitrc1"
	headSize   = 16
	recordSize = 16
)

func appendHead(to []byte, base int64) []byte {
	return binary.LittleEndian.AppendUint64(append(to, magic...), uint64(base))
}

// appendRecord writes one. What came more than 24 days off the base, as where a clock was set, is taken to be that far off.
func appendRecord(to []byte, base int64, r Request) []byte {
	offset := min(max(r.At-base, math.MinInt32), math.MaxInt32)
	n := len(to)
	to = binary.LittleEndian.AppendUint32(to, uint32(int32(offset)))
	to = binary.LittleEndian.AppendUint32(to, r.Prompt)
	to = binary.LittleEndian.AppendUint32(to, r.Output)
	return binary.LittleEndian.AppendUint32(to, sum(base, to[n:]))
}

func sum(base int64, record []byte) uint32 {
	var head [8]byte
	binary.LittleEndian.PutUint64(head[:], uint64(base))
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum(head[:], table), table, record)
}

// errForeign says that a file is none of ours.
var errForeign = errors.New("not a segment of a trace")

// readSegment calls each with every record that is whole, and says how many were not. A segment that ends in the middle
// of something ends there.
func readSegment(from io.Reader, each func(Request)) (bad int, err error) {
	in := bufio.NewReaderSize(from, 64<<10)
	var b [recordSize]byte
	if _, err := io.ReadFull(in, b[:headSize]); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return 0, nil // the crash was early
	} else if err != nil {
		return 0, err
	}
	if string(b[:len(magic)]) != magic {
		return 0, errForeign
	}
	base := int64(binary.LittleEndian.Uint64(b[len(magic):]))
	for {
		if _, err := io.ReadFull(in, b[:]); errors.Is(err, io.EOF) {
			return bad, nil
		} else if errors.Is(err, io.ErrUnexpectedEOF) {
			return bad + 1, nil
		} else if err != nil {
			return bad, fmt.Errorf("reading records: %w", err)
		}
		if binary.LittleEndian.Uint32(b[12:]) != sum(base, b[:12]) {
			bad++
			continue
		}
		each(Request{
			At:     base + int64(int32(binary.LittleEndian.Uint32(b[:]))),
			Prompt: binary.LittleEndian.Uint32(b[4:]), Output: binary.LittleEndian.Uint32(b[8:]),
		})
	}
}
