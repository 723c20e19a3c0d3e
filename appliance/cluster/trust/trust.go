// Package trust owns whom the boxes of a cluster believe: the cluster's own certificate authority, the certificates of
// its nodes and their renewal, the tokens by which boxes join, and the TLS configurations of the door (a box's port for
// other boxes) and of etcd. It must not know what is said over those connections, nor where its records are kept: that
// is a Shelf.
//
// Whoever is in the cluster is trusted with all of it: each approved node holds the cluster key, which opens the key of
// the authority, so that any of them can let others in while the rest is away. A box that leaves is kept out by a list of
// what was issued to it. A box that leaves and is no longer trusted may have kept the authority's key: see Desk.Remove.
package trust

import (
	"errors"
	"fmt"
	"regexp"
	"time"
)

// Times that certificates are made with.
const (
	authorityLife = 10 * 365 * 24 * time.Hour
	nodeLife      = 90 * 24 * time.Hour
	backDated     = time.Hour // clocks of boxes differ: what is issued here must not lie in the future there

	renewAuthority = 2 * 365 * 24 * time.Hour // left of an authority's life when its heir is made
	heirWaits      = 7 * 24 * time.Hour       // until an heir signs: by then every node that is up knows it
	bequest        = 7 * 24 * time.Hour       // after the last certificate of an authority ended, until it is forgotten
)

// Kinds of errors of this room.
var (
	// ErrInvalid: what was sent, or is kept, is not what it should be.
	ErrInvalid = errors.New("invalid")
	// ErrToken: the token is not one of this cluster, or its secret is wrong. Which of both is not said.
	ErrToken = errors.New("the token is not known here")
	// ErrSpent: the token was right once: it has expired, or was used as often as it may be.
	ErrSpent = errors.New("the token is used up")
	// ErrAuthority: the other side is not of the cluster that was meant.
	ErrAuthority = errors.New("not of this cluster")
	// ErrTaken: another box has the name.
	ErrTaken = errors.New("the name is taken")
	// ErrRefused: somebody refused the box.
	ErrRefused = errors.New("refused")
	// ErrRemoved: the box was a node, and was removed.
	ErrRemoved = errors.New("removed from the cluster")
	// ErrSlow: too many wrong tokens came from there.
	ErrSlow = errors.New("too many wrong tokens")
	// ErrNotFound: there is no such token or node.
	ErrNotFound = errors.New("not found")
	// ErrNoIdentity: this box has none in a cluster.
	ErrNoIdentity = errors.New("this box is in no cluster")
	// ErrBusy: others changed the same records, again and again.
	ErrBusy = errors.New("the records kept changing")
)

// Error is an error that says what to do about it.
type Error struct {
	err   error
	hint  string
	after time.Duration
}

func (e *Error) Error() string { return e.err.Error() }
func (e *Error) Unwrap() error { return e.err }

// Hint says what to do.
func (e *Error) Hint() string { return e.hint }

// RetryAfter is how long to wait before asking again; 0 where waiting does not help.
func (e *Error) RetryAfter() time.Duration { return e.after }

func hinted(hint, format string, args ...any) *Error {
	return &Error{err: fmt.Errorf(format, args...), hint: hint}
}

// label is RFC 1123's: it becomes a part of DNS names and of keys in etcd.
var label = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// CheckName says whether a node may have that name: an RFC 1123 label, small letters.
func CheckName(name string) error {
	if !label.MatchString(name) {
		return hinted("choose one of small letters, digits and - (not first or last), at most 63, as in: palisade join URL TOKEN --name box-2",
			"a node's name, %.70q: %w", name, ErrInvalid)
	}
	return nil
}
