package backup

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Head is what a backup says of itself to everybody. Who opens it knows that it is true.
type Head struct {
	MadeAt    time.Time `json:"made_at"`   // the moment of the rows
	Version   string    `json:"version"`   // of the palisade that made it
	Schema    int64     `json:"schema"`    // of the rows
	Database  string    `json:"database"`  // sqlite or postgres: where they were
	Appliance string    `json:"appliance"` // which one made it: several may keep theirs in one directory
	Box       string    `json:"box"`
	Data      string    `json:"data"` // the data directory
	Scheduled bool      `json:"scheduled"`
	Folders   bool      `json:"folders"` // what is in folders is in it
	Models    bool      `json:"models"`  // so are the files of installed models
	Sealed    string    `json:"sealed"`  // keys or passphrase
}

// Manifest is what is in a backup; it is at its end.
type Manifest struct {
	Tables []Table `json:"tables"`
	Parts  []Part  `json:"parts"`
	// Models are those whose files are not in it, to be fetched again.
	Models []Model `json:"models,omitempty"`
	// Torn are files that were changed while they were read: what is here may be neither what was nor what came.
	Torn []string `json:"torn,omitempty"`
	// Left are files that could not be read, and are not in it, with the reasons: the first of LeftOut.
	Left    []string `json:"left,omitempty"`
	LeftOut int64    `json:"left_out,omitempty"`
}

// Table is what of a table is in it.
type Table struct {
	Name   string `json:"name"`
	Rows   int64  `json:"rows"`
	Bytes  int64  `json:"bytes"`  // of the lines
	SHA256 string `json:"sha256"` // of the lines, in hex
	Sum    string `json:"sum"`    // of the rows, as the database's room counts it
}

// Part is what of a part of the files is in it.
type Part struct {
	Name   string `json:"name"`
	Files  int64  `json:"files"` // directories and links too
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"` // of all names, kinds and contents, in order
}

// Model is one whose files can be fetched again.
type Model struct {
	Name    string   `json:"name"`
	Project string   `json:"project"`
	From    string   `json:"from"`
	Bytes   int64    `json:"bytes"`
	Digests []string `json:"digests"` // SHA-256 of its files
}

const (
	family  = "palisade backup "
	magic   = family + "1\n"
	trailer = "\nsha256 "
	// trailerBytes is how long the last line is, with the newline before it.
	trailerBytes = int64(len(trailer) + 64 + 1)
	// longestHead is the longest line of JSON that is read.
	longestHead = 64 << 10
)

func (h Head) text() ([]byte, error) {
	text, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("a backup's head: %w", err)
	}
	return append(append([]byte(magic), text...), '\n'), nil
}

// ReadHead reads what a backup says of itself. It reads not a byte more.
func ReadHead(r io.Reader) (Head, error) {
	h, _, err := readHead(r)
	return h, err
}

func readHead(r io.Reader) (h Head, raw []byte, err error) {
	begin := make([]byte, len(magic))
	if _, err := io.ReadFull(r, begin); err != nil || !bytes.HasPrefix(begin, []byte(family)) {
		return h, nil, &Error{ErrNotBackup, nil, "name a file that `palisade backup create` has made"}
	}
	if string(begin) != magic {
		return h, nil, &Error{ErrNewer, fmt.Errorf("its format is %q", strings.TrimSpace(strings.TrimPrefix(string(begin), family))), "use the palisade that made it, or a newer one"}
	}
	raw = append(raw, begin...)
	one := make([]byte, 1)
	for len(raw) <= longestHead {
		if _, err := io.ReadFull(r, one); err != nil {
			return h, nil, broken(errors.New("it ends within its head"))
		}
		if raw = append(raw, one[0]); one[0] == '\n' {
			break
		}
	}
	if err := json.Unmarshal(raw[len(magic):], &h); err != nil || raw[len(raw)-1] != '\n' {
		return h, nil, broken(errors.New("its head cannot be read"))
	}
	return h, raw, nil
}

func trailerOf(sum []byte) []byte { return []byte(trailer + hex.EncodeToString(sum) + "\n") }
