// Package preview owns what is shown of a file of a folder: what it is, by its name and how it begins, and its contents as
// plain values that a template escapes. Nothing of a file is ever passed on to run: notebooks lose all outputs but text and
// pictures. All of it is pure. It knows nothing of folders, requests or how a page looks.
package preview

import (
	"bytes"
	"path"
	"strings"
	"unicode/utf8"
)

// Kind is how a file is shown.
type Kind string

// The kinds.
const (
	Text        Kind = "text"
	Markdown    Kind = "markdown"
	Image       Kind = "image"
	Notebook    Kind = "notebook"
	Table       Kind = "table"
	Safetensors Kind = "safetensors"
	GGUF        Kind = "gguf"
	Empty       Kind = "empty"
	Binary      Kind = "binary" // is not shown
)

// Of says how a file is shown, by its name and how it begins. What its name promises is not believed of pictures: the first
// bytes decide.
func Of(name string, begin []byte) Kind {
	ext := strings.ToLower(path.Ext(name))
	switch {
	case len(begin) == 0:
		return Empty
	case isImage(begin):
		return Image
	case bytes.HasPrefix(begin, []byte("GGUF")):
		return GGUF
	case ext == ".safetensors":
		return Safetensors
	case !isText(begin):
		return Binary
	case ext == ".ipynb":
		return Notebook
	case ext == ".csv" || ext == ".tsv":
		return Table
	case ext == ".md" || ext == ".markdown":
		return Markdown
	}
	return Text
}

func isImage(begin []byte) bool {
	for _, magic := range []string{"\x89PNG\r\n\x1a\n", "\xff\xd8\xff", "GIF87a", "GIF89a"} {
		if bytes.HasPrefix(begin, []byte(magic)) {
			return true
		}
	}
	return len(begin) >= 12 && string(begin[:4]) == "RIFF" && string(begin[8:12]) == "WEBP"
}

// isText takes for text what is UTF-8 without bytes that no text has. What was cut off in the middle of a character is not
// held against it.
func isText(begin []byte) bool {
	begin = whole(begin)
	for _, c := range begin {
		if c < ' ' && c != '\n' && c != '\r' && c != '\t' && c != '\f' && c != '\b' && c != 0x1b {
			return false
		}
	}
	return utf8.Valid(begin)
}

// whole leaves out a last character that is not all there.
func whole(b []byte) []byte {
	for cut := 1; cut < utf8.UTFMax && cut <= len(b); cut++ {
		if at := len(b) - cut; utf8.RuneStart(b[at]) {
			if !utf8.FullRune(b[at:]) {
				return b[:at]
			}
			break
		}
	}
	return b
}

// Bounds of what is shown of a text.
const (
	maxLines = 5000
	maxLine  = 2000 // bytes of one
)

// Lines are a text as it is shown.
type Lines struct {
	Lines []string
	Cut   bool // there is more, or longer lines
}

// LinesOf splits a text; more says that the file goes on behind it.
func LinesOf(text []byte, more bool) Lines {
	out := Lines{Cut: more}
	text = bytes.TrimPrefix(whole(text), []byte("\xef\xbb\xbf"))
	for line := range bytes.Lines(text) {
		if len(out.Lines) == maxLines {
			out.Cut = true
			break
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) > maxLine {
			line, out.Cut = append(whole(line[:maxLine:maxLine]), "…"...), true
		}
		out.Lines = append(out.Lines, clean(string(line)))
	}
	return out
}

// clean takes out what would have text read in another order than it stands (trojan source), and what colours a terminal.
func clean(s string) string {
	s = withoutANSI(s)
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\n':
			return r
		case r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
			return '�'
		case r < ' ' || r == 0x7f:
			return -1
		}
		return r
	}, s)
}

// withoutANSI takes out the sequences by which programs colour a terminal.
func withoutANSI(s string) string {
	if !strings.Contains(s, "\x1b[") {
		return s
	}
	var out strings.Builder
	for {
		before, after, found := strings.Cut(s, "\x1b[")
		out.WriteString(before)
		if !found {
			return out.String()
		}
		end := strings.IndexFunc(after, func(r rune) bool { return r >= '@' && r <= '~' })
		if end < 0 {
			return out.String()
		}
		s = after[end+1:]
	}
}
