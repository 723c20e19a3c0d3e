package catalog

import (
	"slices"
	"strings"

	"github.com/palisade-run/palisade/catalog/spelling"
)

// Map returns the field's keys; false when absent, null, or (reported) no map. Kebab-case keys are
// read as snake_case ones.
func (f Field) Map() (Map, bool) {
	if !f.Given() {
		return Map{field: f}, false
	}
	if f.node.kind != dict {
		f.wrongType("a map", "")
		return Map{field: f}, false
	}
	m := Map{field: f}
	lines := make(map[string]int)
	for _, p := range f.node.pairs {
		key := strings.ReplaceAll(p.key, "-", "_")
		e := entry{written: p.key, key: key, at: p.at, value: p.value}
		if line, ok := lines[key]; ok {
			m.keyField(e).Error("remove one of them", "is the same key as %q in line %d", m.written(key), line)
			continue
		}
		lines[key] = p.at.line
		m.entries = append(m.entries, e)
	}
	return m, true
}

// Map is a map of a document.
type Map struct {
	field   Field
	entries []entry
}

type entry struct {
	written string // as in the file
	key     string // in snake_case
	at      place
	value   *node
}

func (m Map) written(key string) string {
	i := slices.IndexFunc(m.entries, func(e entry) bool { return e.key == key })
	if i < 0 {
		return key
	}
	return m.entries[i].written
}

func (m Map) child(key string) string {
	if m.field.path == "" {
		return key
	}
	return m.field.path + "." + key
}

// keyField stands for the key itself: problems with the key are reported at it.
func (m Map) keyField(e entry) Field {
	return Field{doc: m.field.doc, path: m.child(e.written), at: e.at}
}

// Get returns the value of a key, given in snake_case.
func (m Map) Get(key string) Field {
	for _, e := range m.entries {
		if e.key == key {
			return m.field.doc.field(m.child(key), e.value, e.at)
		}
	}
	return m.field.doc.field(m.child(key), nil, m.field.at)
}

// GetAlias returns the value of key, or of its other spelling. Both is an error.
func (m Map) GetAlias(key, other string) Field {
	a, b := m.Get(key), m.Get(other)
	if a.node != nil && b.node != nil {
		b.Error("remove one of them", "is the same as %s, which is given too", key)
	}
	if a.node == nil && b.node != nil {
		return b
	}
	return a
}

// MapEntry is one key of a map whose keys are the owner's own.
type MapEntry struct {
	Key   string // as written
	Value Field
}

// Entries returns all keys as they are written.
func (m Map) Entries() []MapEntry {
	out := make([]MapEntry, len(m.entries))
	for i, e := range m.entries {
		out[i] = MapEntry{Key: e.written, Value: m.field.doc.field(m.child(e.written), e.value, e.at)}
	}
	return out
}

// WarnUnknown warns of every key that is not among known.
func (m Map) WarnUnknown(known ...string) {
	for _, e := range m.entries {
		if !slices.Contains(known, e.key) {
			m.keyField(e).Warn(spelling.DidYouMean(e.key, known), "unknown key")
		}
	}
}
