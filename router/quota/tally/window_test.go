package tally

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/palisade-run/palisade/router/quota"
)

// The scripts' calendar is Go's.
func TestWindowsInScripts(t *testing.T) {
	s := newServer(t)
	from, rest, ok := strings.Cut(commonText, "-- Bounds of the window")
	if !ok || from == "" {
		t.Fatal("the function is not where it was")
	}
	body, _, _ := strings.Cut(rest, "-- Takes out")
	text := "local hour, day = 3600, 86400\n--" + body + `
local out = {}
for i, t in ipairs(ARGV) do if i > 1 then local a, b = window(ARGV[1], tonumber(t)); out[#out+1] = a; out[#out+1] = b end end
return out`
	r := rand.New(rand.NewPCG(1, 2))
	var times []any
	for _, at := range []string{"2000-02-29T12:00:00Z", "2100-02-28T23:59:59Z", "2028-02-29T00:00:00Z", "2026-12-31T23:59:59Z", "2027-01-01T00:00:00Z", "2026-03-01T00:00:00Z", "2026-02-28T23:59:59Z"} {
		v, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		times = append(times, v.Unix())
	}
	for range 3000 {
		times = append(times, r.Int64N(8_000_000_000))
	}
	for _, w := range []quota.Window{quota.Ever, quota.Hour, quota.Day, quota.Week, quota.Month} {
		got, err := s.client.Eval(t.Context(), text, nil, append([]any{string(w)}, times...)...).Int64Slice()
		if err != nil {
			t.Fatal(err)
		}
		for i, at := range times {
			from, until := w.Bounds(time.Unix(at.(int64), 0))
			want := [2]int64{from.Unix(), until.Unix()}
			if w == quota.Ever {
				want = [2]int64{}
			}
			if have := [2]int64{got[2*i], got[2*i+1]}; have != want {
				t.Fatal(fmt.Sprint(w, " at ", at, ": ", have, ", want ", want))
			}
		}
	}
}

// A process of before a change of settings knows a subject by another window. What it ends then takes nothing away of what is spent in
// the one that holds by now.
func TestAWindowThatChanges(t *testing.T) {
	s := newServer(t)
	elder, box := newBox(t, s.socket, quota.Limits{Budget: 1000, Window: quota.Day}), newBox(t, s.socket, quota.Limits{Budget: 1000, Window: quota.Month})
	together(t, elder, box)
	streams, _, ok := elder.take(100)
	if !ok {
		t.Fatal("refused")
	}
	g, _, ok := box.take(600)
	if !ok {
		t.Fatal("refused")
	}
	g.Settle(box.now(), 600)
	streams.Settle(elder.now(), 50)
	eventually(t, "both have ended", func() bool { return s.all(t, "token:ci")["c"] == 0 })
	if _, r, ok := box.take(500); ok || r.Kind != quota.Budget || r.Left != 400 {
		t.Errorf("%v %+v", ok, r)
	}
	if _, _, ok := box.take(400); !ok {
		t.Error("what is left is refused")
	}
}
