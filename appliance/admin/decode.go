package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/catalog/spelling"
)

// maxBody bounds a JSON body: far above any that makes sense.
const maxBody = 1 << 20

// decode reads the request's body, which must be exactly one JSON object with fields that dst knows, each of the
// right type. All that is wrong is told at once, with line and column.
func decode(c *gin.Context, dst any) error {
	body, err := readBody(c)
	if err != nil {
		return err
	}
	return decodeStrict(body, dst)
}

// decodePatch is decode that also returns the fields that are null: those that a request takes away.
func decodePatch(c *gin.Context, dst any) (gone []string, err error) {
	body, err := readBody(c)
	if err != nil {
		return nil, err
	}
	if err := decodeStrict(body, dst); err != nil {
		return nil, err
	}
	all, _ := members(body, 0, '{')
	for _, m := range all {
		if string(m.raw) == "null" {
			gone = append(gone, m.name)
		}
	}
	return gone, nil
}

func readBody(c *gin.Context) ([]byte, error) {
	media, _, err := mime.ParseMediaType(c.GetHeader("Content-Type"))
	if err != nil || media != "application/json" {
		p := api.NewProblem(api.KindMediaType, http.StatusUnsupportedMediaType, "the body must be application/json, not %q", c.GetHeader("Content-Type"))
		p.Hint = "send the header Content-Type: application/json"
		return nil, p
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, maxBody))
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return nil, err
		}
		return nil, api.NewProblem(api.KindInvalid, http.StatusBadRequest, "the body was cut off: %v", err)
	}
	return body, nil
}

// decodeStrict is decode without a request.
func decodeStrict(body []byte, dst any) error {
	d := &strictDecoder{body: body}
	if len(bytes.TrimSpace(body)) == 0 {
		return api.NewProblem(api.KindInvalid, http.StatusBadRequest, "the body is empty; a JSON object is wanted")
	}
	if !utf8.Valid(body) {
		return api.NewProblem(api.KindInvalid, http.StatusBadRequest, "the body is not UTF-8")
	}
	if err := d.syntax(); err != nil {
		return err
	}
	d.value("", body, 0, reflect.ValueOf(dst).Elem())
	if len(d.errors) == 0 {
		return nil
	}
	first := d.errors[0]
	p := api.NewProblem(api.KindInvalid, http.StatusBadRequest, "%s: %s", first.Field, first.Message)
	if len(d.errors) > 1 {
		p.Detail = fmt.Sprintf("%d fields are wrong", len(d.errors))
	}
	p.Hint, p.Errors = first.Hint, d.errors
	return p
}

type strictDecoder struct {
	body   []byte
	errors []api.FieldError
}

// syntax finds the first place where the body is not JSON.
func (d *strictDecoder) syntax() error {
	var raw json.RawMessage
	err := json.Unmarshal(d.body, &raw)
	if err == nil {
		return nil
	}
	offset := int64(len(d.body))
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		offset = max(e.Offset-1, 0)
	}
	line, column := place(d.body, offset)
	p := api.NewProblem(api.KindInvalid, http.StatusBadRequest, "the body is not JSON: %v", err)
	p.Errors = []api.FieldError{{Line: line, Column: column, Message: err.Error()}}
	return p
}

// place turns an offset into line and column, both from 1, columns in characters.
func place(body []byte, offset int64) (line, column int) {
	before := body[:min(int(offset), len(body))]
	line = bytes.Count(before, []byte("\n")) + 1
	return line, utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1
}

func (d *strictDecoder) wrong(field string, offset int, message, hint string) {
	line, column := place(d.body, int64(offset))
	d.errors = append(d.errors, api.FieldError{Field: field, Line: line, Column: column, Message: message, Hint: hint})
}

// value decodes raw, which begins at offset of the body, into v.
func (d *strictDecoder) value(field string, raw []byte, offset int, v reflect.Value) {
	if v.Kind() == reflect.Pointer {
		if string(bytes.TrimSpace(raw)) == "null" {
			return
		}
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		d.moment(field, raw, offset, v)
	case v.Kind() == reflect.Struct:
		d.object(field, raw, offset, v)
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct:
		d.list(field, raw, offset, v)
	default:
		d.leaf(field, raw, offset, v)
	}
}

// moment decodes a time, which JSON has as a string.
func (d *strictDecoder) moment(field string, raw []byte, offset int, v reflect.Value) {
	if err := json.Unmarshal(raw, v.Addr().Interface()); err != nil || string(raw) == "null" {
		d.wrong(field, offset, "must be a time", "as in 2026-03-01T22:00:00Z")
	}
}

// leaf decodes anything that has no fields of its own.
func (d *strictDecoder) leaf(field string, raw []byte, offset int, v reflect.Value) {
	if string(raw) == "null" && v.Kind() != reflect.Map {
		d.wrong(field, offset, "must be "+wanted(v.Type())+", not null", "leave the field out instead")
		return
	}
	err := json.Unmarshal(raw, v.Addr().Interface())
	if err == nil {
		return
	}
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		if e.Field != "" {
			field += "." + e.Field
		}
		got := e.Value
		if number, ok := strings.CutPrefix(got, "number "); ok {
			got = number
		} else {
			got = article(got)
		}
		d.wrong(field, offset, "must be "+wanted(e.Type)+", not "+got, "")
		return
	}
	d.wrong(field, offset, err.Error(), "")
}

// wanted says a type in the words of JSON.
func wanted(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return wanted(t.Elem())
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Slice:
		return "a list"
	case reflect.Map:
		return "an object of strings"
	default:
		return "an object"
	}
}

func article(word string) string {
	switch word {
	case "bool":
		return "true or false"
	case "array":
		return "a list"
	case "object":
		return "an object"
	}
	return "a " + word
}

// element is one member of an object, or one item of a list.
type element struct {
	name            string
	nameAt, valueAt int // offsets in the body
	raw             []byte
}

// members reads an object or a list that is known to be well formed; ok is false when raw is another kind of
// value. offset is where raw begins in the body.
func members(raw []byte, offset int, open json.Delim) (out []element, ok bool) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if t, err := dec.Token(); err != nil || t != open {
		return nil, false
	}
	for dec.More() {
		var m element
		if open == '{' {
			m.nameAt = skip(raw, dec.InputOffset())
			t, err := dec.Token()
			if err != nil {
				return nil, false
			}
			m.name, _ = t.(string)
			m.nameAt += offset
		}
		m.valueAt = skip(raw, dec.InputOffset()) + offset
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, false
		}
		m.raw = value
		out = append(out, m)
	}
	return out, true
}

// skip goes over what stands between two values.
func skip(raw []byte, at int64) int {
	i := int(at)
	for i < len(raw) && strings.IndexByte(" \t\r\n,:", raw[i]) >= 0 {
		i++
	}
	return i
}

func (d *strictDecoder) object(field string, raw []byte, offset int, v reflect.Value) {
	all, ok := members(raw, offset, '{')
	if !ok {
		d.wrong(field, offset, "must be an object", "")
		return
	}
	fields := map[string]int{}
	var names []string
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		fields[name] = i
		names = append(names, name)
	}
	seen := map[string]bool{}
	for _, m := range all {
		path := m.name
		if field != "" {
			path = field + "." + m.name
		}
		i, known := fields[m.name]
		switch {
		case !known:
			hint := "the fields are: " + strings.Join(slices.Sorted(slices.Values(names)), ", ")
			if near := spelling.Nearest(m.name, names); near != "" {
				hint = "did you mean \"" + near + "\"?"
			}
			d.wrong(path, m.nameAt, "there is no such field", hint)
		case seen[m.name]:
			d.wrong(path, m.nameAt, "given twice", "")
		default:
			seen[m.name] = true
			d.value(path, m.raw, m.valueAt, v.Field(i))
		}
	}
}

func (d *strictDecoder) list(field string, raw []byte, offset int, v reflect.Value) {
	all, ok := members(raw, offset, '[')
	if !ok {
		d.wrong(field, offset, "must be a list", "")
		return
	}
	items := reflect.MakeSlice(v.Type(), len(all), len(all))
	for i, m := range all {
		d.value(fmt.Sprintf("%s[%d]", field, i), m.raw, m.valueAt, items.Index(i))
	}
	v.Set(items)
}
