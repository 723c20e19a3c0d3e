package cni

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
)

// record is what is known of one session's network. Without an address it was never finished.
type record struct {
	ID   string     `json:"id"`
	Boot string     `json:"boot"`
	Addr netip.Addr `json:"address"`
}

func (n *Network) recordFile(id string) string { return filepath.Join(n.cfg.Dir, "records", id) }

// write replaces a record as a whole.
func (n *Network) write(r record) error {
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	file := n.recordFile(r.ID)
	part := filepath.Join(filepath.Dir(file), ".part-"+r.ID)
	if err := os.WriteFile(part, raw, 0o600); err != nil {
		return err
	}
	return os.Rename(part, file)
}

// read returns a record; one that cannot be read is one that was never finished.
func (n *Network) read(id string) (record, error) {
	raw, err := os.ReadFile(n.recordFile(id))
	if err != nil {
		return record{}, err
	}
	var r record
	if err := json.Unmarshal(raw, &r); err == nil && r.ID == id {
		return r, nil
	}
	return record{ID: id}, nil
}

func (n *Network) records() ([]record, error) {
	entries, err := os.ReadDir(filepath.Join(n.cfg.Dir, "records"))
	if err != nil {
		return nil, err
	}
	var out []record
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || !validID.MatchString(e.Name()) {
			continue
		}
		r, err := n.read(e.Name())
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

func (n *Network) forget(id string) error {
	if err := os.Remove(n.recordFile(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
