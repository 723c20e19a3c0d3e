package store

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// asJSON marks an argument of a query that is kept as JSON.
type asJSON struct{ v any }

// encode maps arguments to values that mean the same to both databases.
func encode(args []any) ([]any, error) {
	out := make([]any, len(args))
	for i, a := range args {
		switch a := a.(type) {
		case time.Time:
			out[i] = encodeTime(a)
		case string:
			out[i] = clean(a)
		case int:
			out[i] = int64(a)
		case asJSON:
			b, err := json.Marshal(a.v)
			if err != nil {
				return nil, fmt.Errorf("encoding %T: %w", a.v, err)
			}
			out[i] = string(b)
		default:
			out[i] = a
		}
	}
	return out, nil
}

// encodeTime returns microseconds since 1970 UTC; nil for the zero time.
func encodeTime(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}

// clean replaces what PostgreSQL refuses in text: NUL, and bytes that are not UTF-8.
func clean(s string) string {
	if strings.IndexByte(s, 0) < 0 && utf8.ValidString(s) {
		return s
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// intoTime reads what encodeTime wrote.
type intoTime struct{ t *time.Time }

// Scan implements sql.Scanner.
func (d intoTime) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*d.t = time.Time{}
	case int64:
		*d.t = time.UnixMicro(v).UTC()
	default:
		return fmt.Errorf("a time is kept as a whole number, not as %T", src)
	}
	return nil
}

// intoJSON reads what asJSON wrote.
type intoJSON struct{ v any }

// Scan implements sql.Scanner.
func (d intoJSON) Scan(src any) error {
	switch v := src.(type) {
	case string:
		return json.Unmarshal([]byte(v), d.v)
	case []byte:
		return json.Unmarshal(v, d.v)
	}
	return fmt.Errorf("JSON is kept as text, not as %T", src)
}

// intoShared reads JSON as intoJSON does, but equal texts into one value whose insides are shared. Only
// for values that are never changed once made.
type intoShared[T any] struct {
	v    *T
	seen map[string]T
}

// Scan implements sql.Scanner.
func (d intoShared[T]) Scan(src any) error {
	text, ok := src.(string)
	if !ok {
		return intoJSON{d.v}.Scan(src)
	}
	if v, ok := d.seen[text]; ok {
		*d.v = v
		return nil
	}
	if err := json.Unmarshal([]byte(text), d.v); err != nil {
		return err
	}
	d.seen[text] = *d.v
	return nil
}
