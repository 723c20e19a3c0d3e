package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// Entry is one change, or one that was refused.
type Entry struct {
	At      time.Time `json:"at"`
	Actor   string    `json:"actor"`             // a user of the box, or an API key's name; empty: nobody who was known
	Via     string    `json:"via"`               // socket, key
	Key     string    `json:"key,omitempty"`     // id of the API key
	From    string    `json:"from,omitempty"`    // address of the client
	Agent   string    `json:"agent,omitempty"`   // the program that it says it is
	Project string    `json:"project,omitempty"` // that it is about
	Action  string    `json:"action"`            // createService
	Target  string    `json:"target"`            // services/chat
	Status  int       `json:"status"`            // of the answer: 201, 409; 101 of one who was let in, 0 of none
	Error   string    `json:"error,omitempty"`   // why it was refused
	Request string    `json:"request,omitempty"` // its id, as in the log and in the answer
	Detail  string    `json:"detail,omitempty"`  // what no change shows: a command line
	Changes []Change  `json:"changes,omitempty"`
}

// Change is one value that is another one now. Secrets are left out of both.
type Change struct {
	Path   string          `json:"path"` // resources.cpu; empty: all of it
	Before json.RawMessage `json:"before,omitempty"`
	After  json.RawMessage `json:"after,omitempty"`
}

// Record is an entry in its place in the chain.
type Record struct {
	Seq  int64  // 1, 2, 3, ...
	Text []byte // the entry as JSON, to the byte as it was hashed
	Prev string // hash of the record before; of the first 64 zeros
	Hash string // hex SHA-256, see seal
	Entry
}

// Head is where the chain ends.
type Head struct {
	Seq  int64
	Hash string
}

// start is what the first record follows.
func start() Head { return Head{Hash: hex.EncodeToString(make([]byte, sha256.Size))} }

// seal is the hash of a record: of its number, the hash before it and its text, with line feeds between.
func seal(seq int64, prev string, text []byte) string {
	h := sha256.New()
	_, _ = h.Write([]byte(strconv.FormatInt(seq, 10) + "\n" + prev + "\n")) // hashes do not fail
	_, _ = h.Write(text)
	return hex.EncodeToString(h.Sum(nil))
}

// Next puts an entry behind the head of a chain; the zero Head begins one.
func Next(head Head, e Entry) (Record, error) {
	if head.Seq == 0 {
		head = start()
	}
	e.At = e.At.UTC()
	// These are columns too, which must say the same as the text, in every database.
	for _, column := range []*string{&e.Actor, &e.Project, &e.Action, &e.Target} {
		*column = strings.ReplaceAll(strings.ToValidUTF8(*column, "\uFFFD"), "\x00", "\uFFFD")
	}
	text, err := json.Marshal(e)
	if err != nil {
		return Record{}, err
	}
	r := Record{Seq: head.Seq + 1, Text: text, Prev: head.Hash, Entry: e}
	r.Hash = seal(r.Seq, r.Prev, text)
	return r, nil
}

// Head is the chain's end where r is its last.
func (r *Record) Head() Head { return Head{r.Seq, r.Hash} }

// String writes a head as people keep it elsewhere: SEQ:HASH.
func (h Head) String() string { return strconv.FormatInt(h.Seq, 10) + ":" + h.Hash }
