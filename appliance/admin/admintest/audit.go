package admintest

import (
	"context"
	"slices"
	"strings"

	"github.com/palisade-run/palisade/appliance/audit"
)

// AppendAudit implements audit.Store.
func (m *memory) AppendAudit(_ context.Context, next func(audit.Head) (audit.Record, error)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var head audit.Head
	if n := len(m.records); n > 0 {
		head = m.records[n-1].Head()
	}
	r, err := next(head)
	if err == nil {
		m.records = append(m.records, r)
	}
	return err
}

// Audit implements audit.Store.
func (m *memory) Audit(_ context.Context, q audit.Query) ([]audit.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []audit.Record
	for _, r := range m.records {
		if r.Seq <= q.After || q.Before > 0 && r.Seq >= q.Before || q.Actor != "" && r.Actor != q.Actor || q.Project != "" && r.Project != q.Project ||
			q.Action != "" && r.Action != q.Action || q.Target != "" && r.Target != q.Target && !strings.HasPrefix(r.Target, q.Target+"/") ||
			!q.From.IsZero() && r.At.Before(q.From) || !q.To.IsZero() && !r.At.Before(q.To) {
			continue
		}
		out = append(out, r)
	}
	if q.Newest {
		slices.Reverse(out)
	}
	if q.Limit > 0 {
		out = out[:min(q.Limit, len(out))]
	}
	return out, nil
}
