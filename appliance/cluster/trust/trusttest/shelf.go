// Package trusttest owns a trust.Shelf in memory, and the suite that every Shelf passes.
package trusttest

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/palisade-run/palisade/appliance/cluster/trust"
)

// Memory is a Shelf that forgets when the process ends.
type Memory struct {
	mu       sync.Mutex
	entries  map[string]trust.Entry
	revision int64
	// Before is called before each commit with what is to be written; an error stands in the place of the commit.
	Before func(writes []trust.Write) error
}

// Get implements trust.Shelf.
func (m *Memory) Get(_ context.Context, key string) (trust.Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.entries[key], nil
}

// List implements trust.Shelf.
func (m *Memory) List(_ context.Context, prefix string) ([]trust.Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []trust.Entry
	for key, e := range m.entries {
		if strings.HasPrefix(key, prefix) {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b trust.Entry) int { return strings.Compare(a.Key, b.Key) })
	return out, nil
}

// Commit implements trust.Shelf.
func (m *Memory) Commit(_ context.Context, writes []trust.Write) (bool, error) {
	if m.Before != nil {
		if err := m.Before(writes); err != nil {
			return false, err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.entries == nil {
		m.entries = map[string]trust.Entry{}
	}
	for _, w := range writes {
		if m.entries[w.Key].Revision != w.Revision {
			return false, nil
		}
	}
	m.revision++
	for _, w := range writes {
		if w.Value == nil {
			delete(m.entries, w.Key)
			continue
		}
		m.entries[w.Key] = trust.Entry{Key: w.Key, Value: bytes.Clone(w.Value), Revision: m.revision}
	}
	return true, nil
}

// Shelf is what every shelf keeps to. It must be empty.
func Shelf(t *testing.T, s trust.Shelf) {
	t.Helper()
	ctx := t.Context()
	commit := func(want bool, writes ...trust.Write) {
		t.Helper()
		if ok, err := s.Commit(ctx, writes); err != nil || ok != want {
			t.Fatalf("commit of %+v: %v, %v; want %v", writes, ok, err, want)
		}
	}
	get := func(key, want string) int64 {
		t.Helper()
		e, err := s.Get(ctx, key)
		if err != nil || string(e.Value) != want || (want == "") != (e.Revision == 0) || (want != "" && e.Key != key) {
			t.Fatalf("%s: %+v, %v; want %q", key, e, err, want)
		}
		return e.Revision
	}
	get("a/1", "")
	commit(true, trust.Write{Key: "a/1", Value: []byte("one")}, trust.Write{Key: "a/2", Value: []byte("two")})
	commit(false, trust.Write{Key: "a/1", Value: []byte("again")})
	first, second := get("a/1", "one"), get("a/2", "two")

	commit(false, trust.Write{Key: "a/1", Value: []byte("1"), Revision: first}, trust.Write{Key: "a/2", Value: []byte("2"), Revision: second + 1000})
	get("a/1", "one") // all or nothing
	commit(true, trust.Write{Key: "a/1", Value: []byte("1"), Revision: first}, trust.Write{Key: "b/1", Value: []byte("other")})
	if get("a/1", "1") <= first {
		t.Error("a write has no greater revision than the one before")
	}
	commit(false, trust.Write{Key: "a/1", Revision: first}) // gone only as it was seen
	commit(true, trust.Write{Key: "a/2", Revision: second}, trust.Write{Key: "a/0", Value: []byte("zero")})
	get("a/2", "")
	commit(false, trust.Write{Key: "a/2", Value: []byte("back"), Revision: second})

	entries, err := s.List(ctx, "a/")
	if err != nil || len(entries) != 2 || entries[0].Key != "a/0" || entries[1].Key != "a/1" || string(entries[1].Value) != "1" || entries[1].Revision != get("a/1", "1") {
		t.Errorf("%+v, %v", entries, err)
	}
	if none, err := s.List(ctx, "c/"); err != nil || len(none) != 0 {
		t.Errorf("%+v, %v", none, err)
	}
}
