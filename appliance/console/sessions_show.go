package console

import (
	"cmp"
	"errors"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/console/ui"
)

// What a page of a session shows at most.
const (
	metricNames  = 24
	metricPoints = 160
	mostDevices  = 8
	deviceTime   = 15 * time.Minute
)

// sessionView is what the page of a session shows.
type sessionView struct {
	sessionRow
	Live    bool // it has not ended
	Running bool
	Personal,
	Mine bool // who looks made it
	Enter   bool // who looks may come in, end it and copy it
	History []historyStep
	Spans   []ui.Span
	Stats   *api.Stats
	Metrics *metricsView
	Charts  []deviceChart
	SSH     string // a line for a shell; "": there is no way in by SSH
	Mounts  []mountRow
	Cluster []clusterRow
	Idle    *api.SessionIdle
}

// historyStep is one state that a session was in.
type historyStep struct {
	State, Word, Reason string
	At                  time.Time
	For                 float64 // seconds
	Now                 bool
}

type deviceChart struct {
	ID, Title string
	Chart     ui.Chart
}

type mountRow struct {
	api.SessionMount
	Name string // of the folder; "": who looks may not see it
}

type clusterRow struct {
	api.Container
	State   string
	Look    string
	Devices []string
}

type metricsView struct {
	api.SessionMetrics
	Plots  []metricPlot
	Hidden int // figures that are not drawn
	Only   string
}

type metricPlot struct {
	Name   string
	Last   *float64
	Points []ui.Point
	Count  int
}

func showSession(v *View) (any, error) {
	s, err := v.API.Session(v.Context(), v.PathValue("id"))
	if err != nil {
		return nil, err
	}
	out := sessionView{
		sessionRow: rowOf(v, s), Live: s.EndedAt == nil, Running: s.Status == "RUNNING", Personal: s.Type == "interactive" || s.Type == "batch",
		Mine: s.CreatedBy == v.Me.Name, Idle: s.Idle,
	}
	out.Enter = v.May("owner") || v.May("member") && out.Mine
	var wg sync.WaitGroup
	wg.Go(func() { out.history(v) })
	wg.Go(func() { out.figures(v) })
	wg.Go(func() { out.written(v) })
	wg.Go(func() { out.mounts(v) })
	wg.Go(func() { out.ways(v) })
	wg.Wait()
	if s.Cluster != nil {
		for _, c := range s.Cluster.Containers {
			out.Cluster = append(out.Cluster, clusterRow{c, stateWord(v, c.Status), c.Status, devicesOf(c.Claim)})
		}
	}
	return out, nil
}

// history is what the session went through: what cannot be had is left out.
func (p *sessionView) history(v *View) {
	all, err := v.API.StatusHistory(v.Context(), p.ID)
	if err != nil {
		return
	}
	p.History, p.Spans = steps(all, v.console.Now().Truncate(10*time.Second), p.EndedAt != nil, func(status string) string { return stateWord(v, status) })
}

// steps are the states that transitions lead to, newest first, and the spans of the time line, oldest first. The last state
// goes on until now, unless it is over.
func steps(all []api.Transition, now time.Time, over bool, word func(string) string) (history []historyStep, spans []ui.Span) {
	for i, t := range all {
		step := historyStep{State: t.To, Word: word(t.To), Reason: t.Reason, At: t.At}
		end := now
		if i+1 < len(all) {
			end = all[i+1].At
		}
		last := i+1 == len(all)
		if step.Now = last && !over; !last || !over {
			step.For = max(end.Sub(t.At).Seconds(), 0)
			spans = append(spans, ui.Span{State: t.To, Word: step.Word, From: t.At, For: max(end.Sub(t.At), 0)})
		}
		history = append(history, step)
	}
	for i, j := 0, len(history)-1; i < j; i, j = i+1, j-1 {
		history[i], history[j] = history[j], history[i]
	}
	return history, spans
}

// figures are what it uses now, and what its devices did.
func (p *sessionView) figures(v *View) {
	if !p.Running {
		return
	}
	if stats, err := v.API.Stats(v.Context(), p.ID); err == nil {
		p.Stats = &stats
	}
	if p.Claim == nil {
		return
	}
	now := v.console.Now()
	for i, d := range p.Claim.Devices {
		if i == mostDevices {
			return
		}
		got, err := v.API.DeviceHistory(v.Context(), d.Device, api.Period{From: now.Add(-deviceTime), To: now, Step: 10 * time.Second})
		if err != nil {
			continue
		}
		chart := ui.Chart{Unit: "share", Max: new(1.0), Sync: "devices", Empty: v.Say("sessions.no_figures"), Series: []ui.Series{{Label: v.Say("sessions.utilization")}, {Label: v.Say("sessions.memory"), Unit: "bytes"}}}
		for _, point := range got.Points {
			chart.Times = append(chart.Times, point.At)
			chart.Series[0].Values = append(chart.Series[0].Values, known(point.Utilization))
			chart.Series[1].Values = append(chart.Series[1].Values, known(float64(point.MemoryUsed)))
		}
		p.Charts = append(p.Charts, deviceChart{"device-" + strconv.Itoa(i), strings.TrimSpace(d.Ref + " " + d.Name), chart})
	}
}

// written are the figures that its programs write of themselves.
func (p *sessionView) written(v *View) {
	if !p.Personal {
		return
	}
	q := api.SessionMetricsQuery{Points: metricPoints}
	only := strings.TrimSpace(v.Parameter("metrics"))
	if only != "" {
		q.Names = []string{only}
	}
	m, err := v.API.SessionMetrics(v.Context(), p.ID, q)
	if err != nil || len(m.Series) == 0 && only == "" {
		return
	}
	out := metricsView{SessionMetrics: m, Only: only, Hidden: m.NamesLeftOut}
	for i, series := range m.Series {
		if i >= metricNames {
			out.Hidden++
			continue
		}
		one := metricPlot{Name: series.Name, Last: series.Last, Count: series.Count}
		for _, at := range series.Points {
			one.Points = append(one.Points, ui.Point{X: at.X, Y: at.Last, Low: at.Min, High: at.Max})
		}
		out.Plots = append(out.Plots, one)
	}
	p.Metrics = &out
}

// mounts are the directories that it sees, by the names of their folders.
func (p *sessionView) mounts(v *View) {
	if len(p.Session.Mounts) == 0 {
		return
	}
	names := map[string]string{}
	if folders, err := v.API.Folders(v.Context()); err == nil {
		for _, f := range folders {
			names[f.ID] = f.Ref
		}
	}
	for _, m := range p.Session.Mounts {
		p.Mounts = append(p.Mounts, mountRow{m, names[m.Folder]})
	}
}

// ways into it.
func (p *sessionView) ways(v *View) {
	if !p.Personal || !p.Live {
		return
	}
	if at, err := v.API.SSH(v.Context()); err == nil && at.Listen != "" {
		p.SSH = sshLine(at.Listen, v.Host, p.Name)
	}
}

// sshLine is how one comes in by SSH, from where a browser reaches the console at host.
func sshLine(listen, host, name string) string {
	at, port, err := net.SplitHostPort(listen)
	if err != nil {
		return ""
	}
	if here, _, err := net.SplitHostPort(host); err == nil {
		host = here
	}
	if ip := net.ParseIP(at); ip != nil && !ip.IsUnspecified() || ip == nil && at != "" {
		host = at
	}
	if port == "22" {
		return "ssh " + name + "@" + host
	}
	return "ssh -p " + port + " " + name + "@" + host
}

// appsView are the apps of a session.
type appsView struct {
	Session string
	Apps    []api.App
	Enter   bool
	Owner   string
	Problem *api.Problem
}

func sessionsRaws() []Raw {
	return []Raw{
		{Pattern: "GET /sessions/{id}/apps", Serve: sessionApps},
		{Pattern: "POST /sessions/{id}/apps/{app}", Serve: openApp},
	}
}

// sessionApps is the list of a session's apps, which is asked for by itself: it looks into the session.
func sessionApps(v *View, w http.ResponseWriter) error {
	s, err := v.API.Session(v.Context(), v.PathValue("id"))
	if err != nil {
		return err
	}
	out := appsView{Session: s.ID, Owner: s.CreatedBy, Enter: v.May("owner") || v.May("member") && s.CreatedBy == v.Me.Name}
	if out.Apps, err = v.API.Apps(v.Context(), s.ID); err != nil {
		out.Problem = problemOf(err)
	}
	slices.SortStableFunc(out.Apps, func(a, b api.App) int { return cmp.Compare(appRank(a), appRank(b)) })
	v.console.fragment(w, v, http.StatusOK, "sessions-apps", out)
	return nil
}

// appRank puts what everybody looks for first, and what does not answer last.
func appRank(a api.App) int {
	switch {
	case a.Name == "terminal":
		return 0
	case a.Status == "silent":
		return 2
	}
	return 1
}

// openApp lets a browser into an app, in a tab of its own. The app is at another origin, to which a form may not be redirected:
// the answer is a page that goes on.
func openApp(v *View, w http.ResponseWriter) error {
	link, err := v.API.AppLink(v.Context(), v.PathValue("id"), v.PathValue("app"))
	if err != nil {
		return err
	}
	to := cmp.Or(link.URL, link.Path)
	if !strings.HasPrefix(to, "https://") && !strings.HasPrefix(to, "http://") && !strings.HasPrefix(to, "/") {
		return errors.New("the link of an app is no address")
	}
	w.Header().Set("Refresh", "0;url="+to)
	v.console.show(w, v, Page{Name: "sessions/open", Section: "sessions", Still: true}, http.StatusOK, struct{ App, URL string }{link.App, to})
	return nil
}
