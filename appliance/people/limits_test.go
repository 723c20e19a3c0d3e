package people

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestMergeLimits(t *testing.T) {
	row := func(l Limits) LimitLayer { return LimitLayer{l, LimitFromRow} }
	config := func(l Limits) LimitLayer { return LimitLayer{l, LimitFromConfig} }
	rest := func(l Limits) LimitLayer { return LimitLayer{l, LimitFromDefault} }
	words := func(pairs ...string) map[string]string {
		out := map[string]string{}
		for pair := range slices.Chunk(pairs, 2) {
			out[pair[0]] = pair[1]
		}
		return out
	}
	tests := []struct {
		name   string
		layers []LimitLayer
		want   Limits
		from   map[string]LimitSource
	}{
		{"nothing", nil, Limits{}, nil},
		{"a row alone", []LimitLayer{row(Limits{Sessions: 2, Storage: 5})}, Limits{Sessions: 2, Storage: 5},
			map[string]LimitSource{"sessions": LimitFromRow, "storage": LimitFromRow}},
		{"a row wins bound by bound", []LimitLayer{
			row(Limits{Slots: words("cpu", "8"), Routes: 3}), config(Limits{Slots: words("cpu", "4", "mem", "1g"), Routes: 9, Services: 7}), rest(Limits{Storage: 1}),
		}, Limits{Slots: words("cpu", "8", "mem", "1g"), Routes: 3, Services: 7, Storage: 1}, map[string]LimitSource{
			"cpu": LimitFromRow, "mem": LimitFromConfig, "routes": LimitFromRow, "services": LimitFromConfig, "storage": LimitFromDefault,
		}},
		{"a row lifts", []LimitLayer{
			row(Limits{Slots: words("cpu", Unbounded), Sessions: UnboundedMost, Storage: UnboundedMost, Usage: words("tokens_per_minute", Unbounded)}),
			config(Limits{Slots: words("cpu", "4"), Sessions: 3, Storage: 7, Usage: words("tokens_per_minute", "5k", "requests_per_minute", "6")}),
		}, Limits{Usage: words("requests_per_minute", "6")}, map[string]LimitSource{
			"cpu": LimitFromRow, "sessions": LimitFromRow, "storage": LimitFromRow, "tokens_per_minute": LimitFromRow, "requests_per_minute": LimitFromConfig,
		}},
		{"a budget keeps its window", []LimitLayer{
			row(Limits{Usage: words("token_budget", "9")}), config(Limits{Usage: words("token_budget", "5", "budget_window", "day")}),
		}, Limits{Usage: words("token_budget", "9")}, map[string]LimitSource{"token_budget": LimitFromRow}},
		{"none of a slot is a bound", []LimitLayer{row(Limits{Slots: words("cuda.device", "0")}), rest(Limits{Slots: words("cuda.device", "4")})},
			Limits{Slots: words("cuda.device", "0")}, map[string]LimitSource{"cuda.device": LimitFromRow}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := MergeLimits(tt.layers...)
			if len(got.Slots) == 0 {
				got.Slots = nil
			}
			if len(got.Usage) == 0 {
				got.Usage = nil
			}
			if len(got.From) == 0 {
				got.From = nil
			}
			if d := cmp.Diff(Effective{tt.want, tt.from}, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// limitRows are a store of limits in memory.
type limitRows struct {
	mu   sync.Mutex
	rows map[string]LimitRow
	fail error
}

func (r *limitRows) Limits(context.Context) (out []LimitRow, err error) {
	for _, row := range r.rows {
		out = append(out, row)
	}
	return out, r.fail
}

func (r *limitRows) SaveLimits(_ context.Context, row LimitRow) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail == nil {
		r.rows[string(row.Kind)+row.Name] = row
	}
	return r.fail
}

func (r *limitRows) DeleteLimits(_ context.Context, kind LimitKind, name string) error {
	if r.fail == nil {
		delete(r.rows, string(kind)+name)
	}
	return r.fail
}

func TestLimitBook(t *testing.T) {
	rows := &limitRows{rows: map[string]LimitRow{}}
	settings := LimitSettings{LimitProject: {
		{"red": {Sessions: 4}, Everybody: {Sessions: 9, Services: 2}},
		{Everybody: {Storage: 100}},
	}}
	open := func() *LimitBook {
		b, err := OpenLimits(t.Context(), rows, settings, func() time.Time { return time.Unix(1_800_000_000, 0) })
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	b := open()
	var applied []int
	if err := b.Follow(t.Context(), func(context.Context) error {
		applied = append(applied, b.Of(LimitProject, "red").Sessions)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Set(t.Context(), LimitProject, "red", Limits{Sessions: 1}, "root"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Set(t.Context(), LimitProject, "blue", Limits{Routes: 1}, "root"); err != nil {
		t.Fatal(err)
	}
	b = open()
	red, blue := b.Of(LimitProject, "red"), b.Of(LimitProject, "blue")
	if red.Sessions != 1 || red.Services != 0 || red.Storage != 100 || blue.Sessions != 9 || blue.Services != 2 || blue.Routes != 1 {
		t.Errorf("red %+v, blue %+v", red, blue)
	}
	if names := b.Named(LimitProject); !slices.Equal(names, []string{"blue", "red"}) {
		t.Error(names)
	}
	if row, is := b.Row(LimitProject, "red"); !is || row.ChangedBy != "root" || row.ChangedAt.IsZero() {
		t.Errorf("%+v", row)
	}
	if err := b.Clear(t.Context(), LimitProject, "red"); err != nil || b.Of(LimitProject, "red").Sessions != 4 {
		t.Error(err, b.Of(LimitProject, "red"))
	}
	if !slices.Equal(applied, []int{4, 1, 1}) {
		t.Error(applied)
	}
	rows.fail = errors.New("away")
	if _, err := b.Set(t.Context(), LimitProject, "red", Limits{Sessions: 7}, "root"); !errors.Is(err, rows.fail) || b.Of(LimitProject, "red").Sessions != 4 {
		t.Errorf("what was not kept holds: %v", err)
	}
}

// What was set of one that was removed goes, and what was set of one that has its name since does not.
func TestLimitBookForgets(t *testing.T) {
	rows := &limitRows{rows: map[string]LimitRow{}}
	b, err := OpenLimits(t.Context(), rows, LimitSettings{}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	set := func(sessions int) {
		t.Helper()
		if _, err := b.Set(t.Context(), LimitProject, "red", Limits{Sessions: sessions}, "root"); err != nil {
			t.Fatal(err)
		}
	}
	forget := func(what string, want int) {
		t.Helper()
		if err := b.Forget(t.Context(), LimitProject, "red"); err != nil || b.Of(LimitProject, "red").Sessions != want {
			t.Errorf("%s: %+v, %v", what, b.Of(LimitProject, "red"), err)
		}
	}
	set(3)
	clear(rows.rows) // it goes with the project
	forget("removed", 0)
	set(5)
	forget("made anew, and set before", 5)
	rows.fail = errors.New("away")
	forget("while nobody can be asked", 0)
}

func TestLimitBookIsAskedWhileItChanges(t *testing.T) {
	b, err := OpenLimits(t.Context(), &limitRows{rows: map[string]LimitRow{}}, nil, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for n := range 4 {
		wg.Go(func() {
			for range 50 {
				if _, err := b.Set(t.Context(), LimitUser, "ada", Limits{Sessions: n + 1, Slots: map[string]string{"cpu": "1"}}, "root"); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			for range 50 {
				b.Of(LimitUser, "ada")
				b.Named(LimitUser)
			}
		})
	}
	wg.Wait()
}
