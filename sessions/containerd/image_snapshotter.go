package containerd

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/client"

	"github.com/palisade-run/palisade/sessions"
)

// The snapshotters that are tried, best first: native copies every layer, and works everywhere.
const (
	overlayfs = "overlayfs"
	native    = "native"
)

// settleImages chooses the snapshotter, and ends what pulls of a daemon that died have left.
func (r *Runtime) settleImages(ctx context.Context) error {
	if r.cfg.Snapshotter == "" {
		chosen, err := chooseSnapshotter(ctx, r.client)
		if err != nil {
			return err
		}
		r.cfg.Snapshotter = chosen
		if chosen != overlayfs {
			r.log.Warn("containerd cannot use overlayfs here: every layer of an image is copied, which takes time and space", "snapshotter", chosen)
		}
	}
	return r.sweepPulls(ctx)
}

// chooseSnapshotter returns overlayfs where containerd can use it, else native.
func chooseSnapshotter(ctx context.Context, c *client.Client) (string, error) {
	got, err := c.IntrospectionService().Plugins(ctx, "type==io.containerd.snapshotter.v1")
	if err != nil {
		return "", fmt.Errorf("asking containerd how it keeps layers: %w", down(err))
	}
	reasons := map[string]string{}
	for _, p := range got.Plugins {
		reasons[p.ID] = p.InitErr.GetMessage()
	}
	for _, name := range []string{overlayfs, native} {
		if why, there := reasons[name]; there && why == "" {
			return name, nil
		}
	}
	return "", &Error{
		Err: fmt.Errorf("containerd has neither %s (%s) nor %s (%s) to keep layers with: %w",
			overlayfs, reasons[overlayfs], native, reasons[native], sessions.ErrNotSupported),
		What: "look for disabled_plugins in its settings, /etc/containerd/config.toml",
	}
}
