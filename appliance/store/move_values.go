package store

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

// Unfit is one value that the other database cannot hold.
type Unfit struct {
	Table, Key, Column string
	Why                string
}

func (u Unfit) String() string {
	if u.Column == "" {
		return fmt.Sprintf("%s, row %s: %s", u.Table, u.Key, u.Why)
	}
	return fmt.Sprintf("%s, row %s, column %s: %s", u.Table, u.Key, u.Column, u.Why)
}

// normal is a value as a driver gave it, as what the column is to hold: int64, string, bool, float64, or nil. Why says
// what is wrong where it is none of them, or where a database of the kind to cannot hold it.
func normal(k kind, v any, to string) (out any, why string) {
	if v == nil {
		return nil, ""
	}
	switch k {
	case kindText:
		return normalText(v, to)
	case kindWhole:
		if n, ok := v.(int64); ok {
			return n, ""
		}
		if _, ok := v.(float64); ok {
			return nil, "the number is not whole, or larger than 64 bits hold"
		}
	case kindTruth:
		switch v := v.(type) {
		case bool:
			return v, ""
		case int64:
			if v == 0 || v == 1 {
				return v == 1, ""
			}
		}
	case kindReal:
		if n, ok := v.(int64); ok {
			v = float64(n)
		}
		if f, ok := v.(float64); ok {
			if math.IsNaN(f) && to == schemeSQLite {
				return nil, "SQLite has no NaN"
			}
			return f + 0, "" // not -0, which SQLite does not keep
		}
	}
	return nil, fmt.Sprintf("it is %s, where a %s belongs", goWord(v), strings.ToLower(string(k)))
}

func normalText(v any, to string) (any, string) {
	text, ok := v.(string)
	if !ok {
		return nil, "it is " + goWord(v) + ", where text belongs"
	}
	if to != schemePostgres {
		return text, ""
	}
	if at := strings.IndexByte(text, 0); at >= 0 {
		return nil, fmt.Sprintf("PostgreSQL keeps no NUL in text, and byte %d of %d is one", at+1, len(text))
	}
	if !utf8.ValidString(text) {
		at := 0
		for {
			r, size := utf8.DecodeRuneInString(text[at:])
			if r == utf8.RuneError && size == 1 {
				return nil, fmt.Sprintf("it is not UTF-8 from byte %d of %d on", at+1, len(text))
			}
			at += size
		}
	}
	return text, ""
}

func goWord(v any) string {
	switch v.(type) {
	case string:
		return "text"
	case []byte:
		return "bytes"
	case int64:
		return "a number"
	case float64:
		return "a number that is not whole"
	case bool:
		return "true or false"
	}
	return fmt.Sprintf("%T", v)
}

// appendRow writes normal values so that two rows are written alike only if they are the same.
func appendRow(b []byte, row []any) []byte {
	for _, v := range row {
		switch v := v.(type) {
		case nil:
			b = append(b, 'n')
		case bool:
			if v {
				b = append(b, 't')
			} else {
				b = append(b, 'f')
			}
		case int64:
			b = binary.BigEndian.AppendUint64(append(b, 'i'), uint64(v))
		case float64:
			b = binary.BigEndian.AppendUint64(append(b, 'd'), math.Float64bits(v))
		case string:
			b = binary.BigEndian.AppendUint64(append(b, 's'), uint64(len(v)))
			b = append(b, v...)
		}
	}
	return b
}

// keyText names a row for people: service_id=svc-1, seq=3.
func (t *table) keyText(row []any) string {
	var parts []string
	for _, k := range t.key {
		text := fmt.Sprint(row[k])
		length := len(text)
		if s, ok := row[k].(string); ok && (s == "" || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == utf8.RuneError || r == ',' || r > '~' })) {
			text = fmt.Sprintf("%q", s)
		}
		if b, ok := row[k].([]byte); ok {
			text = fmt.Sprintf("%x", b)
		}
		if len(text) > 80 {
			text = fmt.Sprintf("%s... (%d bytes)", strings.ToValidUTF8(text[:60], ""), length)
		}
		parts = append(parts, t.columns[k].name+"="+text)
	}
	return strings.Join(parts, ", ")
}

// compareKeys tells which of two rows comes first: -1, 0 or 1.
func (t *table) compareKeys(a, b []any) int {
	for _, k := range t.key {
		if c := compareValues(a[k], b[k]); c != 0 {
			return c
		}
	}
	return 0
}

func compareValues(a, b any) int {
	switch x := a.(type) {
	case int64:
		if y, ok := b.(int64); ok {
			switch {
			case x < y:
				return -1
			case x > y:
				return 1
			}
		}
	case string:
		if y, ok := b.(string); ok {
			return strings.Compare(x, y)
		}
	}
	return 0 // a key has no NULL, and no column of another kind
}
