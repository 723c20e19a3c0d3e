package accel

import (
	"context"
	"fmt"
	"slices"
)

// Grant says what a session is given for its claim on this box: what each plugin grants, together. A plugin that has
// devices here is asked even when the claim has none of them, so that it can hide them; what it sets for that gives way
// to what others set. Enforced is false if any plugin cannot hold the session to its shares.
func (w *Watcher) Grant(c Claim) (Grant, error) {
	w.mu.Lock()
	listed := w.listed
	w.mu.Unlock()
	shares, here := map[*desk][]Share{}, map[*desk]bool{}
	for _, d := range listed {
		here[d] = true
	}
	for _, share := range c.Shares {
		d, known := listed[share.Device]
		if !known {
			return Grant{}, fmt.Errorf("granting device %s to session %s: %w", share.Device, c.Session, ErrNoDevice)
		}
		shares[d] = append(shares[d], share)
	}
	all := Grant{Env: map[string]string{}, Mounts: map[string]string{}, Enforced: true}
	for _, d := range w.desks {
		if len(shares[d]) == 0 {
			continue
		}
		grant, err := d.grant(shares[d])
		if err == nil {
			err = all.add(grant)
		}
		if err != nil {
			return Grant{}, fmt.Errorf("granting devices to session %s: %w", c.Session, err)
		}
	}
	for _, d := range w.desks {
		if !here[d] || len(shares[d]) > 0 {
			continue
		}
		grant, err := d.grant(nil)
		if err != nil {
			w.cfg.Log.Debug("hiding devices from a session", "session", c.Session, "error", err)
			continue // nothing of them is given to it in any case
		}
		for name, value := range grant.Env {
			if _, set := all.Env[name]; !set {
				all.Env[name] = value
			}
		}
	}
	return all, nil
}

// grant asks the plugin, which lets itself be asked this by many at once.
func (d *desk) grant(shares []Share) (Grant, error) {
	return bounded(context.Background(), d, func(context.Context) (Grant, error) { return d.plugin.Grant(shares) })
}

// add merges the grant of another plugin's devices. Two that contradict each other are an error.
func (g *Grant) add(more Grant) error {
	g.CDI = append(g.CDI, more.CDI...)
	g.Nodes = slices.Compact(slices.Sorted(slices.Values(append(g.Nodes, more.Nodes...))))
	for name, value := range more.Env {
		if before, set := g.Env[name]; set && before != value {
			return fmt.Errorf("%s is %q for other devices and %q for these", name, before, value)
		}
		g.Env[name] = value
	}
	for source, target := range more.Mounts {
		if before, set := g.Mounts[source]; set && before != target {
			return fmt.Errorf("%s is mounted at %s for other devices and at %s for these", source, before, target)
		}
		g.Mounts[source] = target
	}
	g.Enforced = g.Enforced && more.Enforced
	return nil
}
