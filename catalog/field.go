package catalog

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/palisade-run/palisade/catalog/spelling"
)

// tag is a scalar's type by the core schema of YAML 1.2, in the words of our messages.
type tag string

const (
	tagText  tag = "string"
	tagInt   tag = "number"
	tagFloat tag = "decimal number"
	tagBool  tag = "boolean"
	tagNull  tag = "null"
)

var (
	coreNull  = regexp.MustCompile(`^(~|null|Null|NULL)?$`)
	coreBool  = regexp.MustCompile(`^(true|True|TRUE|false|False|FALSE)$`)
	coreInt   = regexp.MustCompile(`^([-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$`)
	coreFloat = regexp.MustCompile(`^([-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$`)
)

// tagOf types a scalar by the rules of YAML 1.2. The library's own answer is a mixture with 1.1: it
// takes 1_000 for a number and 2024-01-01 for a time.
func tagOf(n *yaml.Node) tag {
	quoted := n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
	if n.Style&yaml.TaggedStyle != 0 {
		switch n.ShortTag() {
		case "!!int", "!!float", "!!bool", "!!null":
			quoted = false // !!int "8000" is a number
		default:
			return tagText
		}
	}
	switch {
	case quoted:
		return tagText
	case coreNull.MatchString(n.Value):
		return tagNull
	case coreBool.MatchString(n.Value):
		return tagBool
	case coreInt.MatchString(n.Value):
		return tagInt
	case coreFloat.MatchString(n.Value):
		return tagFloat
	default:
		return tagText
	}
}

// Field is a value of a document, or the absence of one, with its path ("models[0].service.port").
type Field struct {
	doc  *Document
	path string
	node *node // nil: not given
	at   place // of the value, or of the map in which it is missing
}

func (d *Document) field(path string, n *node, at place) Field {
	if n != nil {
		at = n.at
		d.places[path] = at
	}
	return Field{doc: d, path: path, node: n, at: at}
}

// at returns a field that has been read before, to report something at its place.
func (d *Document) at(path string) Field {
	return Field{doc: d, path: path, at: d.places[path]}
}

// Path says where the field is: models[0].service.port.
func (f Field) Path() string { return f.path }

// Given reports whether the field is there and not null.
func (f Field) Given() bool { return f.node != nil && !f.IsNull() }

// IsNull reports whether the field is there and null.
func (f Field) IsNull() bool {
	return f.node != nil && f.node.kind == scalar && f.node.tag == tagNull
}

// Error reports an error at the field.
func (f Field) Error(hint, format string, args ...any) { f.report(SeverityError, hint, format, args) }

// Warn reports a warning at the field.
func (f Field) Warn(hint, format string, args ...any) { f.report(SeverityWarning, hint, format, args) }

func (f Field) report(s Severity, hint, format string, args []any) {
	f.doc.add(Problem{
		Severity: s, Line: f.at.line, Column: f.at.column, Field: f.path,
		Message: fmt.Sprintf(format, args...), Hint: hint,
	})
}

func (f Field) wrongType(wanted, hint string) {
	f.Error(hint, "is %s; %s is wanted", f.node.describe(), wanted)
}

// Text returns a string; "" and false when the field is absent, null, or (reported) something else.
func (f Field) Text() (string, bool) {
	if !f.Given() {
		return "", false
	}
	if f.node.kind != scalar || f.node.tag != tagText {
		hint := ""
		if f.node.kind == scalar {
			hint = "put it in quotes: " + strconv.Quote(spelling.Short(f.node.text))
		}
		f.wrongType("a string", hint)
		return "", false
	}
	return f.clean()
}

// Scalar returns any single value as it is written: a string, a number, a boolean.
func (f Field) Scalar() (string, bool) {
	if !f.Given() {
		return "", false
	}
	if f.node.kind != scalar {
		f.wrongType("a string or a number", "")
		return "", false
	}
	return f.clean()
}

func (f Field) clean() (string, bool) {
	if strings.ContainsRune(f.node.text, 0) {
		f.Error("", "holds a NUL character, which no program can be given")
		return "", false
	}
	return f.node.text, true
}

// Texts returns a list of strings; nil and false when absent, null, or (reported) something else.
func (f Field) Texts() ([]string, bool) {
	items, ok := f.Items("a list of strings")
	if !ok {
		return nil, false
	}
	texts := make([]string, 0, len(items))
	for _, item := range items {
		if item.IsNull() {
			item.wrongType("a string", `put it in quotes: ""`)
			ok = false
			continue
		}
		text, good := item.Text()
		texts, ok = append(texts, text), ok && good
	}
	return texts, ok
}

// Items returns a list's items; wanted names the list in the message when the field is no list.
func (f Field) Items(wanted string) ([]Field, bool) {
	if !f.Given() {
		return nil, false
	}
	if f.node.kind != list {
		f.wrongType(wanted, "")
		return nil, false
	}
	items := make([]Field, len(f.node.items))
	for i, n := range f.node.items {
		items[i] = f.doc.field(fmt.Sprintf("%s[%d]", f.path, i), n, f.at)
	}
	return items, true
}

// Bool returns a boolean. By YAML 1.2, yes, no, on and off are strings.
func (f Field) Bool() (value, ok bool) {
	if !f.Given() {
		return false, false
	}
	if f.node.kind != scalar || f.node.tag != tagBool {
		f.wrongType("true or false", "write true or false, without quotes")
		return false, false
	}
	return strings.EqualFold(f.node.text, "true"), true
}

// Int returns a whole number from least to most, also when it is given as a string.
func (f Field) Int(least, most int) (int, bool) {
	if !f.Given() {
		return 0, false
	}
	wanted := fmt.Sprintf("a whole number from %d to %d", least, most)
	if most == math.MaxInt32 {
		wanted = fmt.Sprintf("a whole number of at least %d", least)
	}
	if f.node.kind != scalar || f.node.tag == tagBool {
		f.wrongType(wanted, "")
		return 0, false
	}
	text := strings.TrimSpace(f.node.text)
	value, err := parseInt(text)
	if err != nil || value < int64(least) || value > int64(most) {
		f.wrongType(wanted, "")
		return 0, false
	}
	return int(value), true
}

// parseInt reads a number by YAML 1.2: 010 is ten, 0o10 is eight.
func parseInt(text string) (int64, error) {
	switch {
	case strings.HasPrefix(text, "0x"):
		return strconv.ParseInt(text[2:], 16, 64)
	case strings.HasPrefix(text, "0o"):
		return strconv.ParseInt(text[2:], 8, 64)
	default:
		return strconv.ParseInt(text, 10, 64)
	}
}

// maxSeconds is far above any sensible wait, and far below what a time.Duration can hold.
const maxSeconds = 1e8

// Seconds returns a duration given as seconds, also when it is a string. Zero is allowed if zero is.
func (f Field) Seconds(zero bool) (time.Duration, bool) {
	if !f.Given() {
		return 0, false
	}
	wanted := "a number of seconds, 0 or more,"
	if !zero {
		wanted = "a number of seconds above 0"
	}
	text := ""
	if f.node.kind == scalar && f.node.tag != tagBool {
		text = strings.TrimSpace(f.node.text)
	}
	var seconds float64
	var err error
	switch {
	case coreInt.MatchString(text) && !coreFloat.MatchString(text): // 0x, 0o
		var whole int64
		whole, err = parseInt(text)
		seconds = float64(whole)
	case coreFloat.MatchString(text) && !strings.ContainsAny(text, "nN"): // neither .inf nor .nan
		seconds, err = strconv.ParseFloat(text, 64)
	default:
		err = strconv.ErrSyntax
	}
	if err != nil || seconds < 0 || seconds == 0 && !zero {
		f.wrongType(wanted, "")
		return 0, false
	}
	if seconds > maxSeconds {
		f.wrongType(fmt.Sprintf("at most %.0f seconds", maxSeconds), "")
		return 0, false
	}
	d := time.Duration(seconds * float64(time.Second))
	if seconds > 0 {
		d = max(d, 1) // too small for the clock is still more than nothing
	}
	return d, true
}
