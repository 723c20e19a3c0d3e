package console

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/palisade-run/palisade/appliance/api"
)

func sessionsActions() []Action {
	return []Action{
		{Pattern: "/sessions/new", Do: startSession},
		{Pattern: "/sessions/check", Do: checkStart},
		{Pattern: "/sessions/{id}/end", Do: endSession},
		{Pattern: "/sessions/{id}/restart", Do: func(v *View) (Outcome, error) {
			return Outcome{Toast: v.Say("sessions.restarting")}, v.API.RestartSession(v.Context(), v.PathValue("id"))
		}},
		{Pattern: "/sessions/{id}/change", Do: changeSession},
		{Pattern: "/sessions/{id}/ends", Do: moveEnd},
	}
}

func endSession(v *View) (Outcome, error) {
	err := v.API.TerminateSession(v.Context(), v.PathValue("id"), v.Field("forced") != "")
	return Outcome{Toast: v.Say("sessions.ending")}, err
}

// changeSession gives a session another name, or another place in the queue.
func changeSession(v *View) (Outcome, error) {
	var up api.SessionUpdate
	if name := strings.TrimSpace(v.Field("name")); name != "" {
		up.Name = &name
	}
	var wrong fieldErrors
	if text := strings.TrimSpace(v.Field("priority")); text != "" {
		up.Priority = wrong.whole(v, "priority", text, 0, 100)
	}
	if err := wrong.err(v); err != nil {
		return Outcome{}, err
	}
	_, err := v.API.UpdateSession(v.Context(), v.PathValue("id"), up)
	return Outcome{Toast: v.Say("sessions.changed")}, err
}

// moveEnd changes how long an interactive session may go unused, and run.
func moveEnd(v *View) (Outcome, error) {
	var up api.SessionUpdate
	var wrong fieldErrors
	up.IdleTimeout = wrong.length(v, "idle_timeout", v.Field("idle_timeout"))
	up.MaxLifetime = wrong.length(v, "max_lifetime", v.Field("max_lifetime"))
	if err := wrong.err(v); err != nil {
		return Outcome{}, err
	}
	_, err := v.API.UpdateSession(v.Context(), v.PathValue("id"), up)
	return Outcome{Toast: v.Say("sessions.changed")}, err
}

// fieldErrors are what is wrong with a form before the API is asked: what it would not even understand.
type fieldErrors []api.FieldError

func (f *fieldErrors) add(field, message string) {
	*f = append(*f, api.FieldError{Field: field, Message: message})
}

func (f *fieldErrors) err(v *View) error {
	if len(*f) == 0 {
		return nil
	}
	p := api.NewProblem(api.KindInvalid, http.StatusBadRequest, "%s", v.Say("forms.wrong"))
	p.Errors = *f
	return p
}

// whole reads a whole number; nil where it is none.
func (f *fieldErrors) whole(v *View, field, text string, least, most int) *int {
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil || n < least || n > most {
		f.add(field, v.Say("forms.whole", least, most))
		return nil
	}
	return &n
}

// length reads a length of time as people write it, 90m, 8h, 2d, 1h30m, in seconds. "" is nil, and 0 is none.
func (f *fieldErrors) length(v *View, field, text string) *float64 {
	text = strings.ToLower(strings.Join(strings.Fields(text), ""))
	if text == "" {
		return nil
	}
	seconds, err := lengthOf(text)
	if err != nil {
		f.add(field, v.Say("forms.length"))
		return nil
	}
	return &seconds
}

// lengthOf reads 90m, 8h, 2d, 1h30m, 45s, 0; a number alone is minutes.
func lengthOf(text string) (seconds float64, err error) {
	units := map[byte]float64{'s': 1, 'm': 60, 'h': 3600, 'd': 86400, 'w': 7 * 86400}
	if text == "0" {
		return 0, nil
	}
	for text != "" {
		at := strings.IndexFunc(text, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
		if at < 0 {
			text, at = text+"m", len(text)
		}
		n, err := strconv.ParseFloat(text[:at], 64)
		unit, ok := units[text[at]]
		if err != nil || !ok || n < 0 || n > 1e6 {
			return 0, fmt.Errorf("%q is no length of time", text)
		}
		seconds, text = seconds+n*unit, text[at+1:]
	}
	return seconds, nil
}
