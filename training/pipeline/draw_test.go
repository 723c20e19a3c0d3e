package pipeline_test

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/training/pipeline"
)

func TestText(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		nodes []pipeline.Node
		want  string
	}{
		"chain": {[]pipeline.Node{{Name: "c", After: []string{"b"}}, {Name: "a"}, {Name: "b", After: []string{"a"}, Note: "×4"}}, "● a\n● b ×4\n● c\n"},
		"diamond": {
			[]pipeline.Node{{Name: "top"}, {Name: "left", After: []string{"top"}}, {Name: "right", After: []string{"top"}}, {Name: "bottom", After: []string{"left", "right"}}},
			"●   top\n├─● left\n● │ right\n●─┘ bottom\n",
		},
		"two":  {[]pipeline.Node{{Name: "a"}, {Name: "b"}}, "● a\n● b\n"},
		"rude": {[]pipeline.Node{{Name: "a", Note: "service \x1b[31m\u009b"}}, "● a service [31m\n"},
		"none": {nil, ""},
	} {
		if diff := cmp.Diff(c.want, pipeline.Text(c.nodes)); diff != "" {
			t.Errorf("%s:\n%s\n%s", name, diff, pipeline.Text(c.nodes))
		}
	}
}

func TestSVG(t *testing.T) {
	t.Parallel()
	j := job(t, diamond)
	play(j, nil)
	play(j, ended(false, "top"))
	picture := pipeline.SVG(`<script>"&`, j.Nodes())
	d := xml.NewDecoder(strings.NewReader(string(picture)))
	boxes := 0
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if s, is := token.(xml.StartElement); is && s.Name.Local == "g" {
			boxes++
		}
	}
	if boxes != 5 || strings.Contains(string(picture), "<script>") || !strings.Contains(string(picture), "FAILED") {
		t.Errorf("%d boxes:\n%s", boxes, picture)
	}
}
