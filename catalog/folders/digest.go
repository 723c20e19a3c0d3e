package folders

import (
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/palisade-run/palisade/catalog/spelling"
)

// Checksum names how a file is compared with what was sent. SHA-256 tells any two files apart; XXH64 those that nobody made
// alike on purpose, which is what a copy of one's own file wants, in a tenth of the time.
type Checksum string

// Checksums.
const (
	SHA256 Checksum = "sha256"
	XXH64  Checksum = "xxh64"
)

// begin returns an empty sum.
func (c Checksum) begin() hash.Hash {
	if c == XXH64 {
		return xxhash.New()
	}
	return sha256.New()
}

// digestOf writes a sum as "sha256:HEX", with the state from where it can go on.
func (c Checksum) digestOf(h hash.Hash) (digest string, state []byte) {
	m, _ := h.(encoding.BinaryMarshaler)
	state, _ = m.MarshalBinary() // both can, always
	return string(c) + ":" + hex.EncodeToString(h.Sum(nil)), state
}

// resumed is a sum that goes on from a state; nil: from the beginning.
func (c Checksum) resumed(state []byte) (hash.Hash, error) {
	h := c.begin()
	if state == nil {
		return h, nil
	}
	u, _ := h.(encoding.BinaryUnmarshaler)
	return h, u.UnmarshalBinary(state)
}

// compare says whether what arrived is what its sender has; "" is nothing said. Only sums of one kind can be compared.
func compare(sender, arrived string) error {
	if sender == "" || strings.EqualFold(sender, arrived) {
		return nil
	}
	kind, _, _ := strings.Cut(arrived, ":")
	said, _, written := strings.Cut(sender, ":")
	if !written {
		return &fault{kind: ErrInvalid, message: fmt.Sprintf("%q is no digest", spelling.Short(sender)), hint: "write " + kind + ":HEX"}
	}
	if said != kind {
		return &fault{kind: ErrInvalid, message: fmt.Sprintf("the digest is %s, and the upload was begun for %s", spelling.Short(sender), kind), hint: "say checksum: " + spelling.Short(said) + " when it begins"}
	}
	return &fault{kind: ErrChecksum, message: fmt.Sprintf("the sender's file has the digest %s, what arrived %s", spelling.Short(sender), arrived), hint: "the file changed while it was sent: send it again"}
}
