package console

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/palisade-run/palisade/appliance/api"
)

// sessionRows is how many sessions a page of the list has.
const sessionRows = 50

func sessionsPages() []Page {
	return []Page{
		{Pattern: "/sessions", Name: "sessions/list", Section: "sessions", Data: sessionsList},
		{Pattern: "/sessions/new", Name: "sessions/new", Section: "sessions", Data: newSession, Still: true, Personal: true},
		{Pattern: "/sessions/{id}", Name: "sessions/show", Section: "sessions", Data: showSession, Personal: true},
	}
}

// sessionList is what the list of sessions shows.
type sessionList struct {
	Rows        []sessionRow
	Total       int
	From, To    int // the rows' numbers, from 1
	Newer       string
	Older       string // addresses of the parts before and behind, "" where there are none
	Type        string // "": of people; interactive, batch, inference, all
	State       string // "": live; waiting, running, ended, all
	Owner, Word string
	Filtered    bool
}

// sessionRow is one row of it.
type sessionRow struct {
	api.Session
	State   string // in words
	Look    string // what its colour goes by
	Devices []string
}

// statesOf are the statuses that a word of the list's filter stands for.
func statesOf(word string) (statuses []string, all bool) {
	switch word {
	case "waiting":
		return []string{"PENDING", "SCHEDULED", "PREPARING", "PULLING", "PREPARED", "CREATING", "RESTARTING", "PREEMPTED"}, false
	case "running":
		return []string{"RUNNING", "TERMINATING"}, false
	case "ended":
		return []string{"TERMINATED", "CANCELLED", "ERROR"}, false
	case "all":
		return nil, true
	}
	return nil, false
}

// typesOf are the types that a word of the list's filter stands for.
func typesOf(word string) []string {
	switch word {
	case "interactive", "batch", "inference", "system":
		return []string{word}
	case "all":
		return nil
	}
	return []string{"interactive", "batch"}
}

func sessionsList(v *View) (any, error) {
	l := sessionList{Type: v.Parameter("type"), State: v.Parameter("state"), Owner: v.Parameter("owner"), Word: strings.TrimSpace(v.Parameter("q"))}
	l.Filtered = l.Type != "" || l.State != "" || l.Owner != "" || l.Word != ""
	page, err := strconv.Atoi(v.Parameter("page"))
	if err != nil || page < 1 || page > 10_000 {
		page = 1
	}
	f := api.SessionFilter{Types: typesOf(l.Type), Owner: l.Owner, Search: l.Word}
	f.Statuses, f.All = statesOf(l.State)
	got, err := v.API.SessionsPage(v.Context(), f, (page-1)*sessionRows, sessionRows)
	if err != nil {
		return nil, err
	}
	l.Total, l.From = got.Total, (page-1)*sessionRows+1
	l.To = l.From + len(got.Items) - 1
	for _, s := range got.Items {
		l.Rows = append(l.Rows, rowOf(v, s))
	}
	if page > 1 {
		l.Newer = v.With("page", strconv.Itoa(page-1))
	}
	if l.To < l.Total {
		l.Older = v.With("page", strconv.Itoa(page+1))
	}
	return l, nil
}

func rowOf(v *View, s api.Session) sessionRow {
	look := s.Status
	if s.Status == "TERMINATED" {
		switch s.Result {
		case "success":
			look = "SUCCEEDED"
		case "failure":
			look = "FAILED"
		}
	}
	return sessionRow{Session: s, State: stateWord(v, look), Look: look, Devices: devicesOf(s.Claim)}
}

// stateWords are the statuses of sessions and jobs that there are words for.
var stateWords = []string{
	"pending", "scheduled", "preparing", "pulling", "prepared", "creating", "running", "restarting", "preempted", "terminating", "terminated", "error", "cancelled",
	"queued", "waiting", "succeeded", "cached", "failed", "skipped",
}

// stateWord says a status in the viewer's language.
func stateWord(v *View, status string) string {
	if word := strings.ToLower(status); slices.Contains(stateWords, word) {
		return v.Say("state." + word)
	}
	return status
}

// devicesOf says which devices a claim holds, and how much of those that it holds in part.
func devicesOf(c *api.Claim) (out []string) {
	if c == nil {
		return nil
	}
	for _, d := range c.Devices {
		text := d.Ref
		if d.Share != "" && d.Share != "1.00" {
			text += " × " + d.Share
		}
		out = append(out, text)
	}
	return out
}

// sessionPath is the page of a session.
func sessionPath(id string) string { return "/sessions/" + url.PathEscape(id) }
