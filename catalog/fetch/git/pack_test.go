package git

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"io"
	"testing"
)

// packOf is a pack of a file and a change of it that says that it makes so many bytes.
func packOf(makes uint64) []byte {
	var out bytes.Buffer
	packed := func(text []byte) {
		z := zlib.NewWriter(&out)
		_, _ = z.Write(text)
		_ = z.Close()
	}
	out.WriteString("PACK\x00\x00\x00\x02\x00\x00\x00\x02")
	start := out.Len()
	out.WriteByte(3<<4 | 2) // a file of 2 bytes
	packed([]byte("ab"))
	change := binary.AppendUvarint([]byte{2}, makes)
	back := out.Len() - start
	out.WriteByte(byte(6<<4 | len(change))) // a change of what begins so far back
	out.WriteByte(byte(back))
	packed(change)
	return out.Bytes()
}

func TestPacksAreWeighed(t *testing.T) {
	good := packOf(100)
	for name, c := range map[string]struct {
		pack []byte
		most int64
		want error
	}{
		"a small one": {good, 1 << 20, nil}, "nothing": {nil, 1 << 20, nil}, "more than all may be": {good, 50, errHuge},
		"a change that makes gigabytes": {packOf(1 << 40), 1 << 50, errHuge}, "one that is cut off": {good[:len(good)-4], 1 << 20, io.ErrUnexpectedEOF},
	} {
		if err := weigh(t.Context(), bytes.NewReader(c.pack), c.most); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
