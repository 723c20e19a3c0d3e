package admintest

import (
	"context"
	"time"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/training/accounts"
)

// sessionRows say that every session of a person had four cores, 16 GiB and half a device for 90 minutes, which began when
// it was made.
type sessionRows struct{ of *Manager }

// Report implements admin.Accounts.
func (r sessionRows) Report(_ context.Context, q accounts.Query) (accounts.Report, error) {
	var rows []accounts.Sum
	const held = int64(90*time.Minute) / 1000
	r.of.EachSession(q.Project, sessions.SessionFilter{}, func(s *sessions.Session) {
		if !s.Personal() || q.User != "" && s.CreatedBy != q.User || q.Session != "" && s.ID != q.Session && s.Name != q.Session ||
			q.Type != "" && string(s.Type) != q.Type || s.CreatedAt.Before(q.From.Truncate(time.Hour)) || !s.CreatedAt.Before(q.To.Add(time.Hour)) {
			return
		}
		rows = append(rows, accounts.Sum{Row: accounts.Row{
			Hour: s.CreatedAt.Truncate(time.Hour), Session: s.ID, Name: s.Name, User: s.CreatedBy, Project: s.Project, Type: string(s.Type),
			Sums: accounts.Sums{Held: held, Cores: 4 * held, CPU: held, Memory: 16 << 10 * held / 1000, Used: 1 << 10 * held / 1000, Shares: held / 2},
		}})
	})
	out := accounts.Fold(rows, &q)
	out.From, out.To = q.From.Truncate(time.Hour), q.To.Truncate(time.Hour).Add(time.Hour)
	return out, nil
}
