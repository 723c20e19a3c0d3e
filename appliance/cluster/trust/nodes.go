package trust

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
)

// Records returns all boxes that are in, or asked to be, by name.
func (d *Desk) Records(ctx context.Context) ([]Record, error) {
	return all[Record](ctx, d.shelf, requests)
}

func (d *Desk) record(ctx context.Context, name string) (Record, int64, error) {
	var r Record
	if err := CheckName(name); err != nil {
		return r, 0, err
	}
	revision, err := d.get(ctx, requests+name, &r)
	if err == nil && revision == 0 {
		err = hinted("see which ones there are: palisade cluster status", "%w", ErrNotFound)
	}
	if err != nil {
		return r, 0, fmt.Errorf("node %s: %w", name, err)
	}
	return r, revision, nil
}

// Approve lets a box in that waits, or that was refused before it gave up. Said again, it changes nothing. ErrRemoved where its key was
// removed meanwhile.
func (d *Desk) Approve(ctx context.Context, name, by string) error {
	return retried(func() (bool, error) {
		r, revision, err := d.record(ctx, name)
		if err != nil || r.State == In {
			return r.State == In, err
		}
		who, err := checkCSR(r.CSR)
		if err != nil {
			return false, err
		}
		if err := d.admissible(ctx, who.key, name); err != nil {
			return false, err
		}
		a, _, err := d.authority(ctx)
		if err != nil {
			return false, err
		}
		r.By = by
		if err := r.admit(a, d.key, who, d.now()); err != nil {
			return false, err
		}
		return d.put(ctx, r, revision)
	})
}

// Remove takes a box out. One that waits is refused; one that was refused is forgotten; a node's certificates are
// believed no more: by each node from when it has read the list (see Beliefs), for each connection from its next
// handshake, and through the door from the next request.
//
// A connection to etcd that is open stays open until it breaks, and with it what the box may do there: etcd looks at who comes at the
// handshake alone. So its membership is taken first; and whoever fears what it may do until then restarts palisade on the boxes that are
// members, one after the other.
//
// The box had the cluster key. Who fears that it was kept: Tend with an heir at once, and make the cluster anew when the
// box was in bad hands, for until the old authority is forgotten the box could issue certificates to itself.
func (d *Desk) Remove(ctx context.Context, name, by string) error {
	return retried(func() (bool, error) {
		r, revision, err := d.record(ctx, name)
		if err != nil {
			return false, err
		}
		if r.State == Waiting {
			r.State, r.By, r.Decided = Refused, by, d.now()
			return d.put(ctx, r, revision)
		}
		free, err := d.release(ctx, r.Key, name)
		if err != nil {
			return false, err
		}
		writes := slices.Concat(free, []Write{{Key: requests + name, Revision: revision}})
		if r.State != Refused {
			denied, err := d.deny(ctx, r)
			if err != nil {
				return false, err
			}
			writes = append(writes, denied)
		}
		return d.shelf.Commit(ctx, writes)
	})
}

// deny is what writes that a node's key and certificates are believed no more, beside what was removed of that key before.
func (d *Desk) deny(ctx context.Context, r Record) (Write, error) {
	var denied Denied
	revision, err := d.get(ctx, deniedKeys+r.Key, &denied)
	if err != nil {
		return Write{}, fmt.Errorf("node %s: %w", r.Name, err)
	}
	denied.Name, denied.Key, denied.At = r.Name, r.Key, d.now()
	if until := d.now().Add(nodeLife); until.After(denied.Until) {
		denied.Until = until
	}
	for _, i := range r.Issued {
		if !slices.Contains(denied.Serials, i.Serial) {
			denied.Serials = append(denied.Serials, i.Serial)
		}
		if i.Until.After(denied.Until) {
			denied.Until = i.Until
		}
	}
	raw, err := json.Marshal(denied)
	if err != nil {
		return Write{}, fmt.Errorf("node %s: %w", r.Name, err)
	}
	return Write{Key: deniedKeys + r.Key, Value: raw, Revision: revision}, nil
}

// Renew gives a node a new certificate, for the key that it has. peer is who the door says it is.
func (d *Desk) Renew(ctx context.Context, peer string, csr []byte) (Answer, error) {
	who, err := checkCSR(csr)
	if err != nil {
		return Answer{}, err
	}
	var answer Answer
	err = retried(func() (bool, error) {
		r, revision, err := d.record(ctx, peer)
		if err != nil {
			return false, err
		}
		if r.State != In || who.name != peer || who.key != r.Key {
			return false, fmt.Errorf("renewing the certificate of %s: %w: it is not the key of that node", peer, ErrInvalid)
		}
		a, _, err := d.authority(ctx)
		if err != nil {
			return false, err
		}
		if err := r.renew(a, d.key, who, d.now()); err != nil {
			return false, err
		}
		answer = r.answer(a)
		return d.put(ctx, r, revision)
	})
	if err != nil {
		return Answer{}, err
	}
	return answer, nil
}

// Beliefs returns what each node should Believe.
func (d *Desk) Beliefs(ctx context.Context) (Bundle, []Denied, error) {
	a, _, err := d.authority(ctx)
	if err != nil {
		return Bundle{}, nil, err
	}
	denied, err := all[Denied](ctx, d.shelf, deniedKeys)
	if err != nil {
		return Bundle{}, nil, err
	}
	return a.Bundle(), slices.DeleteFunc(denied, func(x Denied) bool { return x.Until.Before(d.now()) }), nil
}

// Tend does what time asks for: an heir for an authority that grows old, and forgets what is over. Once a day, on one
// box at a time or on several, is enough.
func (d *Desk) Tend(ctx context.Context) error {
	err := retried(func() (bool, error) {
		a, revision, err := d.authority(ctx)
		if err != nil {
			return false, err
		}
		tended, changed, err := a.tended(d.key, d.now())
		if err != nil || !changed {
			return !changed, err
		}
		raw, err := json.Marshal(tended)
		if err != nil {
			return false, fmt.Errorf("the cluster's authority: %w", err)
		}
		return d.shelf.Commit(ctx, []Write{{Key: authorityKey, Value: raw, Revision: revision}})
	})
	if err != nil {
		return err
	}
	return d.sweep(ctx)
}

// sweep forgets tokens that ended, and removed nodes whose certificates have. A write in between is left alone.
func (d *Desk) sweep(ctx context.Context) error {
	for _, prefix := range []string{tokens, deniedKeys} {
		entries, err := d.shelf.List(ctx, prefix)
		if err != nil {
			return fmt.Errorf("forgetting what is over: %w", err)
		}
		for _, e := range entries {
			var token Kept
			var denied Denied
			over := prefix == tokens && json.Unmarshal(e.Value, &token) == nil && (d.now().After(token.Expires) || token.Uses < 1) ||
				prefix == deniedKeys && json.Unmarshal(e.Value, &denied) == nil && d.now().After(denied.Until)
			if !over {
				continue
			}
			if _, err := d.shelf.Commit(ctx, []Write{{Key: e.Key, Revision: e.Revision}}); err != nil {
				return fmt.Errorf("forgetting what is over: %w", err)
			}
		}
	}
	return nil
}
