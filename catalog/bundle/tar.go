package bundle

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"strings"
)

// block is what a tar is counted in, in bytes.
const block = 512

// Names of the two entries before those that the table of contents lists. Each holds the checksum of its entry, so that no
// byte of the file is without one.
const (
	namePrefix     = "palisade-bundle-"
	contentsSuffix = ".json"
	sigSuffix      = ".sig"
)

// header is the one block by which an entry begins. There is only one way to write it: what differs from it in any byte was
// not written here.
func header(name string, size int64) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Format: tar.FormatGNU, Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644}); err != nil {
		return nil, fmt.Errorf("naming %s: %w", name, err)
	}
	if b.Len() != block {
		return nil, fmt.Errorf("%s takes %d bytes to name", name, b.Len())
	}
	return b.Bytes(), nil
}

// padded is how many bytes an entry of n bytes takes, without its header.
func padded(n int64) int64 { return (n + block - 1) / block * block }

// zeros ends a tar, and fills up an entry's last block.
func zeros() []byte { return make([]byte, 2*block) }

// Size is how many bytes the file of these contents has, with raw as they are written and a signature, which may be empty.
func (c Contents) size(raw, sig []byte) int64 {
	n := start(raw, sig) + int64(2*block)
	for _, e := range c.Entries {
		n += block + padded(e.Bytes)
	}
	return n
}

// start is where the first of the entries begins that the table of contents lists.
func start(raw, sig []byte) int64 {
	n := block + padded(int64(len(raw)))
	if len(sig) > 0 {
		n += block + padded(int64(len(sig)))
	}
	return n
}

// special reads the header of one of the two first entries: its name without prefix and suffix, and its size.
func special(head []byte, suffix string, most int64) (sum string, size int64, is bool) {
	h, err := tar.NewReader(bytes.NewReader(head)).Next()
	if err != nil && h == nil {
		return "", 0, false
	}
	sum, is = strings.CutPrefix(h.Name, namePrefix)
	if is {
		sum, is = strings.CutSuffix(sum, suffix)
	}
	if !is || !hexSHA256.MatchString(sum) || h.Size < 0 || h.Size > most {
		return "", 0, false
	}
	want, err := header(h.Name, h.Size)
	return sum, h.Size, err == nil && bytes.Equal(want, head)
}

// writeEntry writes a whole entry out of memory.
func writeEntry(w io.Writer, name string, b []byte) error {
	head, err := header(name, int64(len(b)))
	if err != nil {
		return err
	}
	for _, part := range [][]byte{head, b, zeros()[:padded(int64(len(b)))-int64(len(b))]} {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	return nil
}
