package quota

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestWindows(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct {
		window           Window
		now, from, until string
	}{
		{Hour, "2026-03-01T10:59:59Z", "2026-03-01T10:00:00Z", "2026-03-01T11:00:00Z"},
		{Hour, "2026-03-01T10:10:00+05:45", "2026-03-01T04:00:00Z", "2026-03-01T05:00:00Z"},
		{Day, "2026-02-28T23:59:59Z", "2026-02-28T00:00:00Z", "2026-03-01T00:00:00Z"},
		{Week, "2026-01-01T00:00:00Z", "2025-12-29T00:00:00Z", "2026-01-05T00:00:00Z"},
		{Week, "2026-01-04T23:00:00Z", "2025-12-29T00:00:00Z", "2026-01-05T00:00:00Z"},
		{Week, "2026-01-05T00:00:00Z", "2026-01-05T00:00:00Z", "2026-01-12T00:00:00Z"},
		{Month, "2028-02-29T12:00:00Z", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"},
		{Month, "2025-12-31T23:59:59-01:00", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"},
	} {
		from, until := c.window.Bounds(at(c.now))
		if !from.Equal(at(c.from)) || !until.Equal(at(c.until)) {
			t.Errorf("%s at %s: %v to %v", c.window, c.now, from, until)
		}
	}
	if from, until := Ever.Bounds(start); !from.IsZero() || !until.IsZero() {
		t.Errorf("ever: %v to %v", from, until)
	}
}

// A budget begins anew with its window; what ended after that counts for the new one, and a clock that is
// set back gives nobody a second budget.
func TestBudgetOverItsWindows(t *testing.T) {
	p := Payers{NewSubject(`token "ci"`, Limits{Budget: 1000, Window: Hour}, 900, start)} // 23:59:30
	ask := Ask{Bytes: 4 * 49, Answer: 50}
	g, _, ok := p.Take(start, ask)
	if !ok || g.Reserved() != 100 {
		t.Fatalf("the rest of the budget: %v, %d reserved", ok, g.Reserved())
	}
	// The one in flight is in the way: it may use less.
	_, r, ok := p.Take(start, ask)
	if ok || r.Kind != Budget || r.RetryAfter != time.Second || r.Left != 0 || !r.Until.IsZero() {
		t.Errorf("%v %+v", ok, r)
	}
	g.Settle(start, 40)
	_, r, ok = p.Take(start, ask)
	midnight := start.Add(30 * time.Second)
	if ok || r.Left != 60 || r.Asked != 100 || r.RetryAfter != 30*time.Second || !r.Until.Equal(midnight) {
		t.Errorf("%v %+v", ok, r)
	}
	want := `The budget of token "ci" does not suffice: 1000 tokens for one hour, of which 60 are left, and this request may use 100. There is more from 2026-02-01T00:00:00Z.`
	if r.Message() != want {
		t.Errorf("%s", r.Message())
	}
	long, _, ok := p.Take(start, Ask{Bytes: 4, Answer: 10})
	if !ok {
		t.Fatal("what fits the rest was refused")
	}
	long.Settle(midnight, 12)
	if s := p.State(midnight); s.Spent != 12 || !s.SpentUntil.Equal(midnight.Add(time.Hour)) {
		t.Errorf("in the new window: %+v", s)
	}
	if s := p.State(start.Add(-2 * time.Hour)); s.Spent != 12 {
		t.Errorf("with a clock set back: %+v", s)
	}
}

func TestBudgetForEver(t *testing.T) {
	p := Payers{NewSubject(`token "ci"`, Limits{Budget: 1000}, 990, start)}
	_, r, ok := p.Take(start.AddDate(9, 0, 0), Ask{Bytes: 40, Answer: -1})
	if ok || r.RetryAfter != time.Minute || !r.Until.IsZero() || !strings.HasSuffix(r.Message(), "Ask the owner for more.") {
		t.Errorf("%v %+v %s", ok, r, r.Message())
	}
	if _, _, ok := p.Take(start, Ask{}); !ok {
		t.Error("a request that uses no tokens was refused")
	}
}

// A request that may use more than a whole limit is let in when it has all of it; then nothing else is.
func TestLargerThanTheLimit(t *testing.T) {
	p := Payers{NewSubject("t", Limits{TokensPerMinute: 100}, 0, start)}
	large := Ask{Bytes: 4, Answer: 8192}
	g, _, ok := p.Take(start, large)
	if !ok {
		t.Fatal("never let in")
	}
	if _, _, ok := p.Take(start, Ask{Bytes: 1, Answer: 0}); ok {
		t.Error("beside it another was let in")
	}
	g.Settle(start, 30)
	if _, _, ok := p.Take(start, Ask{Bytes: 4, Answer: 60}); !ok {
		t.Error("what fits was refused")
	}
	if _, r, ok := p.Take(start, large); ok || r.Left != 8 || r.RetryAfter != time.Minute {
		t.Errorf("%v %+v", ok, r)
	}
}

// What does not say how long its answer may be is held for what answers have come to of late.
func TestTypicalAnswers(t *testing.T) {
	p := Payers{NewSubject("t", Limits{TokensPerMinute: 1 << 40}, 0, start)}
	ask := Ask{Bytes: 400, Answer: -1}
	g, _, _ := p.Take(start, ask)
	if g.Reserved() != 101+typicalAnswer {
		t.Errorf("at first %d", g.Reserved())
	}
	for range 200 {
		g.Settle(start, 101+2000)
		g, _, _ = p.Take(start, ask)
	}
	if n := g.Reserved(); n < 2090 || n > 2101 {
		t.Errorf("after answers of 2000: %d", n)
	}
	g.Settle(start, 0)
	g, _, _ = Payers{NewSubject("t", Limits{Concurrent: 1}, 0, start)}.Take(start, Ask{Bytes: 100 << 20, Answer: 1 << 62})
	if n := g.Reserved(); n != longestGuess+most {
		t.Errorf("an absurd one: %d", n)
	}
	g.Settle(start, -5)
	g, _, _ = p.Take(start, Ask{Bytes: 4, Answer: 1})
	g.Settle(start, 1<<62)
	if s := p.State(start); s.Tokens.Remaining != 0 {
		t.Errorf("%+v", s)
	}
}

// A clock that jumps by hours, either way, neither frees a token nor locks it out: what is counted a
// minute goes by time that has passed.
func TestClockSetBack(t *testing.T) {
	now := time.Now()
	p := Payers{NewSubject("t", Limits{RequestsPerMinute: 1}, 0, now)}
	if _, _, ok := p.Take(now.Add(10*time.Second), Ask{}); !ok {
		t.Fatal("refused")
	}
	if _, r, ok := p.Take(now.Add(5*time.Second), Ask{}); ok || r.RetryAfter > time.Minute {
		t.Errorf("earlier than the last: %v %+v", ok, r)
	}
	if _, _, ok := p.Take(now.Add(70*time.Second), Ask{}); !ok {
		t.Error("refused after a minute")
	}
}

func TestWithoutLimits(t *testing.T) {
	if s := NewSubject("t", Limits{}, 5, start); s != nil {
		t.Error("a subject without limits")
	}
	var s *Subject
	if s.State(start) != (State{}) || s.Limits() != (Limits{}) {
		t.Error("a nil subject has a state")
	}
	g, _, ok := Payers{}.Take(start, Ask{Bytes: 1})
	g.Settle(start, 1)
	if !ok || !(Payers{}).None() {
		t.Error("refused")
	}
	one := NewSubject("t", Limits{Concurrent: 1}, 0, start)
	g, _, ok = Payers{one, one}.Take(start, Ask{})
	if !ok || one.State(start).InFlight != 1 {
		t.Error("one subject twice")
	}
	g.Settle(start, 0)
}

func TestParse(t *testing.T) {
	l, err := Parse(map[string]string{"requests_per_minute": "60", "tokens_per_minute": "100k", "concurrent_requests": "8", "token_budget": "1.5M", "budget_window": "day"})
	if err != nil || l != (Limits{60, 100_000, 8, 1_500_000, Day}) {
		t.Errorf("%+v %v", l, err)
	}
	if l, err := Parse(nil); err != nil || !l.Unlimited() {
		t.Errorf("%+v %v", l, err)
	}
	for _, c := range []struct{ name, value, want string }{
		{"rpm", "1", "rpm: there is no such limit"},
		{"requests_per_minute", "-1", "is not a number"},
		{"requests_per_minute", "", "is not a number"},
		{"tokens_per_minute", "1e9", "is not a number"},
		{"tokens_per_minute", "0.0001k", "is not a number"},
		{"tokens_per_minute", "9999999999999999", "more than can be counted"},
		{"token_budget", "99999999999G", "is not a number"},
		{"token_budget", "k", "is not a number"},
		{"budget_window", "year", `"year" is not a window`},
		{"budget_window", "day", "is a window of token_budget"},
	} {
		_, err := Parse(map[string]string{c.name: c.value})
		e, ok := errors.AsType[*FieldError](err)
		if !ok || !strings.Contains(err.Error(), c.want) || e.Hint() == "" || e.Field != c.name {
			t.Errorf("%s %q: %v, want %q", c.name, c.value, err, c.want)
		}
	}
	if err := (Limits{Concurrent: -1}).Check(); err == nil {
		t.Error("a negative limit")
	}
}

func FuzzParseCount(f *testing.F) {
	for _, s := range []string{"1", "1k", "1.5M", "0.5k", "..", "1.2.3M", "٣k"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if n, err := ParseCount(s); err == nil && n < 0 {
			t.Errorf("%q is %d", s, n)
		}
	})
}

func TestFields(t *testing.T) {
	token := NewSubject("t", Limits{RequestsPerMinute: 10, Concurrent: 3}, 0, start)
	project := NewSubject("p", Limits{RequestsPerMinute: 5, TokensPerMinute: 1000}, 0, start)
	p := Payers{token, project}
	if _, _, ok := p.Take(start, Ask{Bytes: 400, Answer: 99}); !ok {
		t.Fatal("refused")
	}
	fields := func(p Payers, now time.Time) string {
		var out []string
		s := p.State(now)
		s.Fields(make([]byte, 0, 24), func(name string, value []byte) bool {
			out = append(out, strings.TrimPrefix(name, "x-ratelimit-")+"="+string(value))
			return true
		})
		return strings.Join(out, " ")
	}
	now := start.Add(800 * time.Millisecond)
	for _, c := range []struct {
		payers Payers
		want   string
	}{
		{p, "limit-requests=5 remaining-requests=4 reset-requests=59.2s limit-tokens=1000 remaining-tokens=800 reset-tokens=0s"},
		{Payers{token, nil}, "limit-requests=10 remaining-requests=9 reset-requests=59.2s"},
		{Payers{nil, project}, "limit-requests=5 remaining-requests=4 reset-requests=59.2s limit-tokens=1000 remaining-tokens=800 reset-tokens=0s"},
		{Payers{NewSubject("t", Limits{Concurrent: 1}, 0, start)}, ""},
		{Payers{}, ""},
	} {
		if got := fields(c.payers, now); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
	if got := fields(Payers{token}, start.Add(59500*time.Millisecond)); !strings.HasSuffix(got, "=500ms") {
		t.Error(got)
	}
}

func TestMessages(t *testing.T) {
	p := Payers{NewSubject(`token "ci"`, Limits{RequestsPerMinute: 1, TokensPerMinute: 100, Concurrent: 1}, 0, start)}
	g, _, _ := p.Take(start, Ask{Bytes: 4, Answer: 8})
	_, r, _ := p.Take(start.Add(500*time.Millisecond), Ask{})
	if r.Message() != `Rate limit reached for token "ci": 1 requests per minute. Try again in 60 s.` || r.Kind.String() != "requests_per_minute" {
		t.Error(r.Message())
	}
	g.Settle(start, 95)
	_, r, _ = p.Take(start.Add(61*time.Second), Ask{Bytes: 4, Answer: 8})
	if r.Message() != "" {
		t.Error("refused after a minute: " + r.Message())
	}
	g, _, _ = Payers{NewSubject("t", Limits{TokensPerMinute: 100, Concurrent: 9}, 0, start)}.Take(start, Ask{Bytes: 4, Answer: 90})
	_, r, _ = g.payers.Take(start, Ask{Bytes: 4, Answer: 8})
	if r.Message() != "Rate limit reached for t: 100 tokens per minute, of which 8 are left, and this request may use 10. Try again in 1 s." {
		t.Error(r.Message())
	}
	_, r, ok := func() (Grant, Refusal, bool) {
		p := Payers{NewSubject("t", Limits{Concurrent: 1}, 0, start)}
		p.Take(start, Ask{})
		return p.Take(start, Ask{})
	}()
	if ok || r.Message() != "Too many requests at a time for t: at most 1. Try again in 1 s." {
		t.Error(r.Message())
	}
}

func BenchmarkTakeSettle(b *testing.B) {
	many := Limits{RequestsPerMinute: 1 << 40, TokensPerMinute: 1 << 49, Concurrent: 1 << 20, Budget: 1 << 49, Window: Day}
	for _, c := range []struct {
		name   string
		payers Payers
	}{
		{"none", Payers{}},
		{"token", Payers{NewSubject("t", many, 0, start)}},
		{"token and project", Payers{NewSubject("t", many, 0, start), NewSubject("p", many, 0, start)}},
		{"token, project and person", Payers{NewSubject("t", many, 0, start), NewSubject("p", many, 0, start), NewSubject("u", many, 0, start)}},
	} {
		one := func() {
			g, _, ok := c.payers.Take(start, Ask{Bytes: 1000, Answer: 100})
			if !ok {
				b.Fatal("refused")
			}
			g.Settle(start, 100)
		}
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				one()
			}
		})
		b.Run(c.name+", all cores", func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					one()
				}
			})
		})
	}
}

func BenchmarkFields(b *testing.B) {
	p := Payers{NewSubject("t", Limits{RequestsPerMinute: 100, TokensPerMinute: 1000}, 0, start)}
	buf := make([]byte, 0, 24)
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		s := p.State(start)
		s.Fields(buf, func(_ string, value []byte) bool { n += len(value); return true })
	}
}

// What another process's requests used counts as what one's own did, and is refused by nobody.
func TestCharge(t *testing.T) {
	now := start
	s := NewSubject("x", Limits{TokensPerMinute: 100, Budget: 1000}, 900, now)
	s.Charge(now, 60)
	s.Charge(now, -5)
	if st := s.State(now); st.Spent != 960 || st.InFlight != 0 {
		t.Errorf("%+v", st)
	}
	s.Charge(now, 1000)
	if _, r, ok := (Payers{s}).Take(now, Ask{Bytes: 4, Answer: 1}); ok || r.Kind != Budget && r.Kind != Tokens {
		t.Errorf("let in, or refused by %v, though more than all is used", r.Kind)
	}
	(*Subject)(nil).Charge(now, 1)
}
