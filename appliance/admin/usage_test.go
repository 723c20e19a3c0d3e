package admin_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/appliance/api"
)

// usedBox is a box whose services were used: by a token with the name "ci", and by nobody in particular.
func usedBox(t *testing.T) (b *box, token string) {
	b = newBox(t)
	var issued api.TokenIssued
	b.do("POST", "/tokens", `{"name":"ci","duration":"3d"}`, 201, &issued)
	b.Use(issued.Token.ID, time.Now())
	return b, issued.Token.ID
}

func TestUsage(t *testing.T) {
	b, id := usedBox(t)
	ask := func(query string) api.Usage {
		t.Helper()
		var out api.Usage
		b.do("GET", "/usage"+query, "", 200, &out)
		return out
	}
	chat := api.UsageRow{
		Requests: 5, Failed: 1, Aborted: 1, PromptTokens: 3000, CompletionTokens: 607, CachedTokens: 750, EstimatedTokens: 7, TotalTokens: 3607,
		TTFT: new(0.1), Duration: 11.0 / 5,
	}
	lora := api.UsageRow{Requests: 1, PromptTokens: 10, CompletionTokens: 1, TotalTokens: 11, Duration: 1}
	both := chat
	both.Requests, both.PromptTokens, both.CompletionTokens, both.TotalTokens, both.Duration = 6, 3010, 608, 3618, 2
	of := func(r api.UsageRow, set func(*api.UsageRow)) api.UsageRow { set(&r); return r }

	all := ask("")
	if d := cmp.Diff(both, all.Total); d != "" || all.Groups == nil || len(all.Groups) > 0 || all.By == nil || all.Zone != "UTC" {
		t.Errorf("%+v, total (-want +got):\n%s", all, d)
	}
	if from := all.From; from.Hour() != 0 || all.To.Sub(from) > usageMonth || all.To.Sub(from) < usageMonth-25*time.Hour {
		t.Errorf("from %v to %v", from, all.To)
	}
	if d := cmp.Diff([]api.UsageRow{
		of(chat, func(r *api.UsageRow) { r.Token, r.TokenName, r.Model = id, "ci", "chat" }),
		of(lora, func(r *api.UsageRow) { r.Token, r.TokenName, r.Model = id, "ci", `=lora, "the second"` }),
	}, ask("?by=token,model").Groups); d != "" {
		t.Errorf("by token and model (-want +got):\n%s", d)
	}
	services := ask("?by=service&all=true&from=1h").Groups
	if d := cmp.Diff([]api.UsageRow{
		of(both, func(r *api.UsageRow) { r.Project, r.Service = "default", "chat" }),
		{Project: "red", Service: "embed", Requests: 1, PromptTokens: 5, TotalTokens: 5, Duration: 0.001},
	}, services); d != "" {
		t.Errorf("by service, of all projects (-want +got):\n%s", d)
	}
	for query, requests := range map[string]int64{
		"?token=ci": 6, "?token=" + id: 6, "?model=chat": 5, "?service=chat": 6, "?service=svc-000000000001": 6, "?from=6w": 7, "?from=50d&to=30d": 1,
		"?project=red": 1, "?project=blue": 0, "?token=tok-gone": 0, "?from=2020-01&to=2020-12": 0, "?from=2020-01-01&to=30d": 1,
	} {
		if got := ask(query).Total.Requests; got != requests {
			t.Errorf("%s: %d requests, want %d", query, got, requests)
		}
	}
	days := ask("?by=day&from=6w&zone=" + url.QueryEscape("+09:00"))
	if len(days.Groups) != 2 || days.Zone != "+09:00" || days.Groups[1].Start.UTC().Hour() != 15 {
		t.Errorf("by day: %+v", days)
	}
	if names := ask("?by=month&zone=Asia/Seoul"); len(names.Groups) != 1 || names.Groups[0].Start.Day() != 1 {
		t.Errorf("by month: %+v", names)
	}
	march := ask("?from=2026-03&to=2026-03&zone=Asia/Seoul")
	if march.From != time.Date(2026, 2, 28, 15, 0, 0, 0, time.UTC) || march.To != time.Date(2026, 3, 31, 15, 0, 0, 0, time.UTC) {
		t.Errorf("March of Seoul is from %v to %v", march.From, march.To)
	}
	day := ask("?from=2026-03-01&to=2026-03-01&by=hour")
	if day.To.Sub(day.From) != 24*time.Hour {
		t.Errorf("a day is from %v to %v", day.From, day.To)
	}
}

const usageMonth = 30 * 24 * time.Hour

func TestUsageThatMakesNoSense(t *testing.T) {
	b, _ := usedBox(t)
	for query, words := range map[string][]string{
		"?by=tokn":               {"tokn", `did you mean \"token\"`},
		"?by=":                   nil,
		"?by=token,":             {`\"\"`, "known: token, project"},
		"?by=token,token":        {"token is given twice"},
		"?by=day,month":          {"both day and month", "one length of time"},
		"?zone=Seoul":            {"no time zone", "Asia/Seoul"},
		"?zone=Local":            {"no time zone"},
		"?from=yesterday":        {"yesterday", "7d"},
		"?from=-3d":              {"-3d", "7d"},
		"?from=2026-13":          {"2026-13"},
		"?from=1h&to=2h":         {"1h does not lie before 2h"},
		"?token=cii":             {"cii", `did you mean \"ci\"`},
		"?servce=chat":           {"servce", `did you mean \"service\"`},
		"?service=nothing":       {"service", "nothing", "not found"},
		"?project=..":            {"no name of a project"},
		"?all=perhaps":           {"true or false"},
		"?from=20000d&to=10000d": {"20000d"},
	} {
		w := b.serve(b.request("GET", "/usage"+query, ""))
		if words == nil {
			if w.Code != 200 {
				t.Errorf("%s = %d %s", query, w.Code, w.Body)
			}
			continue
		}
		if w.Code != 400 && w.Code != 404 {
			t.Errorf("%s = %d", query, w.Code)
		}
		for _, word := range words {
			if !strings.Contains(w.Body.String(), word) {
				t.Errorf("%s: %q is not in %s", query, word, w.Body)
			}
		}
	}
}
