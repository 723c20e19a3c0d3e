package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/palisade-run/palisade/router/usage"
)

// ledger is a store that adds each batch once, as usage.Store has it, and fails when told to.
type ledger struct {
	last  map[string]int64
	total int64
	fail  func() (before, after error)
}

func (l *ledger) AddUsage(_ context.Context, b usage.Batch) error {
	var before, after error
	if l.fail != nil {
		before, after = l.fail()
	}
	if before != nil {
		return before
	}
	if l.last == nil {
		l.last = map[string]int64{}
	}
	if b.Number > l.last[b.Writer] {
		l.last[b.Writer] = b.Number
		for _, r := range b.Rows {
			l.total += r.Prompt
		}
	}
	return after
}

func (l *ledger) Usage(context.Context, usage.Query) ([]usage.Row, error) { return nil, nil }

func used(prompt int64) usage.Row {
	return usage.Row{Hour: time.Unix(3600, 0).UTC(), Key: usage.Key{Token: "tok", Project: "p"}, Class: usage.Class2xx, Sums: usage.Sums{Requests: 1, Prompt: prompt}}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// What a process uses after it has left the store is added once, whatever happens in between, and in order though the
// store fails.
func TestSpilledUsageIsAddedOnce(t *testing.T) {
	data, store := t.TempDir(), &ledger{}
	b := &books{Store: store}
	ctx := t.Context()
	if err := b.AddUsage(ctx, usage.Batch{Writer: "w", Number: 1, Rows: []usage.Row{used(1)}}); err != nil {
		t.Fatal(err)
	}
	b.leaveStore(&spill{dir: spillDir(data)})
	add := func(number, prompt int64) {
		t.Helper()
		if err := b.AddUsage(ctx, usage.Batch{Writer: "w", Number: number, Rows: []usage.Row{used(prompt)}}); err != nil {
			t.Fatal(err)
		}
	}
	add(1, 1) // the answer to its first try was lost
	add(2, 10)
	var charged int64
	reader := newSpilled(data, store, quiet())
	reader.added = func(r usage.Row) { charged += r.Prompt }
	want := func(total int64, files int) {
		t.Helper()
		left, _ := filepath.Glob(filepath.Join(spillDir(data), "*"))
		if store.total != total || len(left) != files {
			t.Errorf("%d are kept, want %d; %d files are left, want %d", store.total, total, len(left), files)
		}
	}
	if err := reader.collect(ctx); err != nil {
		t.Fatal(err)
	}
	want(11, 1)
	add(3, 100)
	add(4, 1000)
	store.fail = func() (before, after error) { return nil, errors.New("the answer was lost") }
	if err := reader.collect(ctx); err == nil {
		t.Error("that the store failed is told to nobody")
	}
	store.fail = func() (before, after error) { return errors.New("away"), nil }
	_ = reader.collect(ctx)
	store.fail = nil
	// Another process reads all of it again.
	if err := newSpilled(data, store, quiet()).collect(ctx); err != nil {
		t.Fatal(err)
	}
	want(1111, 1)
	if err := reader.collect(ctx); err != nil {
		t.Fatal(err)
	}
	want(1111, 1)
	add(5, 10000)
	if err := b.close(); err != nil {
		t.Fatal(err)
	}
	if err := reader.collect(ctx); err != nil {
		t.Fatal(err)
	}
	want(11111, 0)
	if charged != 11111 {
		t.Errorf("%d are charged", charged)
	}
}

// A crash may leave half a line, and a full disk one in the middle.
func TestSpilledUsageOfACrash(t *testing.T) {
	data, store := t.TempDir(), &ledger{}
	dir := spillDir(data)
	text := "\n" + `{"Writer":"w","Number":1,"Rows":[{"Hour":"2026-01-01T00:00:00Z","Token":"t","Class":2,"Requests":1,"Prompt":5}]}` + "\n" +
		"\n" + `{"Writer":"w","Number":2,"Ro` + "\n" + `{"Writer":"w","Number":2,"Rows":[{"Prompt":50}]}` + "\n" + "\n" + `{"Writer":"w","Num`
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, "x"+spillSuffix), []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := newSpilled(data, store, quiet()).collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(dir); store.total != 55 || len(left) != 0 {
		t.Errorf("%d are kept of 55, and %d files", store.total, len(left))
	}
}

// Half of a line that is still being written is read when it is whole.
func TestSpilledUsageThatIsBeingWritten(t *testing.T) {
	data, store := t.TempDir(), &ledger{}
	s := &spill{dir: spillDir(data)}
	if err := s.open(); err != nil {
		t.Fatal(err)
	}
	defer s.file.Close()
	reader := newSpilled(data, store, quiet())
	for _, part := range []string{`{"Writer":"w","Number":1,"Ro`, `ws":[{"Prompt":5}]}`, "\n"} {
		if _, err := s.file.WriteString(part); err != nil {
			t.Fatal(err)
		}
		if err := reader.collect(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if store.total != 5 {
		t.Errorf("%d are kept of 5", store.total)
	}
}

// What a process had counted that was killed is added by the next one, once, and after what it had spilled. The journal of one that
// lives is its own.
func TestUsageOfAKilledProcess(t *testing.T) {
	data, store := t.TempDir(), &ledger{}
	dir := spillDir(data)
	away := &ledger{fail: func() (before, after error) { return errors.New("away"), nil }}
	m := usage.NewMeter(away, time.Now, quiet())
	if err := m.Keep(dir); err != nil {
		t.Fatal(err)
	}
	count := func(prompt int64) {
		m.Add(&usage.Key{Token: "tok"}, &usage.Sample{At: time.Now(), Status: 200, Prompt: prompt})
	}
	count(1)
	_ = m.Flush(t.Context())
	count(10)
	reader := newSpilled(data, store, quiet())
	if err := reader.collect(t.Context()); err != nil || store.total != 0 {
		t.Errorf("of a process that lives %d are added, %v", store.total, err)
	}
	// The kernel lets go of the locks of who is killed, which is all that it does.
	paths, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "killed-"+filepath.Base(path)), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	store.fail = func() (before, after error) { return nil, errors.New("the answer was lost") }
	if err := reader.collect(t.Context()); err == nil {
		t.Error("that the store failed is told to nobody")
	}
	store.fail = nil
	if err := reader.collect(t.Context()); err != nil || store.total != 11 {
		t.Errorf("of 11 %d are added, %v", store.total, err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "killed-*")); len(left) > 0 {
		t.Errorf("left are %v", left)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	// What cannot be read is kept for who wants to look, and told.
	if err := os.WriteFile(filepath.Join(dir, "bad"+usage.JournalSuffix), []byte("none"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := reader.collect(t.Context()); err != nil || store.total != 11 {
		t.Errorf("of 11 %d are there, %v", store.total, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "bad"+usage.JournalSuffix+".broken")); err != nil {
		t.Error(err)
	}
}

// What a killed process had spilled is in the store before what is in its journal: the store takes nothing of a writer that is older
// than what it has.
func TestSpilledUsageComesBeforeTheJournal(t *testing.T) {
	data, store := t.TempDir(), &ledger{}
	dir := spillDir(data)
	away := &ledger{fail: func() (before, after error) { return errors.New("away"), nil }}
	m := usage.NewMeter(away, time.Now, quiet())
	if err := m.Keep(dir); err != nil {
		t.Fatal(err)
	}
	m.Add(&usage.Key{Token: "tok"}, &usage.Sample{At: time.Now(), Status: 200, Prompt: 1})
	paths, _ := filepath.Glob(filepath.Join(dir, "*"+usage.JournalSuffix))
	if len(paths) != 1 {
		t.Fatalf("journals: %v", paths)
	}
	text, err := os.ReadFile(paths[0])
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "killed"+usage.JournalSuffix), text, 0o600)
	}
	spilled, failed := json.Marshal(usage.Batch{Writer: "killed", Number: 1, Rows: []usage.Row{{Key: usage.Key{Token: "tok"}}}})
	if err == nil {
		err = errors.Join(failed, os.WriteFile(filepath.Join(dir, "killed"+spillSuffix), append(spilled, '\n'), 0o600))
	}
	if err != nil {
		t.Fatal(err)
	}
	once := true
	store.fail = func() (before, after error) {
		if once {
			once = false
			return errors.New("away for a moment"), nil
		}
		return nil, nil
	}
	if err := newSpilled(data, store, quiet()).collect(t.Context()); err == nil || store.total != 0 {
		t.Errorf("after what failed %d are added, %v", store.total, err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
}

// What comes again and again, as a later batch fails, is charged once.
func TestUsageOfAKilledProcessIsChargedOnce(t *testing.T) {
	data, store, calls, charged := t.TempDir(), &ledger{}, 0, int64(0)
	dir := spillDir(data)
	m := usage.NewMeter(store, time.Now, quiet())
	if err := m.Keep(dir); err != nil {
		t.Fatal(err)
	}
	paths, _ := filepath.Glob(filepath.Join(dir, "*"+usage.JournalSuffix))
	text, err := os.ReadFile(paths[0])
	held, failed := json.Marshal([]usage.Batch{{Writer: "w", Number: 1, Rows: []usage.Row{used(1)}}, {Writer: "w", Number: 2, Rows: []usage.Row{used(10)}}})
	killed := filepath.Join(dir, "w"+usage.JournalSuffix)
	if err := errors.Join(err, failed, os.WriteFile(killed+".held", held, 0o600), os.WriteFile(killed, text, 0o600), m.Close()); err != nil {
		t.Fatal(err)
	}
	store.fail = func() (before, after error) {
		if calls++; calls%2 == 0 && calls < 10 {
			return errors.New("away"), nil
		}
		return nil, nil
	}
	s := newSpilled(data, store, quiet())
	s.added = func(r usage.Row) { charged += r.Prompt }
	for s.collect(t.Context()) != nil {
		if charged != 1 {
			t.Fatalf("%d are charged of 1", charged)
		}
	}
	if charged != 11 || store.total != 11 {
		t.Errorf("%d are charged and %d kept of 11", charged, store.total)
	}
}

// What a process had not named yet when it was killed is removed, and what one that runs is about to name is not.
func TestFilesWithoutANameAreSwept(t *testing.T) {
	data, now := t.TempDir(), time.Now()
	dir := spillDir(data)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, age := range map[string]time.Duration{"a.counted.new": 2 * time.Hour, "a.counted.held.new": 2 * time.Hour, "b.counted.new": time.Minute, "c.counted": 2 * time.Hour} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chtimes(path, now, now.Add(-age))); err != nil {
			t.Fatal(err)
		}
	}
	newSpilled(data, &ledger{}, quiet()).sweep(now)
	left, _ := filepath.Glob(filepath.Join(dir, "*"))
	if want := []string{filepath.Join(dir, "b.counted.new"), filepath.Join(dir, "c.counted")}; !slices.Equal(left, want) {
		t.Errorf("left are %v", left)
	}
}

// What cannot be read is not taken for the end of it: it stays, and is tried again.
func TestSpilledUsageThatCannotBeRead(t *testing.T) {
	data, store := t.TempDir(), &ledger{}
	path := filepath.Join(spillDir(data), "w"+spillSuffix)
	if err := os.MkdirAll(path, 0o700); err != nil { // a directory is opened, and not read
		t.Fatal(err)
	}
	reader := newSpilled(data, store, quiet())
	if err := reader.collect(t.Context()); err == nil {
		t.Error("nobody is told")
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("it was removed unread: %v", err)
	}
}
