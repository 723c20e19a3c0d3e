package ui

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestChart(t *testing.T) {
	at := time.Unix(1000, 500e6)
	got, err := ChartFigures("a", Chart{
		Unit: "bytes", Times: Times{at, at.Add(time.Second)}, Max: new(2.5), From: new(Instant(at)),
		Series: []Series{{Label: "</script><b>", Values: Values{math.NaN(), 12345678901}}, {Label: "none", Values: Values{math.Inf(-1), 0.25}, Steps: true}},
		Marks:  []Mark{{At: Instant(at), Text: `"quoted" & <b>`}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"times":[1000.5,1001.5]`, `"values":[null,1.23457e+10]`, `"values":[null,0.25]`, `"from":1000.5`, `"max":2.5`, `<script type="application/json" id="a">`} {
		if !strings.Contains(string(got), want) {
			t.Errorf("%s has no %s", got, want)
		}
	}
	if strings.Count(string(got), "<") != 2 {
		t.Errorf("a text is not escaped: %s", got)
	}
	if empty, _ := ChartFigures("a", Chart{}); !strings.Contains(string(empty), `"times":[]`) {
		t.Error(empty)
	}
}

func TestChartFigure(t *testing.T) {
	got := string(ChartFigure(`a"b`, `<i>"`))
	if strings.Contains(got, "<i>") || !strings.Contains(got, `data-chart="a&#34;b"`) || !strings.Contains(got, "data-keep") {
		t.Error(got)
	}
}
