package daemon

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/palisade-run/palisade/appliance/admin"
	"github.com/palisade-run/palisade/appliance/admin/keys"
	"github.com/palisade-run/palisade/appliance/api"
	sessionimages "github.com/palisade-run/palisade/firmware-images/sessions"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/training/apps"
)

// openApps makes the door to sessions' apps.
func (d *daemon) openApps() error {
	key, err := apps.OpenKey(filepath.Join(d.Config.Data, "apps.key"))
	if err != nil {
		return err
	}
	known, err := sessionimages.References()
	if err != nil {
		return err
	}
	labels := func(ctx context.Context, s sessions.Session) map[string]string {
		return sessionimages.Labels(known, s.Image, d.imageLabels(ctx, s))
	}
	d.apps, err = apps.New(apps.Deps{
		Sessions: d.manager, Labels: labels, Key: key, URL: cmp.Or(d.Config.Apps.URL, d.appURL, d.gateway), Own: d.appURL != "",
		Fixed: d.Config.Apps.URL != "" || d.appURL == "" && d.Config.Advertise != "",
		Who: func(r *http.Request) (apps.Actor, bool) {
			actor, _ := admin.Identify(r, d.keys) // where its use was not kept, the API tells the log of it
			return apps.Actor{Name: actor.Name, Key: actor.Key}, actor.Via != ""
		},
		Good: func(id string) bool {
			return slices.ContainsFunc(d.keys.List(), func(k keys.Key) bool { return k.ID == id })
		},
		Access: d.book.Opened, Log: d.Log.With("room", "apps"), Now: time.Now,
	})
	return err
}

// imageLabels are those of the image that a session was made of.
func (d *daemon) imageLabels(ctx context.Context, s sessions.Session) map[string]string {
	if d.runtime.containerd == nil {
		return nil
	}
	labels, err := d.runtime.containerd.ImageLabels(ctx, s.ID)
	if err != nil { // of a process, or one that goes just now
		return nil
	}
	return labels
}

// terminalLine opens the line to a session's terminal for who came by the door: the API's own, on behalf of who is in.
func terminalLine(handler http.Handler) func(http.ResponseWriter, *http.Request, sessions.Session, apps.Actor) {
	return func(w http.ResponseWriter, r *http.Request, s sessions.Session, by apps.Actor) {
		r = r.Clone(admin.LocalPeer(r.Context(), by.Name))
		r.Header.Del("Origin") // the door has looked at it, and knows by which names clients call this box
		query := r.URL.Query()
		query.Set("project", s.Project)
		r.URL = &url.URL{Path: api.Prefix + "/sessions/" + s.ID + "/terminal", RawQuery: query.Encode()}
		handler.ServeHTTP(w, r)
	}
}

// doorUntil lets lines of the door go when ctx ends: browsers come back, and find the next process. Answers go on.
func doorUntil(ctx context.Context, door http.Handler) http.Handler {
	lines := until(ctx, door)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
			lines.ServeHTTP(w, r)
			return
		}
		door.ServeHTTP(w, r)
	})
}

// appsDoor is the name of the socket of apps for a successor, and for systemd.
const appsDoor = "palisade-apps"

// enterApps opens a port for apps alone, or takes it over, where the settings name one.
func (d *daemon) enterApps(ctx context.Context, l net.Listener) (err error) {
	h, at := d.house, d.Config.Apps.Listen
	if l != nil && (at == "" || h.before != nil && h.before.hello.Apps != at) {
		_ = l.Close()
		l = nil
	}
	if at == "" {
		return nil
	}
	alike := daemon{Options: d.Options}
	alike.Config.Listen = at
	secure, scheme, err := alike.tls()
	if err == nil && l == nil {
		l, err = listenTCP(ctx, at)
	}
	if err != nil {
		return hinted{fmt.Errorf("opening the port of apps (apps.listen): %w", err), "choose another one with apps.listen in the settings, or leave it out there"}
	}
	h.appURL = scheme + "://" + reachable(l.Addr())
	h.front.appURL = cmp.Or(d.Config.Apps.URL, h.appURL)
	h.appServer = newServer(h.front.appsAlone(), d.Log)
	h.doors = append(h.doors, &door{Listener: l, secure: secure, apps: true})
	return nil
}

// appsAlone serves apps and nothing else.
func (f *front) appsAlone() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch rs := f.rooms.Load(); {
		case r.URL.Path == "/healthz":
			writeText(w, http.StatusOK, "ok\n")
		case rs == nil:
			starting(w)
		case apps.Handles(r.URL.Path):
			rs.apps.ServeHTTP(w, r)
		default:
			writeText(w, http.StatusNotFound, "there is nothing here but apps of sessions, at /sessions/ID/apps/NAME/\n")
		}
	})
}

// endApps ends what goes on at the port of apps, in time.
func (h *house) endApps(ctx context.Context) {
	if h.appServer.Shutdown(ctx) != nil {
		_ = h.appServer.Close() // it was given its time
	}
}
