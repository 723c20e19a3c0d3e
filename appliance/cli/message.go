package cli

import (
	"regexp"
	"strings"

	"github.com/palisade-run/palisade/appliance/api"
)

// briefly makes one line of a message that may end with many lines of an engine's log: what happened, and the log's
// last line, which usually says why. The whole of it is in "service info", "session info" and the log.
func briefly(message string) string {
	first, rest, more := strings.Cut(withoutPath(strings.TrimSpace(message)), "\n")
	if !more {
		return clip(first, longestLine)
	}
	last := rest
	if i := strings.LastIndexByte(rest, '\n'); i >= 0 {
		last = "... " + rest[i+1:]
	}
	return clip(first, longestLine) + " " + clip(last, longestLine)
}

// pathList is a PATH of several directories in brackets.
var pathList = regexp.MustCompile(` \((/[^():\s]*:){2,}[^()]*\)`)

// withoutPath leaves out which directories a PATH has: they hide what is said, and -o json has them.
func withoutPath(message string) string { return pathList.ReplaceAllString(message, "") }

// longestLine is what a line of a message may take before the rest of it is left out.
const longestLine = 240

// indented writes every line but the first below the first.
func indented(message string) string { return strings.ReplaceAll(message, "\n", "\n    ") }

// printable is oneLine for a text of many lines.
func printable(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i := range lines {
		lines[i] = oneLine(lines[i])
	}
	return strings.Join(lines, "\n")
}

// routeWords says why a route is as it is: what the probes say while its session runs, else what became of it.
func routeWords(r api.Route) string {
	if r.Health != "" && (r.Status == "HEALTHY" || r.Status == "UNHEALTHY" || r.Status == "PROVISIONING" && r.SessionStatus == "RUNNING") {
		return r.Health
	}
	// A runtime begins with what it did and to whom; the row or the line says both already.
	return strings.TrimPrefix(r.Reason, "starting "+r.ID+": ")
}

// routeState is routeWords; of a route that starts, with since when it does and when it is expected to answer.
func (a *app) routeState(r api.Route) string {
	words := routeWords(r)
	if r.Status != "PROVISIONING" {
		return words
	}
	state := "asked for " + a.ago(r.CreatedAt)
	if r.StartedAt != nil {
		state = "starting for " + strings.TrimSuffix(a.ago(*r.StartedAt), " ago")
	}
	if r.ReadyAt != nil {
		state += ", expected " + a.ago(*r.ReadyAt)
	}
	if words = strings.TrimPrefix(words, "starting: "); words == "" {
		return state
	}
	return state + ": " + words
}

// warn tells what is doubtful in what was just recorded.
func (a *app) warn(warnings []api.FieldError) {
	for _, w := range warnings {
		w.Severity = ""
		a.notef("palisade: warning: %s", oneLine(w.String()))
	}
}
