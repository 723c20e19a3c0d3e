package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// auditHead is the file with the head of the audit record, in the data directory. A record is in one database: with another one
// there is another head.
const auditHead = "audit.head"

// Names of heads that are set aside.
const (
	headBefore = auditHead + ".before-cluster"
	headOf     = auditHead + ".of-cluster"
)

// clusterHead sets the head of a box's own record aside: it has joined boxes with another database.
func clusterHead(data string) error { return moveHead(data, auditHead, headBefore) }

// ownHead takes the head of a box's own record back: it has left, for a database of its own.
func ownHead(data string) error {
	return errors.Join(moveHead(data, auditHead, headOf), moveHead(data, headBefore, auditHead))
}

// moveHead does nothing where there is none.
func moveHead(data, from, to string) error {
	if err := os.Rename(filepath.Join(data, from), filepath.Join(data, to)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("setting the head of the audit record aside: %w", err)
	}
	return nil
}
