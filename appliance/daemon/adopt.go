package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/process"
)

// adopt takes over what runs. A containerd that is just being restarted is waited for: whoever takes its sessions for
// ended starts them twice.
func (d *daemon) adopt(ctx context.Context) error {
	if err := d.seesAll(ctx); err != nil {
		return err
	}
	deadline := time.Now().Add(containerdPatience)
	for {
		err := d.manager.Adopt(ctx)
		if !errors.Is(err, sessions.ErrRuntimeDown) || time.Now().After(deadline) {
			return err
		}
		d.Log.Warn("what runs cannot be seen yet; trying again", "error", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// seesAll refuses a runtime that does not see what runs in the other one: it would be taken for ended, its devices given
// to somebody else, and the same started again beside it.
func (d *daemon) seesAll(ctx context.Context) error {
	all, err := d.store.Sessions(ctx)
	if err != nil {
		return err
	}
	unseen := 0
	for _, s := range all {
		kept := d.runtime.containerd != nil
		if s.Image == process.HostImage {
			kept = d.runtime.process != nil
		}
		if kept || s.Status.Terminal() || s.PID <= 1 {
			continue
		}
		if id, runs := owner(s.PID); runs && id == s.ID {
			unseen++
		}
	}
	if unseen == 0 {
		return nil
	}
	return hinted{
		fmt.Errorf("%d sessions run that --runtime %s does not see", unseen, d.Config.Runtime),
		"start with --runtime auto, which sees both kinds; or remove their services first",
	}
}
