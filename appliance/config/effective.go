package config

import (
	"encoding"
	"encoding/json"
	"fmt"
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"time"
)

// Where a setting comes from.
const (
	FromDefault = "default"
	FromFile    = "file"
	FromFlag    = "flag" // or the environment variable in its place
)

// Setting is one value that holds.
type Setting struct {
	Name   string // router.domain
	Value  string // as it is written in the file; what is secret in it is hidden
	From   string // default, file, flag
	Hidden bool   // a part of it, or all, is not shown
}

// Effective are all settings that hold, in the order of the file, with where each comes from: flags has what the command
// line said. What equals the default counts as that.
func Effective(c Config, flags Overrides) []Setting {
	given := map[string]bool{}
	for _, f := range flags.flags() {
		given[f.field] = f.value != ""
	}
	var out, defaults []Setting
	flatten(reflect.ValueOf(c), "", &out)
	flatten(reflect.ValueOf(Default()), "", &defaults)
	plain := map[string]string{}
	for _, s := range defaults {
		plain[s.Name] = s.Value
	}
	for i := range out {
		s := &out[i]
		value, known := plain[s.Name]
		switch {
		case known && value == s.Value:
			s.From = FromDefault
		case given[s.Name]:
			s.From = FromFlag
		default:
			s.From = FromFile
		}
		s.Value, s.Hidden = hide(s.Name, s.Value)
	}
	return out
}

// flatten writes each value with its path.
func flatten(v reflect.Value, path string, out *[]Setting) {
	t := v.Type()
	if text, ok := written(v); ok || t.Kind() != reflect.Struct {
		*out = append(*out, Setting{Name: path, Value: text})
		return
	}
	for i := range t.NumField() {
		field := t.Field(i)
		if !field.IsExported() {
			continue
		}
		name, rest, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		if name == "" {
			name, rest, _ = strings.Cut(field.Tag.Get("json"), ",")
		}
		inner := path
		switch {
		case name == "-":
			continue
		case name == "" && (field.Anonymous || strings.Contains(rest, "inline")):
		case name == "":
			name = strings.ToLower(field.Name)
			fallthrough
		default:
			if inner != "" {
				inner += "."
			}
			inner += name
		}
		flatten(v.Field(i), inner, out)
	}
}

// written is a value as a file has it; false for what has fields of its own.
func written(v reflect.Value) (string, bool) {
	switch x := v.Interface().(type) {
	case time.Duration:
		return x.String(), true
	case encoding.TextMarshaler:
		text, err := x.MarshalText()
		return string(text), err == nil
	}
	switch v.Kind() {
	case reflect.Struct:
		return "", false
	case reflect.String:
		return v.String(), true
	case reflect.Map, reflect.Slice, reflect.Pointer, reflect.Interface, reflect.Array:
		if (v.Kind() == reflect.Map || v.Kind() == reflect.Slice) && v.Len() == 0 || v.IsZero() {
			return "", true
		}
		raw, err := json.Marshal(v.Interface())
		if err != nil {
			return "(cannot be written)", true
		}
		return string(raw), true
	}
	return fmt.Sprint(v.Interface()), true
}

var (
	secretName  = regexp.MustCompile(`(?i)(secret|password|passwd|token|credential|api_?key|private)`)
	secretInDSN = regexp.MustCompile(`(?i)\b((?:password|passwd|pwd|secret|token|key|sslpassword)\s*=\s*)('[^']*'|[^\s&;]+)`)
	secretField = regexp.MustCompile(`(?i)("[^"]*(?:secret|password|token|credential|authorization|api_?key)[^"]*"\s*:\s*)("(?:[^"\\]|\\.)*")`)
	inURL       = regexp.MustCompile(`[a-z][a-z0-9+.-]*://[^\s"']+`)
)

const hidden = "***"

// hide takes out what is secret, by the name of the setting and by the looks of its value: it is better that too much goes.
func hide(name, value string) (string, bool) {
	if value == "" {
		return "", false
	}
	if last := name[strings.LastIndexByte(name, '.')+1:]; secretName.MatchString(last) && !isFlagOrNumber(value) {
		return hidden, true
	}
	shown := inURL.ReplaceAllStringFunc(value, func(raw string) string {
		u, err := url.Parse(raw)
		if err != nil {
			return hidden
		}
		if _, ok := u.User.Password(); ok {
			return strings.Replace(u.Redacted(), ":xxxxx@", ":"+hidden+"@", 1)
		}
		return raw
	})
	shown = secretInDSN.ReplaceAllString(shown, "${1}"+hidden)
	shown = secretField.ReplaceAllString(shown, `${1}"`+hidden+`"`)
	return shown, shown != value
}

// isFlagOrNumber: token_limit: 100 tells no secret.
func isFlagOrNumber(value string) bool {
	if value == "true" || value == "false" {
		return true
	}
	if _, err := time.ParseDuration(value); err == nil {
		return true
	}
	return strings.Trim(value, "0123456789.") == "" && len(value) < 10
}
