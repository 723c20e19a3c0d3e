package daemon

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/palisade-run/palisade/appliance/admin"
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
		Sessions: d.manager, Labels: labels, Key: key, URL: d.appsURL(), Fixed: d.Config.Apps.URL != "",
		Who: func(r *http.Request) (apps.Actor, bool) {
			// Cookies know no ports: the console's comes here too, and with whatever a page of an app asks for. It is none of theirs.
			r = r.Clone(r.Context())
			r.Header.Del("Cookie")
			actor, _ := d.rights().Identify(r, nil) // where its use was not kept, the API tells the log of it
			return apps.Actor{Name: actor.Name, User: actor.User.Name, Key: actor.Key}, actor.Via != ""
		},
		Good: func(id string) bool {
			_, good := d.keys.Find(id)
			return good
		},
		May: func(by apps.Actor, s sessions.Session) bool {
			a, may := d.rights().Again(actorOf(by))
			return may && d.rights().Enters(a, s)
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

// rights say what somebody may.
func (d *daemon) rights() admin.Rights {
	return admin.Rights{Keys: d.keys, Users: d.people, Parts: d.projects}
}

// actorOf is who came by the door of apps, as the API knows them.
func actorOf(by apps.Actor) admin.Actor { return admin.ActorOf(by.Name, by.User, by.Key) }

// terminalLine opens the line to a session's terminal for who came by the door: the API's own, on behalf of who is in.
func terminalLine(handler http.Handler) func(http.ResponseWriter, *http.Request, sessions.Session, apps.Actor) {
	return func(w http.ResponseWriter, r *http.Request, s sessions.Session, by apps.Actor) {
		r = r.Clone(admin.As(r.Context(), actorOf(by)))
		r.Header.Set("Origin", "http://"+r.Host) // the door has looked at it, and knows by which names clients call this box
		r.Header.Del("Sec-Fetch-Site")
		r.Header.Del("Cookie") // the console's comes here too, from whoever is logged in: a line by it is for the console's own pages
		query := r.URL.Query()
		query.Set("project", s.Project)
		r.URL = &url.URL{Path: api.Prefix + "/sessions/" + s.ID + "/terminal", RawQuery: query.Encode()}
		handler.ServeHTTP(w, r)
	}
}

// doorUntil lets lines of the door go when ctx ends: browsers come back, and find the next process. Answers go on.
func doorUntil(ctx context.Context, door http.Handler) http.Handler {
	lines := until(ctx, door, nil)
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

// enterApps opens a port for apps alone, or takes it over: whatever a page of one is, it is none of the console's origin.
func (d *daemon) enterApps(ctx context.Context, l net.Listener) (err error) {
	h := d.house
	var wanted bool
	h.appListen, wanted = d.Config.AppsListen()
	if l != nil && (h.appListen == "" || h.before != nil && h.before.hello.Apps != h.appListen) {
		_ = l.Close()
		l = nil
	}
	if h.appListen == "" {
		if u, err := url.Parse(d.Config.Apps.URL); err == nil {
			h.front.appHost = u.Host
		}
		return nil
	}
	alike := daemon{Options: d.Options}
	alike.Config.Listen = h.appListen
	secure, scheme, err := alike.tls()
	switch {
	case err != nil || l != nil:
	case wanted:
		l, err = listenTCP(ctx, h.appListen)
	default:
		l, err = d.listenNext(ctx)
	}
	if err != nil {
		return hinted{fmt.Errorf("opening the port of apps (apps.listen): %w", err), "choose another one with apps.listen in the settings, or turn it off there"}
	}
	h.appURL = scheme + "://" + reachable(l.Addr())
	h.appServer = newServer(h.front.appsAlone(), d.Log)
	h.doors = append(h.doors, &doorway{Listener: l, secure: secure, apps: true})
	return nil
}

// keptApps is the file in which it is written at which port apps were last, and beside which.
const keptApps = "apps.port"

// listenNext opens the port that apps had before, so that pages which are open find it again; else the next one to the main
// port's; else a free one.
func (d *daemon) listenNext(ctx context.Context) (net.Listener, error) {
	file, main := filepath.Join(d.Config.Data, keptApps), ""
	for _, at := range d.doors {
		if !at.local() && !at.shell {
			main = at.Addr().String()
			break
		}
	}
	host, _, err := net.SplitHostPort(d.appListen)
	if err != nil {
		return nil, err
	}
	try := []string{d.appListen, net.JoinHostPort(host, "0")}
	kept, _ := os.ReadFile(file) // without it the next one does as well
	if beside, port, ok := strings.Cut(strings.TrimSpace(string(kept)), " "); ok && beside == main {
		try = slices.Insert(try, 0, net.JoinHostPort(host, port))
	}
	var l net.Listener
	for _, at := range try {
		if l, err = listenTCP(ctx, at); err == nil {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	if _, asked, _ := net.SplitHostPort(d.appListen); asked != "0" && asked != port {
		d.Log.Warn("the port of apps is taken; they have another one", "wanted", d.appListen, "listen", l.Addr().String(), "hint", "choose one with apps.listen in the settings")
	}
	if err := os.WriteFile(file, []byte(main+" "+port+"\n"), 0o600); err != nil { //nolint:gosec // a file of the data directory
		d.Log.Warn("the port of apps is not kept for the next start", "error", err)
	}
	return l, nil
}

// appsURL is where browsers find apps; "" nowhere.
func (d *daemon) appsURL() string {
	advertised, err := url.Parse(d.Config.Advertise)
	own, ownErr := url.Parse(d.appURL)
	switch {
	case d.Config.Apps.URL != "":
		return d.Config.Apps.URL
	case d.appURL != "" && d.Config.Advertise != "" && err == nil && ownErr == nil:
		return own.Scheme + "://" + net.JoinHostPort(advertised.Hostname(), own.Port())
	}
	return d.appURL
}

func (d *daemon) checkApps() api.Check {
	check := api.Check{Name: "apps", Status: api.CheckOK, Detail: "browsers find apps of sessions at " + d.appsURL()}
	switch {
	case d.appsURL() == "":
		check.Detail = "apps of sessions are shown to no browser (apps.listen is off, and apps.url names no other origin); `palisade app` brings them to a port of one's own box"
	case d.Config.Advertise != "" && d.Config.Apps.URL == "":
		check.Status = api.CheckWarning
		check.Detail += ", which nobody has said can be reached: advertise is set, and apps.url is not"
		check.Hint = "set apps.url to where browsers reach " + d.appURL + ", then: palisade restart"
	}
	return check
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

// toApps answers on the main port where an app is asked for. No page of one is shown there: the origin is the console's.
// Programs that show a key are no browsers, and neither is who comes by the socket.
func (f *front) toApps(w http.ResponseWriter, r *http.Request, rs *rooms) {
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	at := rs.appsAt(r.Host)
	switch {
	case admin.BySocket(r.Context()) || strings.EqualFold(scheme, "Bearer"):
		rs.apps.ServeHTTP(w, r)
	case at == "":
		writeText(w, http.StatusNotFound, "apps of sessions are not shown to browsers here (apps.listen is off); `palisade app SESSION NAME` brings one to a port of your own\n")
	default: // an origin that the owner has set, or another port of the host that the client calls
		http.Redirect(w, r, at+r.URL.RequestURI(), http.StatusTemporaryRedirect) //nolint:gosec // what the client chooses is the path alone
	}
}
