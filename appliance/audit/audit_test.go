package audit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/palisade-run/palisade/appliance/audit"
)

// memory is a store that may fail.
type memory struct {
	mu   sync.Mutex
	rows []audit.Record
	fail error
}

func (m *memory) AppendAudit(_ context.Context, next func(audit.Head) (audit.Record, error)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	var head audit.Head
	if n := len(m.rows); n > 0 {
		head = m.rows[n-1].Head()
	}
	r, err := next(head)
	if err == nil {
		m.rows = append(m.rows, r)
	}
	return err
}

func (m *memory) Audit(_ context.Context, q audit.Query) ([]audit.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []audit.Record
	for _, r := range m.rows {
		if r.Seq > q.After && (q.Before == 0 || r.Seq < q.Before) && (q.Limit == 0 || len(out) < q.Limit) {
			out = append(out, r)
		}
	}
	return out, nil
}

// kept is what it has by now.
func (m *memory) kept() []audit.Record {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.rows)
}

// fails has it fail from now on; nil: no more.
func (m *memory) fails(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = err
}

func at(s int) time.Time { return time.Date(2026, 3, 1, 0, 0, s, 0, time.UTC) }

func chain(t *testing.T, n int) (*memory, *audit.Log) {
	t.Helper()
	m := &memory{}
	l := audit.New(m, filepath.Join(t.TempDir(), "head"), func() time.Time { return at(0) }, slog.New(slog.DiscardHandler))
	for i := range n {
		l.Add(t.Context(), audit.Entry{At: at(i), Actor: "ann", Action: "createService", Target: fmt.Sprint("services/s", i), Status: 201})
	}
	return m, l
}

// TestTampering: whatever is done to a chain is seen, and where.
func TestTampering(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(m *memory)
		want string
		at   int64
	}{
		"nothing":             {func(*memory) {}, "", 0},
		"a text":              {func(m *memory) { m.rows[2].Text = bytes.Replace(m.rows[2].Text, []byte("ann"), []byte("bob"), 1) }, "record 3 was changed: its hash", 3},
		"a column":            {func(m *memory) { m.rows[2].Actor = "bob" }, "record 3 was changed: its columns", 3},
		"one from the middle": {func(m *memory) { m.rows = slices.Delete(m.rows, 1, 2) }, "record 3 follows record 1", 3},
		"the first":           {func(m *memory) { m.rows = m.rows[1:] }, "record 2 follows record 0", 2},
		"the last":            {func(m *memory) { m.rows = m.rows[:4] }, "the record ends at 4, and went to 5", 5},
		"all":                 {func(m *memory) { m.rows = nil }, "the record ends at 0, and went to 5", 5},
		"one and its hash": {func(m *memory) {
			e := m.rows[2].Entry
			e.Actor = "bob"
			m.rows[2], _ = audit.Next(m.rows[1].Head(), e)
		}, "record 4 does not follow the record before it", 4},
		"all from one on": {func(m *memory) {
			for i := 2; i < 5; i++ {
				e := m.rows[i].Entry
				e.Actor = "bob"
				m.rows[i], _ = audit.Next(m.rows[i-1].Head(), e)
			}
		}, "record 5 is not the one that was known before", 5},
		"two in each other's place": {func(m *memory) { m.rows[1], m.rows[2] = m.rows[2], m.rows[1] }, "record 3 follows record 1", 3},
	} {
		t.Run(name, func(t *testing.T) {
			m, l := chain(t, 5)
			c.do(m)
			v, err := l.Verify(t.Context())
			if err != nil || !strings.HasPrefix(v.Fault, c.want) || (v.Fault == "") != (c.want == "") || v.At != c.at {
				t.Errorf("%+v, %v; want %q at %d", v, err, c.want, c.at)
			}
		})
	}
}

// TestTailRemoved: who removes the last records and goes on does not hide it by what comes after.
func TestTailRemoved(t *testing.T) {
	m, l := chain(t, 5)
	m.rows = m.rows[:3]
	for want := int64(4); want < 8; want++ {
		l.Add(t.Context(), audit.Entry{At: at(9), Actor: "eve", Action: "createService", Target: "services/x"})
		v, err := l.Verify(t.Context())
		if err != nil || v.At != 5 || v.Fault == "" || v.Head.Seq != want {
			t.Errorf("%+v, %v", v, err)
		}
	}
}

// TestStrangeTexts: what a client says of itself and of its project is no alarm, in any database.
func TestStrangeTexts(t *testing.T) {
	m, l := chain(t, 1)
	l.Add(t.Context(), audit.Entry{At: at(1), Actor: "a\xff", Project: "\xff\x00", Action: "x", Target: "y\x00"})
	v, err := l.Verify(t.Context())
	if err != nil || v.Fault != "" || strings.ContainsRune(m.rows[1].Project+m.rows[1].Target, 0) {
		t.Errorf("%+v, %v, %q", v, err, m.rows[1].Project)
	}
}

// TestHide: secrets are told by what stands before them.
func TestHide(t *testing.T) {
	for text, want := range map[string]string{
		"nothing of it":                              "nothing of it",
		"env HF_TOKEN=hunter2 serve":                 "env HF_TOKEN=(hidden) serve",
		"serve --api-key hunter2 --port 1":           "serve --api-key (hidden) --port 1",
		"serve --max-tokens 5 --tokenizer a/b":       "serve --max-tokens 5 --tokenizer a/b",
		"environ:\n  HF_TOKEN: hunter2\n  N: 1\n":    "environ:\n  HF_TOKEN: (hidden)\n  N: 1\n",
		"  password: \"hunter 2\"\n":                 "  password: (hidden)\n",
		"curl -H 'Authorization: Bearer hunter2'":    "curl -H 'Authorization: (hidden)'",
		"https://ann:hunter2@host/x.git":             "https://(hidden)@host/x.git",
		"https://host/x?token=hunter2&n=1":           "https://host/x?token=(hidden)&n=1",
		"webhook: https://hooks/T/hunter2":           "webhook: (hidden)",
		"k: |\n  -----BEGIN PRIVATE KEY-----\n  x\n": "k: |\n  (hidden)",
		"PRIVATE: |\n  hunter\n  2\nb: 1\n":          "PRIVATE: (hidden)\nb: 1\n",
	} {
		if got := audit.Hide(text); got != want {
			t.Errorf("%q: %q, not %q", text, got, want)
		}
	}
	got := audit.Diff(nil, []byte(`{"command":["serve","--api-key","hunter2","--port","80"],"definition":"a:\n  HF_TOKEN: hunter2\n"}`))
	if text := string(got[0].After); strings.Contains(text, "hunter2") || !strings.Contains(text, "80") {
		t.Error(text)
	}
}

// TestLeftToSuccessor: what a daemon has to tell when its store is closed already is in the record of the one that follows.
func TestLeftToSuccessor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, witness := &memory{}, filepath.Join(t.TempDir(), "head")
		now := func() time.Time { return at(0) }
		old := audit.New(m, witness, now, slog.New(slog.DiscardHandler))
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); old.Run(ctx) }()
		m.fails(errors.New("closed"))
		old.Add(t.Context(), audit.Entry{At: at(1), Action: "a"})
		stop()
		<-done
		m.fails(nil)
		next := audit.New(m, witness, now, slog.New(slog.DiscardHandler))
		ctx, stop = context.WithCancel(t.Context())
		defer stop()
		go next.Run(ctx)
		synctest.Wait()
		m.fails(errors.New("closed"))
		old.Add(t.Context(), audit.Entry{At: at(2), Action: "restart", Changes: []audit.Change{{Path: "x", After: []byte("1")}}})
		m.fails(nil)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		v, err := next.Verify(t.Context())
		if err != nil || v.Fault != "" || len(m.rows) != 2 || m.rows[1].Action != "restart" || !m.rows[1].At.Equal(at(2)) {
			t.Errorf("%+v, %v, %+v", v, err, m.rows)
		}
		if left, err := filepath.Glob(witness + "?*"); err != nil || len(left) > 0 {
			t.Errorf("%v, %v", left, err)
		}
	})
}

// TestHeadKeptElsewhere: against who has written the chain and the witness anew.
func TestHeadKeptElsewhere(t *testing.T) {
	_, old := chain(t, 3)
	v, err := old.Verify(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	kept, err := audit.ParseHead(v.Head.String() + "\n")
	if err != nil || kept != v.Head {
		t.Fatalf("%v, %v", kept, err)
	}
	m, l := chain(t, 0)
	for i := range 5 {
		l.Add(t.Context(), audit.Entry{At: at(i), Actor: "bob"})
	}
	if v, err := l.Verify(t.Context()); err != nil || v.Fault != "" || v.Records != 5 || v.Head != m.rows[4].Head() {
		t.Errorf("%+v, %v", v, err)
	}
	if v, err := l.Verify(t.Context(), kept); err != nil || v.At != 3 || !strings.Contains(v.Fault, "written anew") {
		t.Errorf("%+v, %v", v, err)
	}
	for _, text := range []string{"", "3", "x:00", "0:" + kept.Hash, "3:abc"} {
		if _, err := audit.ParseHead(text); !errors.Is(err, audit.ErrNoHead) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestStoreThatTakesNothing: entries wait, in order, and come when it does.
func TestStoreThatTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, l := chain(t, 1)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); l.Run(ctx) }()
		m.fails(errors.New("the disk is full"))
		for i := range 10_003 {
			l.Add(ctx, audit.Entry{At: at(i), Actor: "ann", Action: fmt.Sprint("a", i)})
		}
		time.Sleep(time.Minute)
		if n := len(m.kept()); n != 1 {
			t.Fatalf("%d", n)
		}
		m.fails(nil)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		rows := m.kept()
		if n := len(rows); n != 10_002 || rows[1].Action != "a0" || rows[10_000].Action != "a9999" || rows[n-1].Action != "auditGap" || !strings.HasPrefix(rows[n-1].Detail, "3 changes") {
			t.Fatalf("%d, %+v", n, rows[n-1].Entry)
		}
		l.Add(ctx, audit.Entry{Actor: "ann", Action: "after"})
		if v, err := l.Verify(ctx); err != nil || v.Fault != "" || v.Records != 10_003 {
			t.Errorf("%+v, %v", v, err)
		}
		m.fails(errors.New("again"))
		l.Add(ctx, audit.Entry{Actor: "ann", Action: "last"})
		m.fails(nil)
		cancel()
		<-done
		if rows = m.kept(); rows[len(rows)-1].Action != "last" {
			t.Error("what was owed at the end is not kept")
		}
	})
}

func TestDiff(t *testing.T) {
	for name, c := range map[string]struct{ before, after, want string }{
		"the same":    {`{"a":1,"b":[1,2]}`, `{"b":[1,2],"a":1}`, ``},
		"a value":     {`{"a":{"b":1,"c":2}}`, `{"a":{"b":3,"c":2}}`, `a.b: 1 -> 3`},
		"come, gone":  {`{"a":1}`, `{"b":2}`, `a: 1 -> ; b:  -> 2`},
		"a list":      {`{"a":[1]}`, `{"a":[1,2]}`, `a: [1] -> [1,2]`},
		"made":        {``, `{"name":"x","secret":"s"}`, `:  -> {"name":"x","secret":"(hidden)"}`},
		"removed":     {`{"name":"x"}`, ``, `: {"name":"x"} -> `},
		"no JSON":     {`<html>`, `x`, ``},
		"volatile":    {`{"status":"a","n":1}`, `{"status":"b","n":1}`, ``},
		"secret":      {`{"HF_TOKEN":"one"}`, `{"HF_TOKEN":"two"}`, `HF_TOKEN: "(hidden)" -> "(hidden)"`},
		"secret set":  {`{"environ":{}}`, `{"environ":{"API_KEY":"two","N":"1"}}`, `environ.API_KEY:  -> "(hidden)"; environ.N:  -> "1"`},
		"no secret":   {`{"tokens_per_minute":1}`, `{"tokens_per_minute":2}`, `tokens_per_minute: 1 -> 2`},
		"in a list":   {``, `[{"password":"p"}]`, `:  -> [{"password":"(hidden)"}]`},
		"large":       {`{"a":1}`, `{"a":"` + strings.Repeat("x", 5000) + `"}`, `a: 1 -> "(5002 bytes)"`},
		"big numbers": {`{"a":9007199254740993}`, `{"a":9007199254740994}`, `a: 9007199254740993 -> 9007199254740994`},
	} {
		var out []string
		for _, d := range audit.Diff([]byte(c.before), []byte(c.after), "status") {
			out = append(out, fmt.Sprintf("%s: %s -> %s", d.Path, d.Before, d.After))
		}
		if got := strings.Join(out, "; "); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestDiffIsBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"x":0`)
	for i := range 1000 {
		fmt.Fprintf(&b, `,"n%d":%d`, i, i)
	}
	got := audit.Diff([]byte(`{"x":1}`), []byte(b.String()+"}"))
	if len(got) != 100 || got[99].Path != "..." {
		t.Errorf("%d, %+v", len(got), got[len(got)-1])
	}
}
