package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/catalog"
)

// place is where a field was set.
type place struct {
	line, column int
	flag         string // set on the command line instead
}

// decoder reads a YAML document into a Config, field by field, so that every problem is found in one
// pass and has its place. YAML's own decoder stops at the first and names Go types.
type decoder struct {
	file     string
	places   map[string]place // by field path
	problems catalog.Problems
}

// add notes a problem at its field's place.
func (d *decoder) add(p catalog.Problem) {
	d.problems = append(d.problems, d.placed(p))
}

// placed gives p the place of its field, or of the nearest section above it that the file has.
func (d *decoder) placed(p catalog.Problem) catalog.Problem {
	p.Severity = cmp.Or(p.Severity, catalog.SeverityError)
	if p.Line > 0 {
		p.File = d.file
		return p
	}
	at, ok := d.places[p.Field]
	for field := p.Field; !ok && strings.Contains(field, "."); {
		field = field[:strings.LastIndexByte(field, '.')]
		at, ok = d.places[field]
	}
	switch {
	case at.flag != "":
		p.File = at.flag
	case ok:
		p.File, p.Line, p.Column = d.file, at.line, at.column
	}
	return p
}

// forget drops the problems of a field whose value does not count any more.
func (d *decoder) forget(field string) {
	d.problems = slices.DeleteFunc(d.problems, func(p catalog.Problem) bool { return p.Field == field })
}

func (d *decoder) addAt(n *yaml.Node, field, message, hint string) {
	d.add(catalog.Problem{Line: n.Line, Column: n.Column, Field: field, Message: message, Hint: hint})
}

// document reads text, which may be empty.
func (d *decoder) document(text []byte, cfg *Config) {
	if !utf8.Valid(text) {
		d.add(catalog.Problem{Line: 1, Column: 1, Message: "the file is not UTF-8 text", Hint: "is it a settings file? save it as UTF-8"})
		return
	}
	reader := yaml.NewDecoder(strings.NewReader(string(text)))
	var doc, more yaml.Node
	if err := reader.Decode(&doc); errors.Is(err, io.EOF) {
		return
	} else if err != nil {
		d.syntax(err)
		return
	}
	if err := reader.Decode(&more); err == nil {
		d.addAt(&more, "", "a second document begins here", "settings are one document: remove the ---")
	} else if !errors.Is(err, io.EOF) {
		d.syntax(err)
	}
	if len(doc.Content) == 1 && doc.Content[0].Tag != "!!null" {
		d.section(doc.Content[0], "", reflect.ValueOf(cfg).Elem())
	}
}

var yamlLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?`)

// syntax notes what YAML's parser says, which knows the line at most.
func (d *decoder) syntax(err error) {
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 1
	if m := yamlLine.FindStringSubmatch(message); m[1] != "" {
		if n, err := strconv.Atoi(m[1]); err == nil {
			line = max(n, 1)
		}
		message = strings.TrimPrefix(message, m[0])
	}
	d.add(catalog.Problem{Line: line, Column: 1, Message: "this is not YAML: " + message, Hint: "look at the indentation, quotes and colons here and in the line above"})
}

// section reads the mapping n into the fields of the struct v, which lies at path.
func (d *decoder) section(n *yaml.Node, path string, v reflect.Value) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return // a section with nothing in it
	}
	if n.Kind != yaml.MappingNode {
		d.addAt(n, path, "must be a section with fields, not "+kindOf(n), "fields: "+strings.Join(names(v.Type()), ", "))
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		field := join(path, key.Value)
		if key.Kind != yaml.ScalarNode || key.Tag == "!!merge" {
			d.addAt(key, path, "a field's name must be a plain word, not "+kindOf(key), "write name: value")
			continue
		}
		if seen[key.Value] {
			d.addAt(key, field, "is set twice", "remove one of the two")
			continue
		}
		seen[key.Value] = true
		target, ok := byName(v, key.Value)
		if !ok {
			d.addAt(key, field, "there is no such setting", suggest(key.Value, names(v.Type())))
			continue
		}
		d.places[field] = place{line: value.Line, column: value.Column}
		d.value(value, field, target)
	}
}

func (d *decoder) value(n *yaml.Node, field string, v reflect.Value) {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		d.addAt(n, field, "anchors and aliases (&, *) are not read here", "write the value itself")
	case isSection(v.Type()):
		d.section(n, field, v)
	case v.Kind() == reflect.Map:
		d.words(n, field, v)
	case v.Kind() == reflect.Slice:
		d.list(n, field, v)
	case n.Kind != yaml.ScalarNode:
		d.addAt(n, field, "must be one value, not "+kindOf(n), "")
	case n.Tag == "!!null":
		// "listen:" with nothing behind it leaves the default.
	default:
		if message, hint := setScalar(v, n.Value); message != "" {
			d.addAt(n, field, message, hint)
		}
	}
}

// words reads the mapping n into the map v, whose keys are the owner's own.
func (d *decoder) words(n *yaml.Node, path string, v reflect.Value) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return
	}
	if n.Kind != yaml.MappingNode {
		d.addAt(n, path, "must be a section of names and values, not "+kindOf(n), "write name: value, one a line")
		return
	}
	out := reflect.MakeMap(v.Type())
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		field := join(path, key.Value)
		name := reflect.ValueOf(key.Value)
		switch {
		case key.Kind != yaml.ScalarNode || key.Tag == "!!merge" || key.Value == "":
			d.addAt(key, path, "a name must be a plain word, not "+kindOf(key), "write name: value")
			continue
		case out.MapIndex(name).IsValid():
			d.addAt(key, field, "is set twice", "remove one of the two")
			continue
		}
		d.places[field] = place{line: value.Line, column: value.Column}
		entry := reflect.New(v.Type().Elem()).Elem()
		d.value(value, field, entry)
		out.SetMapIndex(name, entry)
	}
	v.Set(out)
}

// list reads a sequence of values, or of sections.
func (d *decoder) list(n *yaml.Node, path string, v reflect.Value) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return
	}
	if n.Kind != yaml.SequenceNode {
		d.addAt(n, path, "must be a list, not "+kindOf(n), "write - value, one a line")
		return
	}
	out := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		at := path
		if isSection(v.Type().Elem()) {
			at = fmt.Sprintf("%s[%d]", path, i)
		}
		d.value(item, at, out.Index(i))
	}
	v.Set(out)
}

// setScalar sets v from text as a person writes it. It returns what is wrong with it, or "".
func setScalar(v reflect.Value, text string) (message, hint string) {
	switch target := v.Addr().Interface().(type) {
	case *time.Duration:
		parsed, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Sprintf("%q is not a duration", text), "write it like 500ms, 30s, 5m or 1h30m"
		}
		*target = parsed
	case *slog.Level:
		if err := target.UnmarshalText([]byte(text)); err != nil {
			return fmt.Sprintf("%q is not a level", text), "one of debug, info, warn, error"
		}
	case *netip.Prefix:
		return setPrefix(target, text)
	case *bool:
		parsed, ok := map[string]bool{"true": true, "yes": true, "on": true, "false": false, "no": false, "off": false}[strings.ToLower(text)]
		if !ok {
			return fmt.Sprintf("%q is neither true nor false", text), "write true or false"
		}
		*target = parsed
	case **bool:
		var parsed bool
		if message, hint = setScalar(reflect.ValueOf(&parsed).Elem(), text); message == "" {
			*target = &parsed
		}
		return message, hint
	case *int:
		parsed, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Sprintf("%q is not a whole number", text), ""
		}
		*target = parsed
	case *float64:
		parsed, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return fmt.Sprintf("%q is not a number", text), ""
		}
		*target = parsed
	case *int64:
		return setSize(target, text)
	case *string:
		*target = text
	default:
		panic("config: no way to read a " + v.Type().String()) // a field's type is a programmer's choice, and a test's to see
	}
	return "", ""
}

// setSize reads bytes. Rooms write "no limit" as -1 and "the default" as 0.
func setSize(target *int64, text string) (message, hint string) {
	switch text {
	case "-1":
		*target = -1
		return "", ""
	case "0":
		*target = 0
		return "", ""
	}
	parsed, err := accel.ParseSize(text)
	if err != nil {
		return err.Error(), "units are binary: 1k is 1024"
	}
	*target = parsed
	return "", ""
}

func setPrefix(target *netip.Prefix, text string) (message, hint string) {
	parsed, err := netip.ParsePrefix(text)
	if err != nil {
		return fmt.Sprintf("%q is not a range of addresses", text), "write it like 10.200.0.0/16"
	}
	if parsed != parsed.Masked() {
		return fmt.Sprintf("%s is an address in a range, not the range", text), "write " + parsed.Masked().String()
	}
	*target = parsed
	return "", ""
}

// fieldsOf leads from the path of every field that is no section to the field.
func fieldsOf(cfg *Config) map[string]reflect.Value {
	out := map[string]reflect.Value{}
	var walk func(path string, v reflect.Value)
	walk = func(path string, v reflect.Value) {
		for i := range v.NumField() {
			field := join(path, nameOf(v.Type().Field(i)))
			if isSection(v.Field(i).Type()) {
				walk(field, v.Field(i))
			} else {
				out[field] = v.Field(i)
			}
		}
	}
	walk("", reflect.ValueOf(cfg).Elem())
	return out
}

func isSection(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t != reflect.TypeFor[netip.Prefix]()
}

func byName(v reflect.Value, name string) (reflect.Value, bool) {
	for i := range v.NumField() {
		if nameOf(v.Type().Field(i)) == name {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

func names(t reflect.Type) []string {
	out := make([]string, t.NumField())
	for i := range out {
		out[i] = nameOf(t.Field(i))
	}
	return out
}

func nameOf(f reflect.StructField) string {
	name, _, _ := strings.Cut(cmp.Or(f.Tag.Get("yaml"), f.Tag.Get("json")), ",")
	return cmp.Or(name, strings.ToLower(f.Name))
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.SequenceNode:
		return "a list"
	case yaml.MappingNode:
		return "a section"
	case yaml.AliasNode:
		return "an alias"
	}
	return strconv.Quote(n.Value)
}
