package preview

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"path"
	"strings"
)

// Bounds of what is shown of a table.
const (
	maxRows  = 200
	maxCells = 50
	maxCell  = 200 // characters
)

// TableHead is how a table of comma- or tab-separated values begins.
type TableHead struct {
	Head []string
	Rows [][]string
	Cut  bool // there is more
	// Broken is set where it does not go on as such a table: at that line.
	Broken int
}

// TableOf reads the head of a table; more says that the file goes on behind it.
func TableOf(name string, text []byte, more bool) TableHead {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	out := TableHead{Cut: more}
	if more { // the last line may not be all there
		if at := bytes.LastIndexByte(text, '\n'); at >= 0 {
			text = text[:at+1]
		}
	}
	r := csv.NewReader(bytes.NewReader(text))
	r.FieldsPerRecord, r.LazyQuotes, r.ReuseRecord = -1, true, true
	r.Comma = separator(name, text)
	for {
		row, err := r.Read()
		if broken, ok := errors.AsType[*csv.ParseError](err); ok {
			out.Broken = broken.Line
			return out
		}
		if errors.Is(err, io.EOF) || err != nil {
			return out
		}
		if len(out.Rows) == maxRows {
			out.Cut = true
			return out
		}
		cells := make([]string, 0, min(len(row), maxCells))
		for _, cell := range row[:min(len(row), maxCells)] {
			cells = append(cells, shorten(clean(strings.TrimSpace(cell))))
		}
		out.Cut = out.Cut || len(row) > maxCells
		if out.Head == nil {
			out.Head = cells
			continue
		}
		out.Rows = append(out.Rows, cells)
	}
}

func shorten(s string) string {
	if r := []rune(s); len(r) > maxCell {
		return string(r[:maxCell]) + "…"
	}
	return s
}

// separator is what stands most often in the first line.
func separator(name string, text []byte) rune {
	if strings.EqualFold(path.Ext(name), ".tsv") {
		return '\t'
	}
	first, _, _ := bytes.Cut(text, []byte("\n"))
	best, most := ',', bytes.Count(first, []byte(","))
	for _, c := range ";\t|" {
		if n := bytes.Count(first, []byte(string(c))); n > most {
			best, most = c, n
		}
	}
	return best
}
