package console

import (
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/palisade-run/palisade/appliance/api"
)

const (
	homeServices = 12               // rows on the first page
	homeHappened = 10               // of what happened last
	doctorAge    = 20 * time.Second // a look at the box takes its time, and pages ask all the while
)

// homeData is the box at a glance.
type homeData struct {
	Own      []Concern  // of the viewer alone
	Concerns []Concern  // of what all see who are in the same projects
	Glance   api.Glance // of the project
	Services api.ServiceOverview
	Nodes    []boxOnPage
	Devices  int
	InUse    int // devices of which somebody holds a part
	Happened []happened
	Empty    bool // nothing was ever run here: what to do first
	Version  string
}

// happened is a line of what happened last.
type happened struct {
	At        time.Time
	Tone      string
	Text      string // key of the sentence
	Args      []any
	Name, Who string
	Path      string // "" where there is no page
	Note      string
}

func homePages() []Page {
	return []Page{{Pattern: "/{$}", Name: "home", Section: "home", Data: homePage}}
}

func homeActions() []Action {
	return []Action{
		{Pattern: "/home/first", Do: installFirst},
	}
}

// sideBySide runs functions at once, and returns the first error in their order.
func sideBySide(do ...func() error) error {
	errs := make([]error, len(do))
	var all sync.WaitGroup
	for i, one := range do {
		all.Go(func() { errs[i] = one() })
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func homePage(v *View) (any, error) {
	ctx := v.Context()
	f := facts{now: v.console.Now(), me: v.Me, project: v.Project, role: v.Role()}
	var out homeData
	var nodes []api.Node
	var records []api.AuditRecord
	ask := []func() error{
		func() (err error) { out.Glance, err = v.API.Glance(ctx, false); return err },
		func() (err error) {
			out.Services, err = v.API.ServiceOverview(ctx, api.ServiceOverviewFilter{Sort: "requests", Down: true, Limit: homeServices})
			return err
		},
		func() (err error) { nodes, err = v.API.Nodes(ctx); return err },
		func() (err error) { f.devices, err = v.API.Devices(ctx); return err },
	}
	if !v.Shared { // one's own keys end in days: they are told where the page is asked for, and not followed
		ask = append(ask, func() (err error) { f.keys, err = v.API.Keys(ctx); return err })
	}
	if v.Me.Admin {
		ask = append(ask,
			func() (err error) { f.glance, err = v.API.Glance(ctx, true); return err },
			func() (err error) { f.doctor, err = v.API.DoctorWithin(ctx, doctorAge); return err },
			func() (err error) {
				records, err = v.API.Audit(ctx, api.AuditQuery{All: true}, homeHappened)
				return err
			})
	}
	if err := sideBySide(ask...); err != nil {
		return nil, err
	}
	if f.glance.Expiring = out.Glance.Expiring; !v.Me.Admin {
		f.glance = out.Glance
	}
	out.Own = slices.Concat(f.ofPerson(), f.ofKeys())
	f.me, f.keys = api.Me{Admin: f.me.Admin}, nil // the rest is the same for all who are in the same projects
	out.Concerns = concerns(f)
	out.Nodes = boxes(nodes, f.devices, v.Say)
	for _, d := range f.devices {
		if out.Devices++; len(d.Holders) > 0 {
			out.InUse++
		}
	}
	out.Happened = whatHappened(f, out.Glance.Happened, records)
	out.Empty = out.Glance.Services.Total == 0 && out.Glance.Sessions.Total == 0 && len(out.Glance.Installs) == 0
	out.Version = v.console.Version.Version
	return out, nil
}

// whatHappened merges what the rows of a project tell with the audit record, where the viewer may read it. It is pure.
func whatHappened(f facts, all []api.Happening, records []api.AuditRecord) []happened {
	var out []happened
	if len(records) > 0 { // it tells of all changes: what they made need not be told twice
		for _, r := range records {
			one := happened{At: r.At, Text: "home.changed", Name: r.Target, Who: r.Actor, Note: r.Error, Args: []any{inWords(r.Action)}}
			if r.Status >= 400 {
				one.Tone = "warning"
			}
			out = append(out, one)
		}
	}
	for _, h := range all {
		one := happened{At: h.At, Text: "home." + h.Kind, Name: h.Name, Who: h.By, Note: h.Note}
		switch h.Kind {
		case api.SessionCreated, api.SessionEnded:
			one.Path = f.page(h.Project, "/sessions/"+url.PathEscape(h.ID))
			if h.Result == "failure" {
				one.Tone, one.Text = "danger", "home.session-failed"
			}
		case api.ServiceCreated:
			one.Path = f.page(h.Project, "/services/"+url.PathEscape(h.Name))
		case api.InstallFailed:
			one.Tone, one.Path = "danger", f.page(h.Project, "/installs/"+url.PathEscape(h.ID))
		default:
			one.Path = f.page(h.Project, "/installs/"+url.PathEscape(h.ID))
		}
		if len(records) > 0 && (h.Kind == api.SessionCreated || h.Kind == api.ServiceCreated || h.Kind == api.InstallBegun) {
			continue // the record says who did it
		}
		out = append(out, one)
	}
	newestFirst(out)
	return out[:min(len(out), homeHappened)]
}

// installFirst installs the small model that is there to see that all of it works.
func installFirst(v *View) (Outcome, error) {
	in, err := v.API.CreateInstall(v.Context(), api.InstallCreate{Source: "hello"})
	if err != nil {
		return Outcome{}, err
	}
	return Outcome{To: "/installs/" + url.PathEscape(in.ID)}, nil
}

func newestFirst(all []happened) {
	slices.SortStableFunc(all, func(a, b happened) int { return b.At.Compare(a.At) })
}

// inWords writes the name of an operation as people read it: createService is create service.
func inWords(action string) string {
	var b strings.Builder
	for _, r := range action {
		if unicode.IsUpper(r) {
			b.WriteByte(' ')
			r = unicode.ToLower(r)
		}
		b.WriteRune(r)
	}
	return b.String()
}
