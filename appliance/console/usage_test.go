package console

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/palisade-run/palisade/router/usage"
)

func TestUsage(t *testing.T) {
	b := newConsole(t)
	for _, language := range []string{"en", "ko"} {
		for _, path := range []string{"/usage", "/usage/sessions"} {
			has(t, b.get(path, language, 200), []string{`class="empty-title"`, `id="prices"`, `id="usage-csv"`}, []string{"ZgotmplZ", ">usage."})
		}
	}
	for _, model := range []string{"<script>", "=1+1", "llama"} {
		b.Usage.Add(&usage.Key{Project: "default", ServiceID: "svc-1", Service: "chat", Model: model}, &usage.Sample{At: time.Now(), Status: 200, Prompt: 1000, Completion: 500, Cached: 10, Took: time.Second})
	}
	for _, language := range []string{"en", "ko"} {
		for _, query := range []string{"", "?by=model", "?by=user", "?by=token", "?by=project&all=true", "?from=1d", "?from=365d&zone=Asia%2FSeoul", "?from=2026-01-01&to=2030-01-01", "?by=nothing"} {
			has(t, b.get("/usage"+query, language, 200), []string{"4,500", `id="usage-figures"`, `data-chart="usage-figures"`}, []string{"ZgotmplZ", "<script>\"", `class="empty-title"`})
		}
		b.get("/usage/sessions?by=session&from=7d", language, 200)
	}
	has(t, b.get("/usage?by=model", "en", 200), []string{"&lt;script&gt;"}, []string{"<script></"})
	b.get("/usage?from=sometime", "en", 400)
	b.get("/usage?zone=Nowhere/City", "en", 400)
	sheet := b.get("/usage.csv?by=model", "en", 200)
	if lines := strings.Split(strings.TrimSpace(sheet), "\n"); len(lines) != 4 || !strings.HasPrefix(lines[0], "model,requests,") || !strings.Contains(sheet, "\n'=1+1,1,0,0,1000,10,500,0,1500,") {
		t.Error(sheet)
	}
	w := b.serve(b.request(http.MethodGet, "/usage/sessions.csv?by=session", nil))
	if w.Code != 200 || w.Header().Get("Content-Disposition") != `attachment; filename="sessions.csv"` || !strings.HasPrefix(w.Body.String(), "session,session_name,sessions,") {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	b.get("/usage.csv?from=sometime", "en", 400)
}

func TestMoments(t *testing.T) {
	at := func(text string) time.Time {
		v, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct {
		from, to, zone, unit string
		want                 int
		first                string
	}{
		{"2026-03-01T15:00:00Z", "2026-03-03T15:00:00Z", "Asia/Seoul", "day", 2, "2026-03-01T15:00:00Z"},
		{"2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z", "UTC", "hour", 24, "2026-03-01T00:00:00Z"},
		{"2026-03-28T23:00:00Z", "2026-03-30T22:00:00Z", "Europe/Berlin", "day", 2, "2026-03-28T23:00:00Z"}, // one of them has 23 hours
		{"2026-01-15T00:00:00Z", "2026-03-02T00:00:00Z", "UTC", "month", 3, "2026-01-01T00:00:00Z"},
		{"2026-03-01T00:00:00Z", "2026-03-01T00:00:00Z", "+09:00", "day", 1, "2026-02-28T15:00:00Z"},
	} {
		got := moments(at(c.from), at(c.to), c.zone, c.unit)
		if len(got) != c.want || c.want > 0 && !got[0].Equal(at(c.first)) {
			t.Errorf("%+v: %v", c, got)
		}
	}
	if got := moments(time.Time{}, time.Now(), "UTC", "hour"); len(got) != 3000 {
		t.Error(len(got))
	}
}

func TestUnitOf(t *testing.T) {
	now := time.Now()
	for days, want := range map[int]string{1: "hour", 3: "hour", 30: "day", 365: "month"} {
		if got := unitOf(now.AddDate(0, 0, -days), now); got != want {
			t.Errorf("%d days: %s", days, got)
		}
	}
}
