package router

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// Reread takes over what the store has by now, where another process issues and revokes tokens. What was counted of those that
// stay goes on; what this one has revoked stays revoked.
func (t *Tokens) Reread(ctx context.Context) error {
	t.writing.Lock()
	defer t.writing.Unlock()
	rows, err := t.store.Tokens(ctx)
	if err != nil {
		return fmt.Errorf("reading tokens: %w", err)
	}
	before := t.current.Load()
	set := &tokenSet{byHash: make(map[[16]byte]*tokenEntry, len(rows)), byID: make(map[string]*tokenEntry, len(rows))}
	for _, row := range rows {
		hash, err := hex.DecodeString(row.Hash)
		if err != nil || len(hash) != sha256.Size {
			return fmt.Errorf("reading tokens: %s has a broken hash", row.ID)
		}
		e := &tokenEntry{Token: row, hash: [sha256.Size]byte(hash), used: &tokenUse{}}
		if had := before.byID[row.ID]; had != nil {
			e.used, e.payer, e.person, e.unsaved = had.used, had.payer, had.person, had.unsaved
			if e.unsaved {
				e.RevokedAt = had.RevokedAt
			}
		} else {
			e.payer, e.person = row.subject(0, t.now()), t.people.subject(row.CreatedBy, 0, t.now())
			if !row.LastUsed.IsZero() {
				e.used.at.Store(row.LastUsed.Unix())
				e.used.flushed.Store(row.LastUsed.Unix())
			}
		}
		set.put(e)
	}
	t.current.Store(set)
	return nil
}
