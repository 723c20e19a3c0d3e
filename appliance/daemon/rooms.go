package daemon

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/palisade-run/palisade/appliance/admin"
	"github.com/palisade-run/palisade/appliance/console"
	"github.com/palisade-run/palisade/training"
	"github.com/palisade-run/palisade/training/figures"
)

// openRuntime opens what runs sessions, and what there is to run them on: this box, or all boxes of the cluster.
func (d *daemon) openRuntime(ctx context.Context) (err error) {
	if d.seat != nil {
		return d.openFleet(ctx)
	}
	c := d.Config
	d.runtime, err = chooseRuntime(ctx, c, runtimeOptions{
		guard: d.guard, executable: d.Executable, credentials: d.vault.Registries().Credentials, log: d.Log.With("room", "runtime"),
	})
	if err != nil {
		return err
	}
	if d.pool, err = openPool(ctx, c, d.registry, d.overuse, d.Log.With("room", "accel")); err != nil {
		return errors.Join(err, d.runtime.close(true))
	}
	d.pool.runtime = d.runtime.name
	return nil
}

// rooms puts the handlers together. Whoever only watches the admin API is let go when ctx ends, so that
// the grace of a stop is for answers of models alone.
func (d *daemon) rooms(ctx context.Context) (*rooms, error) {
	version := d.Version
	version.StartedAt, version.Gateway = time.Now().UTC(), d.gateway+"/v1"
	handler := admin.New(admin.Deps{
		Services: d.manager, Revisions: d.manager, Sessions: d.manager, People: training.NewDesk(d.manager, d.folders), Lines: d.lines, Terminals: d.terminals, Apps: d.apps, Folders: d.folders, Files: d.folders,
		Tokens: d.tokens, Keys: d.keys, Users: d.people, Providers: d.byProviders(), Advertised: d.Config.Advertise, HostSessions: d.Config.People.HostSessions, Projects: d.projects, Limits: d.limits, LimitUse: limitUse{d}, SSHKeys: d.sshKeys, SSH: d.ssh, Pool: d.pool, Queue: d.manager,
		Usage: d.usage, Prices: d.Config.Usage.Prices.Settings(), Accounts: d.accounts, Idle: d.idle, Figures: figures.New(d.points), Autoscaling: d.keeper, Calibrations: d.measures, Pipelines: d.jobs, Jobs: d.jobs, Installs: d.installs, Models: d.installs, Bundles: d.bundles, ModelBytes: d.installs, Live: d.seeing.live, Traces: d.seeing.demand, Captures: d.seeing.captures,
		Images: d.runtime.images(), Registries: d.vault.Registries(), Registry: d.registryOfOthers, ByHand: d.namedByHand, Secrets: d.vault.Named(), Audit: d.audit, Catalogs: d.catalogs, Recipes: d.catalogs, Planning: d.planning, Runtimes: d.runtimes, Doctor: d.doctor, Restart: d.restart, Settings: d.settings, Cluster: boxes{d}, Backups: d.backups, LastLines: d.lastLines.text,
		TrustForwarded: d.Config.Router.TrustForwarded, PublicURL: d.gateway, Version: version, Log: d.Log.With("room", "admin"), Now: time.Now,
	})
	d.apps.Terminal = terminalLine(handler)
	pages, err := console.New(console.Deps{
		API: handler, Changed: d.manager.Changed, Version: version, Log: d.Log.With("room", "console"), Now: time.Now,
	})
	if err != nil {
		return nil, err
	}
	d.deciding.run(pages.Run)
	return &rooms{
		gateway: d.router, admin: until(ctx, handler, d.front), apps: doorUntil(ctx, d.apps), appsAt: d.apps.Address, console: until(ctx, pages, d.front), home: home(version.Version, version.Gateway),
		metrics: promhttp.HandlerFor(d.registry, promhttp.HandlerOpts{Registry: d.registry}), check: d.store.Ping,
	}, nil
}
