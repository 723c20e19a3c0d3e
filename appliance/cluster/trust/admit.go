package trust

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Record is a box that is in, or asked to be.
type Record struct {
	Name    string    `json:"name"`
	Key     string    `json:"key"` // id of its public key
	State   State     `json:"state"`
	TokenID string    `json:"token_id,omitempty"`
	Version string    `json:"version,omitempty"` // as it says itself
	Address string    `json:"address,omitempty"` // as it says itself
	From    string    `json:"from,omitempty"`    // where it asked from
	Asked   time.Time `json:"asked"`
	Decided time.Time `json:"decided,omitzero"`
	By      string    `json:"by,omitempty"` // who decided

	CSR         []byte   `json:"csr,omitempty"` // while it waits: what the approval issues for
	Certificate []byte   `json:"certificate,omitempty"`
	SealedKey   []byte   `json:"sealed_key,omitempty"`
	Issued      []Issued `json:"issued,omitempty"`
}

// Issued is a certificate of a node.
type Issued struct {
	Serial string    `json:"serial"` // hexadecimal
	Until  time.Time `json:"until"`
}

// admit lets a box in: it gets a certificate, and the cluster key sealed to it.
func (r *Record) admit(a Authority, key ClusterKey, who asked, now time.Time) error {
	sealed, err := seal(who.recipient, forCluster, key.file())
	if err != nil {
		return err
	}
	r.State, r.SealedKey, r.Decided, r.CSR = In, sealed, now, nil
	return r.renew(a, key, who, now)
}

// renew issues a certificate, and writes down which ones are in use.
func (r *Record) renew(a Authority, key ClusterKey, who asked, now time.Time) error {
	der, err := a.issue(key, who.public, who.name, now)
	if err != nil {
		return err
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return fmt.Errorf("issuing a certificate for %s: %w", r.Name, err)
	}
	r.Issued = slices.DeleteFunc(slices.Clone(r.Issued), func(i Issued) bool { return i.Until.Before(now) })
	r.Issued = append(r.Issued, Issued{serial(c), c.NotAfter})
	r.Certificate = der
	return nil
}

func (r *Record) answer(a Authority) Answer {
	return Answer{State: r.State, Cluster: a.Cluster, Bundle: a.Bundle(), Certificate: r.Certificate, SealedKey: r.SealedKey}
}

// due says whether a certificate that was issued is to be renewed rather than given again.
func (r *Record) due(now time.Time) bool {
	n := len(r.Issued)
	return n == 0 || now.After(r.Issued[n-1].Until.Add(-nodeLife/3))
}

// Join answers a box that wants to be let in. from is the address that it asks from, without a port.
//  1. Who asks must have the key that it asks with. A key that was removed stays out.
//  2. The key that a record is about needs no token: it gets its answer, today's or that of a join that broke off. Nobody
//     else can use what it gets.
//  3. Who came with wrong tokens before waits.
//  4. The token must be right, in time, and not used up.
//  5. A name that another key has is taken, and so is a key that has another name.
//  6. One use of the token is gone in the same moment as the box is written down.
func (d *Desk) Join(ctx context.Context, from string, r Request) (Answer, error) {
	who, err := r.check() // 1
	if err != nil {
		return Answer{}, err
	}
	var answer Answer
	err = retried(func() (ok bool, err error) {
		answer, ok, err = d.join(ctx, from, r, who)
		return ok, err
	})
	if err != nil {
		return Answer{}, err
	}
	return answer, nil
}

func (d *Desk) join(ctx context.Context, from string, r Request, who asked) (Answer, bool, error) {
	authority, _, err := d.authority(ctx)
	if err != nil {
		return Answer{}, false, err
	}
	if err := d.admissible(ctx, who.key, who.name); err != nil {
		return Answer{}, false, err
	}
	var record Record
	revision, err := d.get(ctx, requests+who.name, &record)
	if err != nil {
		return Answer{}, false, fmt.Errorf("node %s: %w", who.name, err)
	}
	if revision != 0 && record.Key == who.key && (record.State != Refused || record.TokenID == r.TokenID) { // 2
		return d.again(ctx, authority, record, revision, who)
	}
	if wait := d.slow.wait(from, d.now()); wait > 0 { // 3
		e := hinted("wait, and look at whether the token is the right one: palisade cluster token makes a new one", "%w", ErrSlow)
		e.after = wait
		return Answer{}, false, e
	}
	token, tokenRevision, err := d.token(ctx, from, r) // 4
	if err != nil {
		return Answer{}, false, err
	}
	if revision != 0 && record.Key != who.key && record.State != Refused { // 5
		return Answer{}, false, hinted("choose another name with --name; or, if that box is gone for good: palisade cluster remove "+who.name,
			"the name %s: %w", who.name, ErrTaken)
	}
	mine, err := d.claim(ctx, who.key, who.name)
	if err != nil {
		return Answer{}, false, err
	}
	also := []Write{mine}
	if revision != 0 && record.Key != who.key {
		free, err := d.release(ctx, record.Key, who.name)
		if err != nil {
			return Answer{}, false, err
		}
		also = append(also, free...)
	}
	record = Record{
		Name: who.name, Key: who.key, State: Waiting, TokenID: r.TokenID, Version: r.Version, Address: r.Address, From: from,
		Asked: d.now(), CSR: r.CSR,
	}
	if token.Approve {
		record.By = cmp.Or(token.By, "token "+token.ID)
		if err := record.admit(authority, d.key, who, d.now()); err != nil {
			return Answer{}, false, err
		}
	}
	token.Uses--
	used, err := json.Marshal(token)
	if err != nil {
		return Answer{}, false, fmt.Errorf("a join token: %w", err)
	}
	ok, err := d.put(ctx, record, revision, append(also, Write{Key: tokens + token.ID, Value: used, Revision: tokenRevision})...) // 6
	return record.answer(authority), ok, err
}

// put writes a record, and something else in the same moment.
func (d *Desk) put(ctx context.Context, record Record, revision int64, also ...Write) (bool, error) {
	raw, err := json.Marshal(record)
	if err != nil {
		return false, fmt.Errorf("node %s: %w", record.Name, err)
	}
	ok, err := d.shelf.Commit(ctx, append(also, Write{Key: requests + record.Name, Value: raw, Revision: revision}))
	if err != nil {
		return false, fmt.Errorf("node %s: %w", record.Name, err)
	}
	return ok, nil
}

// again answers a box that asked before. A node that was away until its certificate ended gets a new one so.
func (d *Desk) again(ctx context.Context, a Authority, record Record, revision int64, who asked) (Answer, bool, error) {
	switch {
	case record.State == Refused:
		return Answer{}, false, hinted("ask who runs the cluster; a new token lets this box ask again", "node %s: %w by %s", who.name, ErrRefused, record.By)
	case record.State == In && record.due(d.now()):
		if err := record.renew(a, d.key, who, d.now()); err != nil {
			return Answer{}, false, err
		}
		ok, err := d.put(ctx, record, revision)
		return record.answer(a), ok, err
	}
	return record.answer(a), true, nil
}

// token finds the token of a request. Whether it is unknown or its secret wrong is the same to who asks, and takes the
// same comparison.
func (d *Desk) token(ctx context.Context, from string, r Request) (Kept, int64, error) {
	var token Kept
	var revision int64
	if _, ok := large(r.TokenID, idBytes); ok {
		var err error
		if revision, err = d.get(ctx, tokens+r.TokenID, &token); err != nil {
			return Kept{}, 0, fmt.Errorf("a join token: %w", err)
		}
	}
	if revision == 0 {
		token = Kept{Hash: bytes.Repeat([]byte{0}, len(hashOf("")))}
	}
	if !matches(r.Secret, token.Hash) || revision == 0 {
		d.slow.wrong(from, d.now())
		return Kept{}, 0, hinted("on a box of the cluster: palisade cluster token", "%w", ErrToken)
	}
	if token.Uses < 1 || !d.now().Before(token.Expires) {
		return Kept{}, 0, hinted("on a box of the cluster: palisade cluster token", "%w: it was good until %s; uses left: %d",
			ErrSpent, token.Expires.UTC().Format(time.DateTime), max(token.Uses, 0))
	}
	return token, revision, nil
}
