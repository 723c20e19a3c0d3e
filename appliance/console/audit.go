package console

import (
	"net/http"
	"slices"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/console/ui"
)

func auditPages() []Page {
	return []Page{{Pattern: "/audit", Name: "audit/list", Section: "audit", Data: auditData}}
}

func auditActions() []Action { return []Action{{Pattern: "/audit/verify", Do: verifyAudit}} }

func auditRaws() []Raw { return []Raw{{Pattern: "GET /audit.jsonl", Serve: exportAudit}} }

// pageRecords is how many records a page shows.
const pageRecords = 50

// auditRow is a record as it is shown.
type auditRow struct {
	api.AuditRecord
	Changed []auditChange
	Tone    string // of how it ended
}

// auditChange is one value that was changed, line by line.
type auditChange struct {
	Path  string
	Lines []ui.DiffLine
}

type auditList struct {
	Records []auditRow
	Query   api.AuditQuery
	Actors  []string // of what is shown, to choose from
	Actions []string
	Older   string // address of the part that follows; "" none
	Newest  string // address of the first part, where it is not this one
	Export  string
	Any     bool // something is asked for: else there is nothing at all
}

func auditQuery(v *View) api.AuditQuery {
	return api.AuditQuery{
		Actor: v.Parameter("actor"), Action: v.Parameter("action"), Target: v.Parameter("target"),
		From: v.Parameter("from"), To: v.Parameter("to"), Zone: v.Parameter("zone"), All: v.Parameter("all") == "true" && v.May("admin"),
	}
}

func auditData(v *View) (any, error) {
	out := auditList{Query: auditQuery(v)}
	page, err := v.API.AuditPage(v.Context(), out.Query, pageRecords, v.Parameter("cursor"))
	if err != nil {
		return nil, err
	}
	bare := out.Query
	bare.All, bare.Zone = false, ""
	out.Any = bare != (api.AuditQuery{})
	for _, r := range page.Items {
		row := auditRow{AuditRecord: r, Tone: "success"}
		if r.Status >= 400 || r.Status == 0 {
			row.Tone = "danger"
		}
		for _, c := range r.Changes {
			row.Changed = append(row.Changed, auditChange{c.Path, ui.Diff(c.Before, c.After)})
		}
		out.Records = append(out.Records, row)
		if !slices.Contains(out.Actors, r.Actor) {
			out.Actors = append(out.Actors, r.Actor)
		}
		if !slices.Contains(out.Actions, r.Action) {
			out.Actions = append(out.Actions, r.Action)
		}
	}
	slices.Sort(out.Actors)
	slices.Sort(out.Actions)
	if page.Next != "" {
		out.Older = v.With("cursor", page.Next)
	}
	if v.Parameter("cursor") != "" {
		out.Newest = v.With("cursor", "")
	}
	out.Export = Prefix + "/audit.jsonl?" + v.URL.RawQuery
	return out, nil
}

func verifyAudit(v *View) (Outcome, error) {
	verdict, err := v.API.VerifyAudit(v.Context(), api.AuditVerify{Head: v.Field("head")})
	return Outcome{Fragment: "fragment-audit-verdict", Data: verdict}, err
}

// exportAudit sends the records that are asked for, as the API exports them.
func exportAudit(v *View, w http.ResponseWriter) error {
	return file(w, "audit.jsonl", "application/x-ndjson", func(w *begun) error { return v.API.ExportAudit(v.Context(), auditQuery(v), w) })
}
