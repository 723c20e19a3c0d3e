package admintest

import (
	"context"

	"github.com/palisade-run/palisade/appliance/vault"
)

// Secrets implements vault.Rows.
func (m *memory) Secrets(context.Context) ([]vault.Row, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []vault.Row
	for _, r := range m.secrets {
		out = append(out, r)
	}
	return out, nil
}

// Secret implements vault.Rows.
func (m *memory) Secret(_ context.Context, name string) (vault.Row, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, found := m.secrets[name]
	return r, found, nil
}

// SaveSecret implements vault.Rows.
func (m *memory) SaveSecret(_ context.Context, r vault.Row) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if old, had := m.secrets[r.Name]; had {
		r.CreatedAt = old.CreatedAt
	}
	if m.secrets == nil {
		m.secrets = map[string]vault.Row{}
	}
	m.secrets[r.Name] = r
	return nil
}

// DeleteSecret implements vault.Rows.
func (m *memory) DeleteSecret(_ context.Context, name string) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, had := m.secrets[name]
	delete(m.secrets, name)
	return had, nil
}
