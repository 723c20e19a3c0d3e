package signals

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/palisade-run/palisade/autoscaler"
)

func queryMetric(q string) autoscaler.Metric {
	return autoscaler.Metric{Source: autoscaler.SourcePrometheus, Name: q}
}

func jsonAnswer(status int, body string) func(string) string {
	return func(string) string {
		return fmt.Sprintf("HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", status, len(body), body)
	}
}

func TestAQueryIsAskedForItsService(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("Bearer one\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PALISADE_TEST_TENANT", "acme")
	synctest.Test(t, func(t *testing.T) {
		var w world
		e := w.engine("prom:9090", jsonAnswer(200, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{"a":"b"},"value":[1700000000.1,"12.5"]}]}}`))
		c := begin(t, &w, func(c *Config) {
			c.Prometheus = Prometheus{URL: "http://prom:9090/base/", Headers: []Header{
				{Name: "Authorization", File: token}, {Name: "X-Scope-OrgID", Env: "PALISADE_TEST_TENANT"}, {Name: "X-Plain", Value: "y"},
			}}
		})
		m := queryMetric(`sum(rate(http_requests_total{service="$service"}[1m]))`)
		c.Set([]Service{{ID: "svc", Name: `the "best"`, Wanted: []autoscaler.Metric{m}}})
		after(61 * time.Second)

		v, ok := c.Of("svc").Series(m).Last()
		if !ok || v.Total != 12.5 || v.Of != 0 {
			t.Errorf("%+v %t: %s", v, ok, one(t, c, "svc", m).Missing)
		}
		if n := w.count(e); n != 7 {
			t.Errorf("asked %d times in a minute", n)
		}
		if st := one(t, c, "svc", m); st.Value == nil || *st.Value != 12.5 || st.Missing != "" {
			t.Errorf("%+v", st)
		}
		form, err := url.ParseQuery(e.body)
		if err != nil || form.Get("query") != `sum(rate(http_requests_total{service="the \"best\""}[1m]))` || e.paths[0] != "/base/api/v1/query" {
			t.Errorf("%s %v %v", e.paths[0], form, err)
		}
		if e.head.Get("Authorization") != "Bearer one" || e.head.Get("X-Scope-OrgID") != "acme" || e.head.Get("X-Plain") != "y" {
			t.Errorf("%v", e.head)
		}
		if err := os.WriteFile(token, []byte("Bearer two\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		after(10 * time.Second)
		if got := e.head.Get("Authorization"); got != "Bearer two" {
			t.Errorf("a token that was changed is %q", got)
		}
		c.Set([]Service{{ID: "svc", Name: `x`}})
		n := w.count(e)
		if after(time.Minute); w.count(e) != n {
			t.Error("a query that nobody wants is still asked")
		}
	})
}

func TestAnswersOfAPrometheusServer(t *testing.T) {
	for want, answer := range map[string]func(string) string{
		"":                        jsonAnswer(200, `{"status":"success","data":{"resultType":"scalar","result":[1700000000.1,"3"]}}`),
		"the query gives nothing": jsonAnswer(200, `{"status":"success","data":{"resultType":"vector","result":[]}}`),
		"the query gives 2 series: make one of them, for example by sum(...)":   jsonAnswer(200, `{"status":"success","data":{"resultType":"vector","result":[{"value":[1,"1"]},{"value":[1,"2"]}]}}`),
		"the query gives a matrix: it must give one number":                     jsonAnswer(200, `{"status":"success","data":{"resultType":"matrix","result":[]}}`),
		"the query gives NaN, which is no number":                               jsonAnswer(200, `{"status":"success","data":{"resultType":"scalar","result":[1,"NaN"]}}`),
		`the Prometheus server's answer has "x" for a value`:                    jsonAnswer(200, `{"status":"success","data":{"resultType":"scalar","result":[1,"x"]}}`),
		"the Prometheus server refuses the query: parse error":                  jsonAnswer(400, `{"status":"error","errorType":"bad_data","error":"parse error"}`),
		"the Prometheus server answered 401, and not as one does: Who are you?": jsonAnswer(401, `Who are you?`),
		"the Prometheus server: no answer within 5 s":                           func(string) string { return "hang" },
		"the Prometheus server redirects to http://other/, and redirects are not followed": func(string) string {
			return "HTTP/1.1 302 Found\r\nLocation: http://other/\r\nContent-Length: 0\r\n\r\n"
		},
		"the Prometheus server's answer is larger than 1 MiB: the query gives too many series": jsonAnswer(200, strings.Repeat(" ", longestAnswer+1)),
	} {
		t.Run(want, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var w world
				e := w.engine("prom:9090", answer)
				c := begin(t, &w, func(c *Config) { c.Prometheus.URL = "http://prom:9090" })
				m := queryMetric("up")
				c.Set([]Service{{ID: "svc", Wanted: []autoscaler.Metric{m}}})
				after(6 * time.Second)
				st := one(t, c, "svc", m)
				if st.Missing != want || (st.Value == nil) == (want == "") {
					t.Errorf("%v %q", st.Value, st.Missing)
				}
				after(114 * time.Second)
				if n := w.count(e); want != "" && n > 6 {
					t.Errorf("asked %d times in two minutes although it fails", n)
				}
			})
		})
	}
}

func TestNoPrometheusServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := begin(t, &world{}, nil)
		c.Set([]Service{{ID: "svc", Wanted: []autoscaler.Metric{queryMetric("up")}}})
		after(time.Second)
		if st := one(t, c, "svc", queryMetric("up")); st.Missing != "no Prometheus server is set: see autoscaler.prometheus in the settings" {
			t.Errorf("%q", st.Missing)
		}
	})
}

func TestFill(t *testing.T) {
	s := &Service{Name: `a"b'c\d`, Project: "default", Model: "Qwen/Qwen3-8B"}
	for query, want := range map[string]string{
		`up`:                            `up`,
		`x{s="$service"}`:               `x{s="a\"b'c\\d"}`,
		`x{s='$service'}`:               `x{s='a"b\'c\\d'}`,
		"x{m=`$model`}":                 "x{m=`Qwen/Qwen3-8B`}",
		`x{m="$model",p="$project"}`:    `x{m="Qwen/Qwen3-8B",p="default"}`,
		`$project:rps`:                  `default:rps`,
		`x{s=~"foo$"}`:                  `x{s=~"foo$"}`,
		`x{s=~"a\"$project"}`:           `x{s=~"a\"default"}`,
		`x{s="$services"}`:              `x{s="$services"}`,
		"x # it's $service\n+ $project": "x # it's $service\n+ default",
		`x # $service`:                  `x # $service`,
		`$`:                             `$`,
	} {
		if got, err := Fill(query, s); err != nil || got != want {
			t.Errorf("%s gives %s, not %s (%v)", query, got, want, err)
		}
	}
	for query, want := range map[string]string{
		`$model`:       `$model: "Qwen/Qwen3-8B" cannot stand in a query without quotes`,
		"x{s=`$model`": "$model: \"a`b\" cannot stand between backquotes",
	} {
		if strings.Contains(query, "`") {
			s = &Service{Model: "a`b"}
		} else {
			s = &Service{Model: "Qwen/Qwen3-8B"}
		}
		if got, err := Fill(query, s); err == nil || err.Error() != want {
			t.Errorf("%s gives %s, %v", query, got, err)
		}
	}
}

func FuzzFill(f *testing.F) {
	f.Add(`x{s="$service"}`, `"} or vector(1) #`)
	f.Add("x{s='\\\\$service'}", "\n'")
	f.Fuzz(func(t *testing.T, query, name string) {
		// What a service is called must not end the string that it stands in: with another name of letters alone, the
		// rest of the query stays as it is.
		a, err := Fill(query, &Service{Name: name})
		b, err2 := Fill(query, &Service{Name: "name"})
		if err != nil || err2 != nil || strings.Contains(query, "name") {
			return
		}
		if strings.Count(query, "$") != strings.Count(query, "$service") || strings.Contains(query, "#") {
			return
		}
		if shape(a) != shape(b) {
			t.Errorf("%q: %q and %q are read in other ways", query, a, b)
		}
	})
}

// shape is a query without what stands in its strings.
func shape(q string) string {
	var out strings.Builder
	var quote byte
	for i := 0; i < len(q); i++ {
		switch b := q[i]; {
		case quote == 0 && (b == '"' || b == '\'' || b == '`'):
			quote = b
			out.WriteByte(b)
		case quote != 0 && quote != '`' && b == '\\':
			i++
		case quote != 0 && b == quote:
			quote = 0
			out.WriteByte(b)
		case quote == 0 && !isLetter(b) && !isDigit(b):
			out.WriteByte(b)
		}
	}
	return out.String()
}
