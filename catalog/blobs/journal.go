package blobs

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
)

// record is what is known of a part.
type record struct {
	Turn   int64  `json:"n"`    // the greater one of two is the later one
	Key    string `json:"key"`  // of the part, as far as longestKey
	Boot   string `json:"boot"` // of the box: what was not brought to the disk before another boot may not be there
	Size   int64  `json:"size"` // of the whole file; -1: not known
	Here   spans  `json:"here"`
	Hashed int64  `json:"hashed"`          // bytes from the beginning that State is of
	State  []byte `json:"state,omitempty"` // of SHA-256
}

// slot is the room of one of the two records of a journal: a page, so that a write of it is all there or not at all when the
// program is killed; after a power failure the journal is not read.
const slot = 4096

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// longestKey is how much of a key a record has, in bytes: one that names a checksum has fewer, and of others nobody reads it.
// An ETag or an address, which others may write, has no bound, and a record must fit into its slot.
const longestKey = 256

// encode makes a record of at most slot bytes: what does not fit of what is here is left out, which is safe.
func (r record) encode() ([]byte, error) {
	r.Key = r.Key[:min(len(r.Key), longestKey)]
	for {
		text, err := json.Marshal(r)
		if err != nil {
			return nil, err
		}
		if len(text)+8 <= slot {
			out := make([]byte, 8, 8+len(text))
			binary.LittleEndian.PutUint32(out, crc32.Checksum(text, castagnoli))
			binary.LittleEndian.PutUint32(out[4:], uint32(len(text)))
			return append(out, text...), nil
		}
		if len(r.Here) == 0 {
			return nil, fmt.Errorf("a record of a part has %d bytes", len(text))
		}
		r.Here = r.Here[:len(r.Here)/2]
	}
}

// decode reads a record. is is false where it is not whole, or says what cannot be.
func decode(page []byte) (r record, is bool) {
	if len(page) < 8 {
		return record{}, false
	}
	n := binary.LittleEndian.Uint32(page[4:])
	if uint64(n) > uint64(len(page)-8) || crc32.Checksum(page[8:8+n], castagnoli) != binary.LittleEndian.Uint32(page) {
		return record{}, false
	}
	if err := json.Unmarshal(page[8:8+n], &r); err != nil {
		return record{}, false
	}
	return r, r.Size >= -1 && r.Here.valid(r.Size) && r.Hashed >= 0 && r.Hashed <= r.Here.frontier() && (r.Hashed == 0) == (len(r.State) == 0)
}

// readJournal is the later one of the records of a file; is is false where it has none.
func readJournal(name string) (latest record, is bool, err error) {
	text, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return record{}, false, nil
	}
	if err != nil {
		return record{}, false, fmt.Errorf("reading what is here of a file: %w", err)
	}
	for start := 0; start < len(text) && start < 2*slot; start += slot {
		if r, whole := decode(text[start:min(len(text), start+slot)]); whole && (!is || r.Turn > latest.Turn) {
			latest, is = r, true
		}
	}
	return latest, is, nil
}

// journal writes records, in turn to one slot and the other: whatever moment the program is killed at, one of them is whole.
type journal struct {
	file *os.File
	turn int64
}

func (j *journal) write(r record) error {
	j.turn++
	r.Turn = j.turn
	text, err := r.encode()
	if err != nil {
		return err
	}
	_, err = j.file.WriteAt(text, j.turn%2*slot)
	return err
}

// writeSure writes a record that is to be there after a power failure, too.
func writeSure(name string, r record) (err error) {
	text, err := r.encode()
	if err != nil {
		return err
	}
	file, err := os.OpenFile(name+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}
