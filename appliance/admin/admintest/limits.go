package admintest

import (
	"context"
	"maps"
	"slices"

	"github.com/palisade-run/palisade/appliance/admin"
	"github.com/palisade-run/palisade/appliance/people"
)

// Limits implements people.LimitStore.
func (m *memory) Limits(context.Context) ([]people.LimitRow, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Values(m.limits)), nil
}

// SaveLimits implements people.LimitStore.
func (m *memory) SaveLimits(_ context.Context, row people.LimitRow) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.limits == nil {
		m.limits = map[[2]string]people.LimitRow{}
	}
	m.limits[[2]string{string(row.Kind), row.Name}] = row
	return nil
}

// DeleteLimits implements people.LimitStore.
func (m *memory) DeleteLimits(_ context.Context, kind people.LimitKind, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.limits, [2]string{string(kind), name})
	return nil
}

// unused is an admin.LimitUse of a box that nobody uses.
type unused struct{}

// Used implements admin.LimitUse.
func (unused) Used(context.Context, people.LimitKind, string) (admin.LimitUsed, error) {
	return admin.LimitUsed{}, nil
}
