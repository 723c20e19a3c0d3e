package markdown

import (
	"bytes"
	"errors"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
)

// Bounds of what a text of MaxSource may be made of: reading takes the square of these.
const (
	maxDepth = 32      // quotes and lists that stand in each other
	maxCells = 100_000 // of tables
	maxNamed = 4000    // addresses that are given names: "[name]: address"
	maxMarks = 1000    // of emphasis, links and code in one paragraph; further ones are text
)

// bounded is the source, whole in characters, and whether its end is missing.
func bounded(source string) (string, bool) {
	cut := len(source) > MaxSource
	if cut {
		end := MaxSource
		for end > 0 && !utf8.RuneStart(source[end]) {
			end--
		}
		source = source[:end]
	}
	return strings.ToValidUTF8(source, "\uFFFD"), cut
}

// delimiter is the second line of a table.
var delimiter = regexp.MustCompile(`^[\s>*+.)\d]*[|:\s-]*-[|:\s-]*$`)

// costly says whether a source opens more than maxDepth quotes and lists in one line, could have more than maxCells cells, or
// more than maxNamed addresses with names. Nobody who wants to be read writes such a thing.
func costly(source string) bool {
	lines, columns, named := 0, 0, 0
	for line := range strings.SplitSeq(source, "\n") {
		lines++
		if len(line) > maxDepth && depth(line) > maxDepth {
			return true
		}
		if n := strings.Count(line, "|"); n > columns && delimiter.MatchString(line) {
			columns = n
		}
		if strings.Contains(line, "]:") {
			named++
		}
	}
	return lines*columns > maxCells || named > maxNamed
}

// depth is how many quotes and lists a line opens. A rule (---, * * *) opens none.
func depth(line string) int {
	if bare := strings.NewReplacer(" ", "", "\t", "").Replace(line); strings.Trim(bare, "-") == "" || strings.Trim(bare, "*") == "" {
		return 0
	}
	n := 0
	for line != "" {
		rest := strings.TrimLeft(line, " \t")
		after := strings.TrimLeft(rest, "0123456789")
		switch {
		case strings.HasPrefix(rest, ">"):
			line = rest[1:]
		case rest != "" && strings.ContainsRune("-+*", rune(rest[0])) && blankFirst(rest[1:]):
			line = rest[1:]
		case after != rest && after != "" && strings.ContainsRune(".)", rune(after[0])) && blankFirst(after[1:]):
			line = after[1:]
		default:
			return n
		}
		n++
	}
	return n
}

func blankFirst(s string) bool { return s == "" || s[0] == ' ' || s[0] == '\t' }

// few lets a parser of marks within a paragraph see the first maxMarks of them.
type few struct{ parser.InlineParser }

// counted is how many marks were seen in a paragraph.
type counted struct {
	in ast.Node
	n  int
}

var countedKey = parser.NewContextKey()

// Parse returns nil for what is text.
func (f few) Parse(parent ast.Node, block text.Reader, pc parser.Context) ast.Node {
	c, _ := pc.Get(countedKey).(*counted)
	if c == nil || c.in != parent {
		c = &counted{in: parent}
		pc.Set(countedKey, c)
	}
	if c.n++; c.n > maxMarks {
		return nil
	}
	return f.InlineParser.Parse(parent, block, pc)
}

// CloseBlock ends a paragraph.
func (f few) CloseBlock(parent ast.Node, block text.Reader, pc parser.Context) {
	if closer, is := f.InlineParser.(parser.CloseBlocker); is {
		closer.CloseBlock(parent, block, pc)
	}
}

// errLong ends a rendering that grows without bounds.
var errLong = errors.New("the rendered text is too long")

// limited takes up to left bytes.
type limited struct {
	bytes.Buffer
	left int
}

// Write takes all of p or fails.
func (l *limited) Write(p []byte) (int, error) {
	if l.left -= len(p); l.left < 0 {
		return 0, errLong
	}
	return l.Buffer.Write(p)
}
