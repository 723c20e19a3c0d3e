package daemon

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/palisade-run/palisade/appliance/admin"
	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/audit"
	"github.com/palisade-run/palisade/appliance/cluster/door"
	"github.com/palisade-run/palisade/appliance/people"
	"github.com/palisade-run/palisade/appliance/store"
	"github.com/palisade-run/palisade/router"
	"github.com/palisade-run/palisade/router/quota"
	"github.com/palisade-run/palisade/router/usage"
)

// openFollower makes the rooms of a box that routes, and decides nothing.
func (d *daemon) openFollower(ctx context.Context) (err error) {
	c := d.Config
	if d.store, err = store.Open(ctx, store.Options{DSN: c.DSN(), Shared: true, Log: d.Log}); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.closeBooks(), d.store.Close())
		}
	}()
	registerVitals(d.registry, d.Version, c.Data)
	d.spilled = newSpilled(c.Data, d.store, d.Log.With("room", "usage"))
	if err = d.spilled.collect(ctx); err != nil {
		return err
	}
	if err = d.openTokens(ctx); err != nil {
		return err
	}
	d.spilled.added = func(row usage.Row) { d.tokens.Charge(row.Token, row.Project, row.Prompt+row.Completion) }
	d.router = router.New(c.Router, d.tokens, d.registry, d.Log.With("room", "router"))
	d.traffic = newTraffic(d.router, &d.elders)
	if err = d.shareTraffic(ctx); err != nil {
		return err
	}
	d.openBooks()
	if d.seeing, err = d.openSeeing(ctx); err != nil {
		return err
	}
	observers := d.seeing.observers(d.usage)
	observers.Held = func(string) { d.seat.tellNow() }
	d.router.Observe(observers)
	if err = d.openVault(ctx); err != nil {
		return err
	}
	if err = d.rereadLimits(ctx); err != nil {
		return err
	}
	if d.folders, err = d.openFolders(); err != nil {
		return err
	}
	d.routeByTable()
	return nil
}

// rereadLimits puts into force what projects and people may use of the router.
func (d *daemon) rereadLimits(ctx context.Context) error {
	settings, err := d.Config.LimitSettings()
	if err != nil {
		return err
	}
	if d.limits, err = people.OpenLimits(ctx, d.store, settings, time.Now); err != nil {
		return err
	}
	projects, users := map[string]quota.Limits{}, map[string]quota.Limits{}
	if _, _, err = d.limitsOf(people.LimitProject, projects); err != nil {
		return err
	}
	if _, _, err = d.limitsOf(people.LimitUser, users); err != nil {
		return err
	}
	return d.limitRequests(ctx, projects, users)
}

// routeByTable has a follower route by what was read last.
func (d *daemon) routeByTable() {
	if d.turn != nil {
		return
	}
	d.traffic.applying.Lock()
	defer d.traffic.applying.Unlock()
	t, _, there := d.seat.tables.current() // with the lock: another goroutine may apply a later one meanwhile
	if !there {
		return
	}
	d.traffic.route(t.Rows)
	d.revision.Store(t.Revision)
}

// What others are nudged about.
const (
	nudgeTokens = "tokens"
	nudgeLimits = "limits"
)

// nudgePatience bounds how long a change waits until the other boxes are told: they look by themselves, too.
const nudgePatience = 2 * time.Second

// nudge tells the other boxes that rows have changed which they hold in memory.
func (d *daemon) nudge(ctx context.Context, what string) error {
	if d.turn == nil {
		return nil
	}
	telling, cancel := context.WithTimeout(context.WithoutCancel(ctx), nudgePatience)
	defer cancel()
	if err := d.seat.agreement.Nudge(telling, what); err != nil {
		d.Log.Warn("the other boxes were not told at once; they look every 30 seconds", "error", err)
	}
	return nil
}

// nudging tells the other boxes of changed tokens.
type nudging struct {
	router.TokenStore
	d *daemon
}

// SaveToken implements router.TokenStore.
func (n nudging) SaveToken(ctx context.Context, t router.Token) error {
	if err := n.TokenStore.SaveToken(ctx, t); err != nil {
		return err
	}
	return n.d.nudge(ctx, nudgeTokens)
}

func (d *daemon) tokenRows() router.TokenStore {
	if d.turn == nil {
		return d.store
	}
	return nudging{d.store, d}
}

// rereadEvery is how often a follower reads again what it may not have been told of.
const rereadEvery = 30 * time.Second

// followNudges has a follower read again what another box has changed.
func (d *daemon) followNudges(ctx context.Context) {
	if d.turn != nil {
		return
	}
	again := make(chan string, 16)
	go d.seat.agreement.FollowNudges(ctx, func(what string) {
		select {
		case again <- what:
		case <-ctx.Done():
		}
	})
	tick := time.NewTicker(rereadEvery)
	defer tick.Stop()
	for {
		what := ""
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case what = <-again:
		}
		var err error
		if what == "" || what == nudgeTokens {
			err = d.tokens.Reread(ctx)
		}
		if what == "" || what == nudgeLimits {
			err = errors.Join(err, d.rereadLimits(ctx))
		}
		if err != nil && ctx.Err() == nil {
			d.Log.Warn("what another box has changed cannot be read now; it is tried again", "error", err)
		}
	}
}

// openRooms puts the handlers together.
func (d *daemon) openRooms(ctx context.Context) (*rooms, error) {
	if !d.follows() {
		return d.rooms(ctx)
	}
	version := d.Version
	d.audit = audit.New(d.store, filepath.Join(d.Config.Data, "audit.head"), time.Now, d.Log.With("room", "audit"))
	d.deciding.run(d.audit.Run)
	version.StartedAt, version.Gateway = time.Now().UTC(), d.gateway+"/v1"
	own := admin.New(admin.Deps{
		Cluster: boxes{d}, Doctor: d.followersDoctor, Restart: d.restart, Settings: d.settings, LastLines: d.lastLines.text, Audit: d.audit, Advertised: d.Config.Advertise,
		TrustForwarded: d.Config.Router.TrustForwarded, PublicURL: d.gateway, Version: version, Log: d.Log.With("room", "admin"), Now: time.Now,
	})
	pass := d.seat.doors.Forward(door.Forward{Leader: d.seat.leader, Local: admin.LocalUser, Trust: d.Config.Router.TrustForwarded, Fail: d.seat.noLeader})
	return &rooms{
		gateway: d.router, passOn: until(ctx, d.ofThisBox(own, stripped(pass)), d.front), admin: until(ctx, pass, d.front), apps: doorUntil(ctx, asApps(pass)), appsAt: func(string) string { return "" },
		console: until(ctx, pass, d.front), home: home(version.Version, d.gateway+"/v1"),
		metrics: promhttp.HandlerFor(d.registry, promhttp.HandlerOpts{Registry: d.registry}), check: d.store.Ping, note: d.note,
	}, nil
}

// followersDoctor looks at a box that decides nothing.
func (d *daemon) followersDoctor(ctx context.Context) []api.Check {
	checks := []api.Check{
		{Name: "appliance", Status: api.CheckOK, Detail: d.whereItAnswers()},
		d.checkStore(ctx), checkDisk(d.Config.Data), {Name: "runtime", Status: api.CheckOK, Detail: d.seat.runtime.name + ": " + d.seat.runtime.why},
	}
	checks = append(checks, d.checkSeat()...)
	return append(checks, d.seat.runtime.diagnose(ctx)...)
}

// note is what who asks whether this box is ready is told beside.
func (d *daemon) note() string {
	if d.seat == nil {
		return ""
	}
	if err := d.seat.outOfTouch(time.Now()); err != nil {
		return err.Error()
	}
	return ""
}

// ofThisBox has what a user of this box asks about itself answered here, whoever leads; where nobody does, what is wrong with it, too.
func (d *daemon) ofThisBox(own, others http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, below := strings.CutPrefix(r.URL.Path, api.Prefix+"/")
		if below && admin.IsLocal(r.Context()) && (path == "restart" || path == "version" || path == "settings" || strings.HasPrefix(path, "cluster/self") || path == "doctor" && d.seat.trouble(time.Now()) != nil) {
			own.ServeHTTP(w, r)
			return
		}
		others.ServeHTTP(w, r)
	})
}

// appsHeader is in what a box passes on that came to its port of apps.
const appsHeader = "Palisade-Apps"

func stripped(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del(appsHeader)
		next.ServeHTTP(w, r)
	})
}

func asApps(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set(appsHeader, "1")
		next.ServeHTTP(w, r)
	})
}
