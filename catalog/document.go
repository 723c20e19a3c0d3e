package catalog

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/palisade-run/palisade/catalog/spelling"
)

// Bounds of one document. They are far above any real file, and keep a hostile one (aliases of
// aliases of aliases) from taking the daemon's memory.
const (
	MaxDocumentSize = 1 << 20 // bytes
	maxNodes        = 50_000  // after aliases are expanded
	maxDepth        = 64      // of nesting
	maxProblems     = 200     // the rest is counted, not listed
)

// Document is one YAML file that is read by hand, value by value, so that every problem in it has a
// place and all of them are reported together. It collects them; nothing is returned as an error.
// It is not safe for concurrent use.
type Document struct {
	file     string
	root     *node // nil: empty, or too broken to read
	places   map[string]place
	problems Problems
	omitted  int
	budget   int
	open     map[*yaml.Node]bool // anchors being expanded: one that is met again holds itself
}

// place is a position in a file: 1-based, column in characters. Zero: none.
type place struct{ line, column int }

type kind int

const (
	scalar kind = iota
	list
	dict
)

// node is a value with aliases and merge keys resolved.
type node struct {
	kind  kind
	at    place
	tag   tag
	text  string // of a scalar, as written
	items []*node
	pairs []pair
}

type pair struct {
	key   string
	at    place
	value *node
}

// ReadDocument parses src, which file names in messages. A document that cannot be read at all has
// problems and an empty root.
func ReadDocument(file string, src []byte) *Document {
	d := &Document{
		file:   file,
		places: make(map[string]place),
		budget: maxNodes,
		open:   make(map[*yaml.Node]bool),
	}
	top := d.decode(src)
	if top == nil {
		return d
	}
	d.root = d.expand(top, 0)
	if d.budget < 0 {
		d.root = nil
	}
	return d
}

// Problems returns what is wrong, in the order of the places.
func (d *Document) Problems() Problems {
	ps := d.problems.Sorted()
	if d.omitted > 0 {
		last := ps[len(ps)-1]
		ps = append(ps, Problem{
			Severity: SeverityError, File: d.file, Line: last.Line, Column: last.Column,
			Message: fmt.Sprintf("and %d more problems", d.omitted),
		})
	}
	return ps
}

// Root is the top-level value.
func (d *Document) Root() Field { return d.field("", d.root, place{1, 1}) }

func (d *Document) add(p Problem) {
	if len(d.problems) >= maxProblems {
		d.omitted++
		return
	}
	p.File = d.file
	d.problems = append(d.problems, p)
}

func (d *Document) fail(at place, hint, format string, args ...any) {
	d.add(Problem{
		Severity: SeverityError, Line: at.line, Column: at.column,
		Message: fmt.Sprintf(format, args...), Hint: hint,
	})
}

// decode returns the top-level value of the only document in src, or nil when there is none to read.
func (d *Document) decode(src []byte) *yaml.Node {
	if len(src) > MaxDocumentSize {
		// The file as a whole is wrong: no line of it is.
		d.fail(place{}, "a definition holds no data, only how to serve it", "the file has %d bytes; at most %d are read", len(src), MaxDocumentSize)
		return nil
	}
	if at, ok := invalidUTF8(src); ok {
		d.fail(at, "save the file as UTF-8", "the file is not UTF-8 text")
		return nil
	}
	decoder := yaml.NewDecoder(strings.NewReader(string(src)))
	var document yaml.Node
	switch err := decodeSafely(decoder, &document); {
	case errors.Is(err, io.EOF):
		d.fail(place{1, 1}, "", "the file is empty")
		return nil
	case err != nil:
		d.syntax(err, src)
		return nil
	}
	var second yaml.Node
	switch err := decodeSafely(decoder, &second); {
	case errors.Is(err, io.EOF):
	case err != nil:
		d.syntax(err, src)
		return nil
	default:
		d.fail(place{max(second.Line, 1), max(second.Column, 1)}, "remove everything from this --- on, or put it into a file of its own", "the file holds more than one YAML document")
		return nil
	}
	if len(document.Content) == 0 {
		d.fail(place{1, 1}, "", "the file is empty")
		return nil
	}
	return document.Content[0]
}

// decodeSafely turns a panic of the YAML library into an error: a broken file must never take the
// daemon down.
func decodeSafely(decoder *yaml.Decoder, into *yaml.Node) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("yaml: cannot be parsed (%v)", r)
		}
	}()
	return decoder.Decode(into)
}

func invalidUTF8(src []byte) (place, bool) {
	if utf8.Valid(src) {
		return place{}, false
	}
	at := place{1, 1}
	for len(src) > 0 {
		r, size := utf8.DecodeRune(src)
		if r == utf8.RuneError && size == 1 {
			return at, true
		}
		at.column++
		if r == '\n' {
			at = place{at.line + 1, 1}
		}
		src = src[size:]
	}
	return at, true
}

// expand resolves aliases and merge keys, within the budget.
func (d *Document) expand(n *yaml.Node, depth int) *node {
	at := place{n.Line, n.Column}
	d.budget--
	if d.budget < 0 {
		if d.budget == -1 {
			d.fail(at, "write the values out, or use fewer aliases", "the file holds more than %d values once its aliases are expanded", maxNodes)
		}
		return nil
	}
	if depth > maxDepth {
		d.fail(at, "", "values are nested more than %d deep", maxDepth)
		return &node{at: at, tag: tagNull}
	}
	if n.Kind == yaml.AliasNode {
		if d.open[n.Alias] {
			d.fail(at, "", "anchor %q holds itself", n.Value)
			return &node{at: at, tag: tagNull}
		}
		return d.expand(n.Alias, depth+1)
	}
	d.open[n] = true
	defer delete(d.open, n)
	switch n.Kind {
	case yaml.MappingNode:
		return d.expandMap(n, depth)
	case yaml.SequenceNode:
		out := &node{kind: list, at: at}
		for _, item := range n.Content {
			if d.budget < 0 {
				return nil
			}
			out.items = append(out.items, d.expand(item, depth+1))
		}
		return out
	default:
		return &node{kind: scalar, at: at, tag: tagOf(n), text: n.Value}
	}
}

func (d *Document) expandMap(n *yaml.Node, depth int) *node {
	out := &node{kind: dict, at: place{n.Line, n.Column}}
	first := make(map[string]int) // key to the line where it was given
	var merges []*node
	for i := 0; i+1 < len(n.Content) && d.budget >= 0; i += 2 {
		key, at := n.Content[i], place{n.Content[i].Line, n.Content[i].Column}
		value := d.expand(n.Content[i+1], depth+1)
		if value == nil {
			return nil
		}
		if key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		if key.Kind != yaml.ScalarNode {
			d.fail(at, "", "a key must be plain text")
			continue
		}
		if key.Tag == "!!merge" {
			merges = append(merges, d.mergeSources(value)...)
			continue
		}
		if line, ok := first[key.Value]; ok {
			d.fail(at, "remove one of them", "key %q is given twice; it is in line %d already", spelling.Short(key.Value), line)
			continue
		}
		first[key.Value] = at.line
		out.pairs = append(out.pairs, pair{key.Value, at, value})
	}
	// Keys that the map gives itself win over merged ones, earlier merged maps over later ones.
	for _, source := range merges {
		for _, p := range source.pairs {
			if _, ok := first[p.key]; !ok {
				first[p.key] = p.at.line
				out.pairs = append(out.pairs, p)
			}
		}
	}
	return out
}

func (d *Document) mergeSources(value *node) []*node {
	candidates := []*node{value}
	if value.kind == list {
		candidates = value.items
	}
	var sources []*node
	for _, c := range candidates {
		if c == nil {
			continue
		}
		if c.kind != dict {
			d.fail(c.at, "give it an alias of a map: <<: *name", "a merge key takes maps, not %s", c.describe())
			continue
		}
		sources = append(sources, c)
	}
	return sources
}

func (n *node) describe() string {
	switch {
	case n.kind == list:
		return "a list"
	case n.kind == dict:
		return "a map"
	case n.tag == tagNull:
		return "null"
	case n.tag == tagText:
		return strconv.Quote(spelling.Short(n.text))
	default:
		return string(n.tag) + " " + spelling.Short(n.text)
	}
}

// Errors counts the errors reported so far.
func (d *Document) Errors() int {
	n := d.omitted
	for _, p := range d.problems {
		if p.Severity == SeverityError {
			n++
		}
	}
	return n
}
