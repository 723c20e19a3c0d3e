package admintest

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/palisade-run/palisade/router/usage"
)

// usageRows is a store of usage.
type usageRows struct {
	mu   sync.Mutex
	rows []usage.Row
}

func (u *usageRows) AddUsage(_ context.Context, b usage.Batch) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.rows = append(u.rows, b.Rows...)
	return nil
}

func (u *usageRows) Usage(_ context.Context, q usage.Query) ([]usage.Row, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	var out []usage.Row
	for _, r := range u.rows {
		if !r.Hour.Before(q.From) && r.Hour.Before(q.To) && (q.Project == "" || q.Project == r.Project) &&
			(q.Service == "" || q.Service == r.Service || q.Service == r.ServiceID) && (q.Model == "" || q.Model == r.Model) &&
			(len(q.Tokens) == 0 || slices.Contains(q.Tokens, r.Token)) {
			out = append(out, r)
		}
	}
	return out, nil
}

// Use has the token with an id use services: some of today, and some of 40 days ago.
func (a *Appliance) Use(token string, now time.Time) {
	chat := usage.Key{Token: token, Project: "default", ServiceID: "svc-000000000001", Service: "chat", Model: "chat"}
	lora, other := chat, chat
	lora.Model = `=lora, "the second"`
	other.Token, other.Project, other.ServiceID, other.Service, other.Model = "", "red", "svc-000000000009", "embed", "embed"
	good := usage.Sample{At: now, Status: 200, Prompt: 1000, Completion: 200, Cached: 250, First: 100 * time.Millisecond, Took: 2 * time.Second}
	for range 3 {
		a.Usage.Add(&chat, &good)
	}
	a.Usage.Add(&chat, &usage.Sample{At: now, Status: 429, Took: 0})
	a.Usage.Add(&chat, &usage.Sample{At: now, Status: 200, Aborted: true, Completion: 7, Estimated: true, Took: 5 * time.Second})
	a.Usage.Add(&lora, &usage.Sample{At: now, Status: 200, Prompt: 10, Completion: 1, Took: time.Second})
	a.Usage.Add(&other, &usage.Sample{At: now, Status: 200, Prompt: 5, Took: time.Millisecond})
	good.At = now.AddDate(0, 0, -40)
	a.Usage.Add(&chat, &good)
}
