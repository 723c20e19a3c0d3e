package daemon

import (
	"context"
	"time"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/terminal"
	"github.com/palisade-run/palisade/training/accounts"
	"github.com/palisade-run/palisade/training/idle"
)

// openAccounts makes those who count what sessions use, and who end them when nobody does.
func (d *daemon) openAccounts() {
	d.idle = idle.NewKeeper(d.Config.Sessions.Idle.Config(), d.manager, d.book, time.Now, d.Log.With("room", "idle"))
	d.idle.Device = d.deviceUse
	d.idle.Tell = func(ctx context.Context, s sessions.Session, words string) error {
		return terminal.Tell(ctx, func(ctx context.Context, cmd sessions.ExecSpec) (sessions.Exit, error) {
			return d.manager.Exec(ctx, s.Project, s.ID, cmd)
		}, words)
	}
	d.accounts = accounts.NewMeter(d.store, d.manager, time.Now, d.Log.With("room", "accounts"))
	d.accounts.Sampled = func(s accounts.Sample) { d.idle.Saw(s.Session, s.Since, s.At, s.Cores, s.Memory) }
}

// deviceUse is how busy the accelerators of a session are, 0 to 1, in the mean of those that tell; -1: none does.
func (d *daemon) deviceUse(s sessions.Session) float64 {
	if s.Claim == nil || len(s.Claim.Shares) == 0 {
		return -1
	}
	var busy float64
	told := 0
	for _, node := range d.pool.ledger.Status() {
		for _, share := range s.Claim.Shares {
			if sample, known := node.Samples[share.Device]; known && node.State.Name() == s.Claim.Node && sample.Utilization >= 0 {
				busy += sample.Utilization
				told++
			}
		}
	}
	if told == 0 {
		return -1
	}
	return busy / float64(told)
}
