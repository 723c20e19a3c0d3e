package preview

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Bounds of what is shown of a notebook.
const (
	maxNotebookCells = 500
	maxOutput        = 64 << 10 // bytes of text of one output
	maxPicture       = 4 << 20  // bytes of one
	maxPictures      = 16 << 20 // of all
)

// Cell is one of a notebook.
type Cell struct {
	Kind    string // markdown, code, raw
	Number  string // how often code had run: "3"; "" not yet
	Source  string
	Outputs []Output
}

// Output is what a cell has said: one of the three.
type Output struct {
	Text    string
	Failed  bool   // the text tells of an exception, or went to standard error
	Picture string // a data: URL of a PNG or JPEG
	Left    string // what is not shown, by its media type: it could run something
}

// NotebookOf is a notebook as it is shown.
type NotebookOf struct {
	Language string // python
	Cells    []Cell
	Cut      bool // there are more cells
}

// rawCell is the part of a notebook's file that is read. Sources and outputs are strings, or lists of them.
type rawCell struct {
	Type    string `json:"cell_type"`
	Source  text   `json:"source"`
	Input   text   `json:"input"` // of format 3
	Count   *int   `json:"execution_count"`
	Outputs []struct {
		Type      string                     `json:"output_type"`
		Name      string                     `json:"name"`
		Text      text                       `json:"text"`
		Data      map[string]json.RawMessage `json:"data"`
		EName     string                     `json:"ename"`
		EValue    string                     `json:"evalue"`
		Traceback text                       `json:"traceback"`
	} `json:"outputs"`
}

// text is a string, or a list of strings that stand one behind the other.
type text string

func (t *text) UnmarshalJSON(raw []byte) error {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		*t = text(one)
		return nil
	}
	var several []string
	if err := json.Unmarshal(raw, &several); err != nil {
		return fmt.Errorf("neither text nor a list of it: %w", err)
	}
	*t = text(strings.Join(several, ""))
	return nil
}

// ReadNotebook reads an .ipynb of formats 3 and 4.
func ReadNotebook(file []byte) (NotebookOf, error) {
	var raw struct {
		Cells      []rawCell `json:"cells"`
		Worksheets []struct {
			Cells []rawCell `json:"cells"`
		} `json:"worksheets"`
		Metadata struct {
			Language struct {
				Name string `json:"name"`
			} `json:"language_info"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(file, &raw); err != nil {
		return NotebookOf{}, fmt.Errorf("reading the notebook: %w", err)
	}
	for _, w := range raw.Worksheets {
		raw.Cells = append(raw.Cells, w.Cells...)
	}
	out := NotebookOf{Language: clean(raw.Metadata.Language.Name)}
	room := maxPictures
	for i := range raw.Cells {
		if i == maxNotebookCells {
			out.Cut = true
			break
		}
		out.Cells = append(out.Cells, cellOf(&raw.Cells[i], &room))
	}
	return out, nil
}

func cellOf(c *rawCell, room *int) Cell {
	cell := Cell{Kind: c.Type, Source: shortText(string(c.Source + c.Input))}
	if c.Type != "markdown" && c.Type != "code" {
		cell.Kind = "raw"
	}
	if c.Count != nil {
		cell.Number = fmt.Sprint(*c.Count)
	}
	for _, o := range c.Outputs {
		switch o.Type {
		case "stream":
			cell.Outputs = append(cell.Outputs, Output{Text: shortText(string(o.Text)), Failed: o.Name == "stderr"})
		case "error", "pyerr":
			trace := string(o.Traceback)
			if trace == "" {
				trace = o.EName + ": " + o.EValue
			}
			cell.Outputs = append(cell.Outputs, Output{Text: shortText(trace), Failed: true})
		default:
			cell.Outputs = append(cell.Outputs, dataOf(o.Data, string(o.Text), room))
		}
	}
	return cell
}

// dataOf shows the best of the forms that an output has: a picture, else text. HTML, SVG, LaTeX and scripts are left out.
func dataOf(data map[string]json.RawMessage, plain string, room *int) Output {
	for _, media := range []string{"image/png", "image/jpeg"} {
		var encoded text
		if raw, ok := data[media]; ok && json.Unmarshal(raw, &encoded) == nil {
			if url, ok := picture(media, string(encoded), room); ok {
				return Output{Picture: url}
			}
		}
	}
	var said text
	if raw, ok := data["text/plain"]; ok && json.Unmarshal(raw, &said) == nil {
		plain = string(said)
	}
	if plain != "" {
		return Output{Text: shortText(plain)}
	}
	kinds := slices.Sorted(maps.Keys(data))
	return Output{Left: clean(strings.Join(kinds[:min(len(kinds), 3)], ", "))}
}

// picture makes a URL of a picture that is one: what its bytes are is looked at, and they are encoded anew.
func picture(media, encoded string, room *int) (string, bool) {
	raw, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(encoded), ""))
	good := bytes.HasPrefix(raw, []byte("\x89PNG\r\n\x1a\n")) && media == "image/png" || bytes.HasPrefix(raw, []byte("\xff\xd8\xff")) && media == "image/jpeg"
	if err != nil || !good || len(raw) > maxPicture || len(raw) > *room {
		return "", false
	}
	*room -= len(raw)
	return "data:" + media + ";base64," + base64.StdEncoding.EncodeToString(raw), true
}

func shortText(s string) string {
	if len(s) > maxOutput {
		s = string(whole([]byte(s[:maxOutput]))) + "…"
	}
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		if at := strings.LastIndexByte(strings.TrimRight(line, "\r"), '\r'); at >= 0 {
			line = line[at+1:] // what a progress bar has written last
		}
		lines[i] = clean(line)
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n")
}
