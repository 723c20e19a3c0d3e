package console

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/palisade-run/palisade/appliance/api"
)

// servicePages are one service from all sides: a page each.
func servicePages() []Page {
	page := func(tab string, data func(v *View, d *servicePage) error) Page {
		pattern := "/services/{id}/" + tab
		if tab == "overview" {
			pattern = "/services/{id}"
		}
		return Page{Pattern: pattern, Name: "services/" + tab, Section: "services", Data: func(v *View) (any, error) {
			d := &servicePage{Tab: tab, Now: v.console.Now()}
			return d, together(func() error { return d.load(v) }, func() error { return data(v, d) })
		}}
	}
	return []Page{
		page("overview", overviewTab), page("connect", connectTab), page("logs", logsTab), page("autoscaling", autoscalingTab),
		page("revisions", revisionsTab), page("events", eventsTab), page("calibration", calibrationTab), page("captures", capturesTab), page("settings", settingsTab),
		{Pattern: "/services/{id}/captures/{cid}", Name: "services/captures", Section: "services", Still: true, Data: func(v *View) (any, error) {
			d := &servicePage{Tab: "captures", Now: v.console.Now()}
			return d, together(func() error { return d.load(v) }, func() error { return capturesTab(v, d) })
		}},
	}
}

// serviceActions are the changes of one service.
func serviceActions() []Action {
	return []Action{
		{Pattern: "/services/{id}/scale", Do: scaleService},
		{Pattern: "/services/{id}/retry", Do: retryService},
		{Pattern: "/services/{id}/destroy", Do: destroyService},
		{Pattern: "/services/{id}/routes/{rid}", Do: weighRoute},
		{Pattern: "/services/{id}/autoscaling", Do: saveScaling},
		{Pattern: "/services/{id}/autoscaling/resume", Do: resumeScaling},
		{Pattern: "/services/{id}/autoscaling/pause", Do: pauseScaling},
		{Pattern: "/services/{id}/rehearse", Do: rehearseScaling},
		{Pattern: "/services/{id}/rollback", Do: rollBackService},
		{Pattern: "/services/{id}/calibrate", Do: beginCalibration},
		{Pattern: "/services/{id}/calibrate/cancel", Do: cancelCalibration},
		{Pattern: "/services/{id}/captures", Do: keepCaptures},
		{Pattern: "/services/{id}/captures/clear", Do: clearCaptures},
		{Pattern: "/services/{id}/settings", Do: saveSettings},
		{Pattern: "/services/{id}/tokens", Do: issueServiceToken},
		{Pattern: "/services/{id}/tokens/{tid}/revoke", Do: revokeServiceToken},
	}
}

// servicePage is what every page of a service shows, and what the one of its tab shows.
type servicePage struct {
	Tab     string
	Now     time.Time
	Service api.Service
	Errors  api.ServiceErrors
	Advice  advice
	Live    api.ServiceLive // of the overview
	Failed  int             // requests of the last minute
	Charts  serviceCharts

	Tokens        []api.Token
	TokensError   *api.Problem // why they are not shown
	Log           logPage
	Scaling       scalingTab
	Revisions     []revised
	Events        []api.Event
	EventKind     string // that was looked for
	Calibration   api.CalibrationStanding
	NoCalibration bool // services are not measured here
	Captured      captured
	Settings      serviceSettings
}

// Tabs are the pages of a service, in their order. Captures are there for an owner alone.
func (d *servicePage) Tabs(v *View) []string {
	tabs := []string{"overview", "connect", "logs", "autoscaling", "calibration", "revisions", "events"}
	if v.May("owner") {
		tabs = append(tabs, "captures")
	}
	return append(tabs, "settings")
}

// load asks for what every page of a service shows.
func (d *servicePage) load(v *View) (err error) {
	id := v.PathValue("id")
	if err := together(
		func() (err error) { d.Service, err = v.API.Service(v.Context(), id); return err },
		func() (err error) { d.Errors, err = v.API.ServiceErrors(v.Context(), id); return err },
	); err != nil {
		return err
	}
	d.Advice = adviseOn(&d.Service, &d.Errors)
	return nil
}

// serviceCharts is what the page's script needs to draw: where figures come from, and how they are called.
type serviceCharts struct {
	History   string            `json:"history"`
	Decisions string            `json:"decisions"`
	Texts     map[string]string `json:"texts"`
}

// apiPath is the address of a resource for scripts of a page, which ask the API themselves.
func apiPath(v *View, path string) string {
	return api.Prefix + path + "?project=" + v.Project // the name of a project needs no escaping
}

func chartsOf(v *View) serviceCharts {
	id := v.PathValue("id")
	c := serviceCharts{History: apiPath(v, "/services/"+url.PathEscape(id)+"/history"), Decisions: apiPath(v, "/services/"+url.PathEscape(id)+"/decisions"), Texts: map[string]string{}}
	for _, key := range []string{"requests", "errors", "p50", "p95", "answers", "prompts", "in_flight", "waiting", "ready", "wanted", "empty"} {
		c.Texts[key] = v.Say("services.chart." + key)
	}
	return c
}

func overviewTab(v *View, d *servicePage) (err error) {
	d.Charts = chartsOf(v)
	d.Live, err = v.API.ServiceLive(v.Context(), v.PathValue("id"))
	if unsupported(err) {
		err = nil // requests are not watched here
	}
	d.Failed = int(min(d.Live.Last60s.Errors, 1<<31-1))
	return err
}

// unsupported tells whether the appliance does without something.
func unsupported(err error) bool { return errors.Is(err, api.KindError(api.KindNotSupported)) }

func connectTab(v *View, d *servicePage) error {
	if !v.May("member") {
		return nil
	}
	var err error
	if d.Tokens, err = v.API.Tokens(v.Context(), v.PathValue("id")); err == nil {
		return nil
	}
	if d.TokensError = problemOf(err); d.TokensError.Status == http.StatusNotFound {
		return err
	}
	return nil
}

// SamplesOf are how the service is asked, in several languages.
func (d *servicePage) SamplesOf() []sample {
	return samples(sampleOf{Endpoint: d.Service.Endpoint, Model: d.Service.ModelName, Variant: d.Service.Recipe.RuntimeVariant, Public: d.Service.OpenToPublic})
}

// Good tells whether a token still opens the service.
func (d *servicePage) Good(t api.Token) bool { return t.RevokedAt == nil && t.ExpiresAt.After(d.Now) }

// GatewayOf is where all services are asked, by the names of their models.
func (d *servicePage) GatewayOf() string {
	before, _, _ := strings.Cut(d.Service.Endpoint, "/services/")
	return before + "/v1"
}

func servicePath(v *View, tab string) string {
	path := "/services/" + url.PathEscape(v.PathValue("id"))
	if tab != "" {
		path += "/" + tab
	}
	return path
}

// wholeNumber reads a number of a form; what is none is said of the field.
func wholeNumber(v *View, field string) (int, error) {
	n, err := strconv.Atoi(strings.TrimSpace(v.Field(field)))
	if err != nil {
		return 0, badInput(field, v.Say("services.form.number"))
	}
	return n, nil
}

// badInput is what is wrong with a field of a form.
func badInput(field, message string) error {
	p := api.NewProblem(api.KindInvalid, http.StatusBadRequest, "%s", message)
	p.Errors = []api.FieldError{{Field: field, Message: message}}
	return p
}

func scaleService(v *View) (Outcome, error) {
	to, err := wholeNumber(v, "to")
	if err != nil {
		return Outcome{}, err
	}
	s, err := v.API.ScaleService(v.Context(), v.PathValue("id"), to, strings.TrimSpace(v.Field("reason")))
	return Outcome{Toast: v.Say("services.scaled", s.Name, s.Replicas)}, err
}

func retryService(v *View) (Outcome, error) {
	return Outcome{Toast: v.Say("services.retried")}, v.API.ClearErrors(v.Context(), v.PathValue("id"))
}

func destroyService(v *View) (Outcome, error) {
	id := v.PathValue("id")
	return Outcome{To: "/services", Toast: v.Say("services.destroyed", id)}, v.API.DestroyService(v.Context(), id)
}

func weighRoute(v *View) (Outcome, error) {
	ratio, err := strconv.ParseFloat(strings.TrimSpace(v.Field("traffic_ratio")), 64)
	if err != nil {
		return Outcome{}, badInput("traffic_ratio", v.Say("services.form.number"))
	}
	_, err = v.API.SetTrafficRatio(v.Context(), v.PathValue("id"), v.PathValue("rid"), ratio)
	return Outcome{Toast: v.Say("services.weighed")}, err
}

// issueServiceToken makes a token, whose secret is shown this once.
func issueServiceToken(v *View) (Outcome, error) {
	in := api.TokenCreate{Name: strings.TrimSpace(v.Field("name")), Duration: v.Field("duration"), ValidUntil: strings.TrimSpace(v.Field("valid_until"))}
	limits, err := tokenLimits(v)
	if err != nil {
		return Outcome{}, err
	}
	in.Limits = limits
	issued, err := v.API.IssueToken(v.Context(), v.PathValue("id"), in)
	return Outcome{Fragment: "fragment-service-token", Data: issued}, err
}

// tokenLimits are those of the form; nil where it has none.
func tokenLimits(v *View) (*api.TokenLimits, error) {
	var l api.TokenLimits
	for field, to := range map[string]*int64{
		"limits.requests_per_minute": &l.RequestsPerMinute, "limits.tokens_per_minute": &l.TokensPerMinute,
		"limits.concurrent_requests": &l.ConcurrentRequests, "limits.token_budget": &l.TokenBudget,
	} {
		word := strings.TrimSpace(v.Field(field))
		if word == "" {
			continue
		}
		n, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			return nil, badInput(field, v.Say("services.form.number"))
		}
		*to = n
	}
	if l == (api.TokenLimits{}) {
		return nil, nil //nolint:nilnil // no limits are no mistake
	}
	if l.TokenBudget > 0 {
		l.BudgetWindow = v.Field("limits.budget_window")
	}
	return &l, nil
}

func revokeServiceToken(v *View) (Outcome, error) {
	return Outcome{Toast: v.Say("services.token_revoked")}, v.API.RevokeToken(v.Context(), v.PathValue("id"), v.PathValue("tid"))
}
