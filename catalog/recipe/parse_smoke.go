package recipe

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/catalog/spelling"
)

var smokeKeys = []string{"method", "path", "body", "form", "status", "holds", "max_seconds"}

// DefaultSmokeSeconds is how long an answer may take where a recipe does not say.
const DefaultSmokeSeconds = 60

func (r *reader) smokeTest(f catalog.Field) *SmokeTest {
	m, ok := f.Map()
	if !ok {
		return nil
	}
	m.WarnUnknown(smokeKeys...)
	t := &SmokeTest{Method: "POST", Status: 200, MaxSeconds: DefaultSmokeSeconds}
	if text, ok := m.Get("method").Text(); ok {
		t.Method = text
		if text != "GET" && text != "POST" {
			m.Get("method").Error("GET or POST", "%q is neither", spelling.Short(text))
		}
	}
	text, ok := m.Get("path").Text()
	switch {
	case !m.Get("path").Given():
		m.Get("path").Error("path: /v1/chat/completions", "is required")
	case ok && (!strings.HasPrefix(text, "/") || strings.HasPrefix(text, "//") || strings.ContainsAny(text, " \\#") || strings.ContainsFunc(text, unprintable)):
		m.Get("path").Error("path: /v1/chat/completions", "%q is not the path of a request", spelling.Short(text))
	}
	t.Path = text
	r.smokeBody(m, t)
	if n, ok := m.Get("status").Int(100, 599); ok {
		t.Status = n
	}
	if n, ok := m.Get("max_seconds").Int(1, 3600); ok {
		t.MaxSeconds = n
	}
	t.Holds, _ = m.Get("holds").Texts()
	items, _ := m.Get("holds").Items("a list of what the answer holds")
	r.few(m.Get("holds"), len(items))
	for i, text := range t.Holds {
		if _, err := readClaim(text); err != nil {
			items[i].Error("PATH, or PATH ~ PATTERN: choices[0].message.content ~ (?i)paris", "%v", err)
		}
	}
	return t
}

// smokeBody reads the request's body: JSON as a text or as YAML, or a form.
func (r *reader) smokeBody(m catalog.Map, t *SmokeTest) {
	body, form := m.Get("body"), m.Get("form")
	switch value := body.Value().(type) {
	case nil:
	case string:
		t.Body = value
		if !json.Valid([]byte(value)) {
			body.Error(`body: '{"model": "{model}"}', or the same as YAML`, "is not JSON")
		}
	case map[string]any:
		text, err := json.Marshal(value)
		if err != nil {
			body.Error("", "cannot be written as JSON: %v", err)
		}
		t.Body = string(text)
	default:
		body.Error("", "is neither a text nor a map")
	}
	if fields, ok := form.Map(); ok {
		t.Form = make(map[string]string)
		for _, e := range fields.Entries() {
			t.Form[e.Key], _ = e.Value.Scalar()
			if strings.HasPrefix(t.Form[e.Key], "@") && !slices.Contains(attachments, t.Form[e.Key]) {
				e.Value.Error("one of "+strings.Join(attachments, ", "), "there is no file %q to send", spelling.Short(t.Form[e.Key]))
			}
		}
	}
	switch {
	case body.Given() && form.Given():
		form.Error("remove one of them", "is given beside body")
	case t.Method == http.MethodGet && (body.Given() || form.Given()):
		m.Get("method").Error("method: POST", "a request with a body is wanted as GET")
	}
}
