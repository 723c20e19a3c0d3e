package trust

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Names on the shelf.
const (
	authorityKey = "ca"
	tokens       = "tokens/"
	requests     = "requests/"
	deniedKeys   = "denied/"
	keyNames     = "keys/" // by id of a public key: which box has it, by its name as JSON
)

// Shelf keeps records by name; all boxes of the cluster see the same.
type Shelf interface {
	// Get returns one; Revision is 0 where there is none.
	Get(ctx context.Context, key string) (Entry, error)
	// List returns those whose names begin with prefix, by name.
	List(ctx context.Context, prefix string) ([]Entry, error)
	// Commit writes all, or returns false where one of them is not of the revision any more that its Write names.
	Commit(ctx context.Context, writes []Write) (bool, error)
}

// Entry is a record as it is kept.
type Entry struct {
	Key      string
	Value    []byte
	Revision int64 // greater with each write; never 0
}

// Write is a record as it shall be.
type Write struct {
	Key      string
	Value    []byte // nil: gone
	Revision int64  // that it must be of; 0: there must be none
}

// Desk is where boxes are let in, by any approved node. It is safe for concurrent use, and so are several desks on one
// shelf.
type Desk struct {
	shelf Shelf
	key   ClusterKey
	now   func() time.Time
	slow  slowdown
}

// NewDesk returns a desk. key is Node.ClusterKey.
func NewDesk(shelf Shelf, key ClusterKey, now func() time.Time) *Desk {
	return &Desk{shelf: shelf, key: key, now: now}
}

// Begin puts what a cluster was founded with on the shelf. Another cluster's shelf is not touched: ErrTaken.
func (d *Desk) Begin(ctx context.Context, f Founding) error {
	authority, err := json.Marshal(f.Authority)
	if err != nil {
		return fmt.Errorf("founding a cluster: %w", err)
	}
	record, err := json.Marshal(f.Record)
	if err != nil {
		return fmt.Errorf("founding a cluster: %w", err)
	}
	name, err := json.Marshal(f.Record.Name)
	if err != nil {
		return fmt.Errorf("founding a cluster: %w", err)
	}
	ok, err := d.shelf.Commit(ctx, []Write{
		{Key: authorityKey, Value: authority}, {Key: requests + f.Record.Name, Value: record}, {Key: keyNames + f.Record.Key, Value: name},
	})
	if err != nil {
		return fmt.Errorf("founding a cluster: %w", err)
	}
	if ok {
		return nil
	}
	kept, _, err := d.authority(ctx)
	if err != nil {
		return err
	}
	if kept.Cluster != f.Authority.Cluster {
		return hinted("give the new cluster an etcd of its own, or another prefix in it", "founding a cluster: %w: cluster %s is there", ErrTaken, kept.Cluster)
	}
	return nil // it was said before
}

func (d *Desk) authority(ctx context.Context) (Authority, int64, error) {
	var a Authority
	revision, err := d.get(ctx, authorityKey, &a)
	if err == nil && revision == 0 {
		err = fmt.Errorf("%w: no cluster was founded here", ErrNotFound)
	}
	if err != nil {
		return a, 0, fmt.Errorf("the cluster's authority: %w", err)
	}
	return a, revision, nil
}

func (d *Desk) get(ctx context.Context, key string, out any) (int64, error) {
	e, err := d.shelf.Get(ctx, key)
	if err != nil || e.Revision == 0 {
		return 0, err
	}
	if err := json.Unmarshal(e.Value, out); err != nil {
		return 0, fmt.Errorf("%s: %w: %w", key, ErrInvalid, err)
	}
	return e.Revision, nil
}

// retried does again what did not come to be because others wrote at the same time.
func retried(f func() (bool, error)) error {
	for range 16 {
		if ok, err := f(); ok || err != nil {
			return err
		}
	}
	return &Error{err: ErrBusy, hint: "say it again", after: time.Second}
}

// Asked is what a token is made for.
type Asked struct {
	Approve bool          // boxes with it are in at once
	Uses    int           // 1 to 1000
	For     time.Duration // at most 30 days
	By      string        // who makes it
}

// Kept is a token as it is kept: without its secret.
type Kept struct {
	ID      string    `json:"id"`
	Hash    []byte    `json:"hash"`
	Expires time.Time `json:"expires"`
	Uses    int       `json:"uses"` // left
	Approve bool      `json:"approve"`
	Created time.Time `json:"created"`
	By      string    `json:"by,omitempty"`
}

const (
	mostUses  = 1000
	longestBy = 30 * 24 * time.Hour
)

// NewToken makes a token. It is the only time that its secret can be seen.
func (d *Desk) NewToken(ctx context.Context, a Asked) (Token, error) {
	switch {
	case a.Uses < 1 || a.Uses > mostUses:
		return Token{}, hinted("say how many boxes may join with it: --uses 3", "a token for %d uses: %w: 1 to %d", a.Uses, ErrInvalid, mostUses)
	case a.For < time.Minute || a.For > longestBy:
		return Token{}, hinted("say how long it is good for: --for 24h", "a token for %v: %w: a minute to 30 days", a.For, ErrInvalid)
	}
	authority, _, err := d.authority(ctx)
	if err != nil {
		return Token{}, err
	}
	now := d.now()
	signer, err := authority.signer(now)
	if err != nil {
		return Token{}, err
	}
	t, err := newToken(Fingerprint(signer.Certificate))
	if err != nil {
		return Token{}, err
	}
	raw, err := json.Marshal(Kept{ID: t.ID, Hash: hashOf(t.secret), Expires: now.Add(a.For), Uses: a.Uses, Approve: a.Approve, Created: now, By: a.By})
	if err != nil {
		return Token{}, fmt.Errorf("making a token: %w", err)
	}
	ok, err := d.shelf.Commit(ctx, []Write{{Key: tokens + t.ID, Value: raw}})
	if err == nil && !ok { // two of 40 bits of chance
		err = ErrBusy
	}
	if err != nil {
		return Token{}, fmt.Errorf("making a token: %w", err)
	}
	return t, nil
}

// Tokens returns those that can still be used, by id.
func (d *Desk) Tokens(ctx context.Context) ([]Kept, error) {
	kept, err := all[Kept](ctx, d.shelf, tokens)
	if err != nil {
		return nil, err
	}
	out := []Kept{}
	for _, k := range kept {
		if k.Uses > 0 && d.now().Before(k.Expires) {
			out = append(out, k)
		}
	}
	return out, nil
}

// RevokeToken forgets a token: who has joined with it stays in, who waits goes on waiting.
func (d *Desk) RevokeToken(ctx context.Context, id string) error {
	if _, ok := large(id, idBytes); !ok {
		return fmt.Errorf("token %.20q: %w", id, ErrNotFound)
	}
	return retried(func() (bool, error) {
		e, err := d.shelf.Get(ctx, tokens+id)
		if err != nil {
			return false, fmt.Errorf("token %s: %w", id, err)
		}
		if e.Revision == 0 {
			return false, fmt.Errorf("token %s: %w", id, ErrNotFound)
		}
		return d.shelf.Commit(ctx, []Write{{Key: e.Key, Revision: e.Revision}})
	})
}

// all returns what is below prefix.
func all[T any](ctx context.Context, shelf Shelf, prefix string) ([]T, error) {
	entries, err := shelf.List(ctx, prefix)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", strings.TrimSuffix(prefix, "/"), err)
	}
	out := make([]T, len(entries))
	for i, e := range entries {
		if err := json.Unmarshal(e.Value, &out[i]); err != nil {
			return nil, fmt.Errorf("reading %s: %w: %w", e.Key, ErrInvalid, err)
		}
	}
	return out, nil
}
