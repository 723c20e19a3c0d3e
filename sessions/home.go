package sessions

import (
	"context"
	"fmt"

	"github.com/palisade-run/palisade/catalog/folders"
)

// LabelBox is on each node of a cluster: its name. A session that writes to a folder has it in its selector: it runs where the
// folder has its home.
const LabelBox = "palisade.run/box"

// atHome has a session run where the folders are that it writes to.
func (d *Demand) atHome(mounts []Mount) error {
	for _, m := range mounts {
		if m.ReadOnly || m.Folder.Home == "" || m.Folder.Sealed {
			continue
		}
		if at := d.Selector[LabelBox]; at != "" && at != m.Folder.Home {
			return fmt.Errorf("%w: folder %s is written to on box %s, its home, and the session is to run on %s; mount it read-only, or let the session run there", ErrInvalid, m.Folder.Name, m.Folder.Home, at)
		}
		if d.Selector == nil {
			d.Selector = map[string]string{}
		}
		d.Selector[LabelBox] = m.Folder.Home
	}
	return nil
}

// seen is a folder as this box can look at it: one of another box with what is to be known of its files.
func (m *Manager) seen(ctx context.Context, f folders.Reached) (folders.Reached, error) {
	if !f.Away {
		return f, nil
	}
	if m.Glimpse == nil {
		return f, fmt.Errorf("%w: folder %s has its home on box %s", ErrInvalid, f.Name, f.Home)
	}
	dir, err := m.Glimpse(ctx, f.Folder)
	if err != nil {
		return f, fmt.Errorf("looking what is in folder %s: %w", f.Name, err)
	}
	f.Path = dir
	return f, nil
}
