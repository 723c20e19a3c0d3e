package ui

import (
	"encoding/json"
	"fmt"
	"html/template"
	"math"
	"strconv"
	"time"
)

// Chart is what static/js/charts.js draws over time; its head says more of each field.
type Chart struct {
	Unit    string   `json:"unit"`  // bytes, bytes/s, seconds, share (0 to 1), celsius, watts, count, /s, tokens/s, tokens
	Times   Times    `json:"times"` // rising
	Series  []Series `json:"series"`
	From    *Instant `json:"from,omitempty"` // of the time axis; nil: what there is
	To      *Instant `json:"to,omitempty"`
	Min     *float64 `json:"min,omitempty"` // of the left axis; nil: 0
	Max     *float64 `json:"max,omitempty"` // nil: what there is
	Stacked bool     `json:"stacked,omitempty"`
	Tall    bool     `json:"tall,omitempty"`
	Sync    string   `json:"sync,omitempty"` // charts of one name share the cursor
	Marks   []Mark   `json:"marks,omitempty"`
	Empty   string   `json:"empty,omitempty"` // said while there is nothing to draw
}

// Series is one row of a chart: a value for each of its times.
type Series struct {
	Label  string `json:"label"`
	Values Values `json:"values"`
	Unit   string `json:"unit,omitempty"` // where it is another one than the chart's: an axis on the right
	Steps  bool   `json:"steps,omitempty"`
	Bars   bool   `json:"bars,omitempty"`
	Tone   string `json:"tone,omitempty"` // success, warning, danger: else a colour of the row
}

// Mark is a line on the time axis that says what happened there.
type Mark struct {
	At   Instant `json:"at"`
	Text string  `json:"text"`
	Tone string  `json:"tone,omitempty"`
}

// Values are written with null for what is no number: a gap.
type Values []float64

// MarshalJSON never fails for what is no number.
func (v Values) MarshalJSON() ([]byte, error) {
	out := []byte{'['}
	for i, f := range v {
		if i > 0 {
			out = append(out, ',')
		}
		if math.IsNaN(f) || math.IsInf(f, 0) {
			out = append(out, "null"...)
			continue
		}
		out = strconv.AppendFloat(out, f, 'g', 6, 64)
	}
	return append(out, ']'), nil
}

// Instant is a time that is written in seconds since 1970, as charts want it.
type Instant time.Time

// MarshalJSON writes milliseconds where there are any.
func (i Instant) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(time.Time(i).UnixMilli())/1000, 'f', -1, 64), nil
}

// Times are instants.
type Times []time.Time

// MarshalJSON writes seconds since 1970.
func (t Times) MarshalJSON() ([]byte, error) {
	out := make([]Instant, len(t))
	for i, at := range t {
		out[i] = Instant(at)
	}
	return json.Marshal(out)
}

// ChartFigure is where a chart is drawn: from the figures of that id. title is read out in its place.
func ChartFigure(id, title string) template.HTML {
	id = template.HTMLEscapeString(id)
	//nolint:gosec // escaped
	return template.HTML(fmt.Sprintf(`<figure class="chart" id="chart-%s" data-chart="%s" data-keep aria-label="%s"></figure>`, id, id, template.HTMLEscapeString(title)))
}

// ChartFigures are the figures of a chart as they stand in a page: JSON, which no browser runs.
func ChartFigures(id string, c Chart) (template.HTML, error) {
	raw, err := json.Marshal(c) // with <, > and & escaped, so that no text in it ends the element
	if err != nil {
		return "", fmt.Errorf("the figures of chart %s: %w", id, err)
	}
	//nolint:gosec // escaped
	return template.HTML(fmt.Sprintf(`<script type="application/json" id="%s">%s</script>`, template.HTMLEscapeString(id), raw)), nil
}
