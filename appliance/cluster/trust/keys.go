package trust

import (
	"context"
	"encoding/json"
	"fmt"
)

// A key has one name at a time: a box that had two could be removed by one of them, and stay by the other.

// claim is what writes that a key is name's. ErrTaken where another box has it.
func (d *Desk) claim(ctx context.Context, key, name string) (Write, error) {
	var has string
	revision, err := d.get(ctx, keyNames+key, &has)
	if err != nil {
		return Write{}, fmt.Errorf("node %s: its key: %w", name, err)
	}
	if revision != 0 && has != name {
		var other Record
		at, err := d.get(ctx, requests+has, &other)
		if err != nil {
			return Write{}, fmt.Errorf("node %s: its key: %w", name, err)
		}
		if at != 0 && other.Key == key {
			return Write{}, hinted("join with that name; or, on a box of the cluster: palisade cluster remove "+has+", and on that box: palisade cluster leave",
				"node %s: its key is %s's: %w", name, has, ErrTaken)
		}
	}
	raw, err := json.Marshal(name)
	if err != nil {
		return Write{}, fmt.Errorf("node %s: its key: %w", name, err)
	}
	return Write{Key: keyNames + key, Value: raw, Revision: revision}, nil
}

// release is what writes that a key is name's no more; nothing where it is not.
func (d *Desk) release(ctx context.Context, key, name string) ([]Write, error) {
	var has string
	revision, err := d.get(ctx, keyNames+key, &has)
	if err != nil {
		return nil, fmt.Errorf("node %s: its key: %w", name, err)
	}
	if revision == 0 || has != name {
		return nil, nil
	}
	return []Write{{Key: keyNames + key, Revision: revision}}, nil
}

// admissible fails with ErrRemoved for a key that was removed, under whatever name.
func (d *Desk) admissible(ctx context.Context, key, name string) error {
	e, err := d.shelf.Get(ctx, deniedKeys+key)
	if err != nil {
		return fmt.Errorf("node %s: %w", name, err)
	}
	if e.Revision != 0 {
		return hinted("on that box: palisade cluster leave, then join again: it makes itself a new key", "node %s: %w", name, ErrRemoved)
	}
	return nil
}
