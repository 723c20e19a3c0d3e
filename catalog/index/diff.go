package index

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/palisade-run/palisade/catalog/recipe"
)

// Change is what became of one recipe.
type Change struct {
	Recipe string
	Kind   string // added, removed, changed
	From   string // version before
	To     string // version after
	Fields []Field
}

// Field is one value of a recipe that changed; an empty one was not there.
type Field struct {
	Name     string // variants[fp8].images[0].reference
	From, To string
}

const longestValue = 200 // bytes of a value that are shown

// Diff says what became of recipes, by name. What decides what is run (images, sources, arguments) is in it, to be looked at
// before an update is taken.
func Diff(before, after []recipe.Entry) []Change {
	old, now := byName(before), byName(after)
	names := slices.Concat(slices.Collect(maps.Keys(old)), slices.Collect(maps.Keys(now)))
	slices.Sort(names)
	changes := []Change{}
	for _, name := range slices.Compact(names) {
		was, wasThere := old[name]
		is, isThere := now[name]
		switch {
		case !wasThere:
			changes = append(changes, Change{Recipe: name, Kind: "added", To: is.Version})
		case !isThere:
			changes = append(changes, Change{Recipe: name, Kind: "removed", From: was.Version})
		default:
			if fields := compare(was, is); len(fields) > 0 {
				changes = append(changes, Change{Recipe: name, Kind: "changed", From: was.Version, To: is.Version, Fields: fields})
			}
		}
	}
	return changes
}

func byName(entries []recipe.Entry) map[string]recipe.Entry {
	out := map[string]recipe.Entry{}
	for _, e := range entries {
		out[e.Name] = e
	}
	return out
}

func compare(was, is recipe.Entry) []Field {
	var fields []Field
	walk(&fields, "", reflect.ValueOf(was.Recipe), reflect.ValueOf(is.Recipe))
	for _, f := range []struct {
		name     string
		was, now []byte
	}{{recipe.DefinitionFile, was.Definition, is.Definition}, {recipe.ReadmeFile, was.Readme, is.Readme}, {recipe.IconFile, was.Icon, is.Icon}} {
		if !bytes.Equal(f.was, f.now) {
			fields = append(fields, Field{f.name, size(f.was), size(f.now)})
		}
	}
	return fields
}

func size(src []byte) string {
	if src == nil {
		return ""
	}
	return strconv.Itoa(len(src)) + " bytes, sha256 " + sum(src)[:12]
}

// walk compares values of one type, and notes each plain one that differs.
func walk(out *[]Field, name string, was, is reflect.Value) {
	switch was.Kind() {
	case reflect.Struct:
		for i := range was.NumField() {
			walk(out, join(name, snake(was.Type().Field(i).Name)), was.Field(i), is.Field(i))
		}
	case reflect.Pointer:
		if was.IsNil() || is.IsNil() {
			note(out, name, was, is)
			return
		}
		walk(out, name, was.Elem(), is.Elem())
	case reflect.Slice:
		walkKeyed(out, name, items(was), items(is))
	case reflect.Map:
		walkKeyed(out, name, pairs(was), pairs(is))
	default:
		note(out, name, was, is)
	}
}

// keyed is an element of a list or a map, by its name or place.
type keyed struct {
	key   string
	value reflect.Value
}

func items(list reflect.Value) []keyed {
	var out []keyed
	for i := range list.Len() {
		key := strconv.Itoa(i)
		if v := list.Index(i); v.Kind() == reflect.Struct && v.FieldByName("Name").IsValid() {
			key = v.FieldByName("Name").String()
		}
		out = append(out, keyed{key, list.Index(i)})
	}
	return out
}

func pairs(m reflect.Value) []keyed {
	var out []keyed
	for _, k := range m.MapKeys() {
		out = append(out, keyed{k.String(), m.MapIndex(k)})
	}
	slices.SortFunc(out, func(a, b keyed) int { return cmp.Compare(a.key, b.key) })
	return out
}

func walkKeyed(out *[]Field, name string, was, is []keyed) {
	find := func(in []keyed, key string) reflect.Value {
		for _, k := range in {
			if k.key == key {
				return k.value
			}
		}
		return reflect.Value{}
	}
	for _, w := range was {
		at := fmt.Sprintf("%s[%s]", name, w.key)
		if now := find(is, w.key); now.IsValid() {
			walk(out, at, w.value, now)
		} else {
			note(out, at, w.value, reflect.Value{})
		}
	}
	for _, n := range is {
		if !find(was, n.key).IsValid() {
			note(out, fmt.Sprintf("%s[%s]", name, n.key), reflect.Value{}, n.value)
		}
	}
}

func note(out *[]Field, name string, was, is reflect.Value) {
	if from, to := text(was), text(is); from != to {
		*out = append(*out, Field{name, short(from), short(to)})
	}
}

// text is a value in words; nothing for what is not there.
func text(v reflect.Value) string {
	for v.IsValid() && v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	if !v.IsValid() || v.IsZero() {
		return ""
	}
	return strings.Join(strings.Fields(fmt.Sprintf("%+v", v.Interface())), " ")
}

func short(value string) string {
	if len(value) <= longestValue {
		return value
	}
	return strings.ToValidUTF8(value[:longestValue], "") + "..."
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// snake is a field's name as the file has it: SmokeTest is smoke_test, ID is id.
func snake(name string) string {
	var b strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) && i > 0 && !unicode.IsUpper(rune(name[i-1])) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
