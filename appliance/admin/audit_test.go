package admin_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/palisade-run/palisade/appliance/api"
)

// audited returns the records, oldest first.
func (b *box) audited(query string) []api.AuditRecord {
	b.t.Helper()
	var page api.Page[api.AuditRecord]
	b.do("GET", "/audit?"+query, "", 200, &page)
	slices.Reverse(page.Items)
	return page.Items
}

// TestChangesAreRecorded: who, what, before and after, of what was done and of what was refused; and no secret in any of it.
func TestChangesAreRecorded(t *testing.T) {
	b := newBox(t)
	b.do("POST", "/folders", `{"name":"data"}`, 201, nil)
	b.do("POST", "/services", `{"name":"chat","image":"host","folder":"data","environ":{"HF_TOKEN":"hunter1","N":"1"}}`, 201, nil)
	b.do("POST", "/services/chat/scale", `{"to":3}`, 200, nil)
	b.do("PATCH", "/services/chat", `{"priority":20,"environ":{"HF_TOKEN":"hunter2","N":"2"}}`, 200, nil)
	b.do("PUT", "/secrets/NGC_API_KEY", `{"value":"hunter3"}`, 200, nil)
	b.do("PUT", "/registries/ghcr.io", `{"user":"ann","password":"hunter4"}`, 200, nil)
	b.do("PUT", "/folders/data/files?path=a/b.txt", "text", 200, nil)
	b.do("POST", "/services/chart/scale", `{"to":3}`, 404, nil)
	b.do("POST", "/services", `{"name":"x","imge":"host"}`, 400, nil)
	b.do("GET", "/services/chat", "", 200, nil)
	b.do("DELETE", "/services/chat", "", 204, nil)
	var issued api.KeyIssued
	b.do("POST", "/keys", `{"name":"laptop"}`, 201, &issued)
	r := b.request("PATCH", "/folders/data", `{"quota":1000}`)
	r = r.WithContext(t.Context())
	r.Header.Set("Authorization", "Bearer "+issued.Secret)
	r.Header.Set("User-Agent", "script/1.0")
	r.RemoteAddr = "192.0.2.7:4711"
	if w := b.serve(r); w.Code != 200 {
		t.Fatal(w.Body)
	}
	records := b.audited("")
	var got []string
	for _, r := range records {
		got = append(got, fmt.Sprintf("%s %s %s %d", r.Actor, r.Action, r.Target, r.Status))
	}
	want := []string{
		"me createFolder folders/data 201", "me createService services/chat 201", "me scaleService services/chat/scale 200", "me updateService services/chat 200",
		"me setSecret secrets/NGC_API_KEY 200", "me logIn registries/ghcr.io 200", "me upload folders/data/files 200", "me scaleService services/chart/scale 404",
		"me createService services 400", "me destroyService services/chat 204", "me createKey keys/laptop 201", "laptop updateFolder folders/data 200",
	}
	if !slices.Equal(got, want) {
		t.Fatalf("\n%s", strings.Join(got, "\n"))
	}
	changes := func(i int) string {
		var out []string
		for _, c := range records[i].Changes {
			before, _ := json.Marshal(c.Before)
			after, _ := json.Marshal(c.After)
			out = append(out, fmt.Sprintf("%s: %s -> %s", c.Path, before, after))
		}
		return strings.Join(out, "; ")
	}
	for i, want := range map[int]string{
		1: `: null -> {"environ":{"HF_TOKEN":"(hidden)","N":"1"},"folder":"data","image":"host","name":"chat"}`, 2: `replicas: 1 -> 3`,
		4: `: null -> {"value":"(hidden)"}`, 6: ``, 7: ``, 11: `quota: null -> 1000`,
	} {
		if got := changes(i); !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%s: %s", records[i].Action, got)
		}
	}
	if got := changes(3); !strings.Contains(got, `priority: 10 -> 20`) || !strings.Contains(got, `HF_TOKEN: "(hidden)" -> "(hidden)"`) {
		t.Error(got)
	}
	if records[6].Detail != "path=a/b.txt" || !strings.Contains(records[7].Error, "chart") || records[7].Request == "" {
		t.Errorf("%+v, %+v", records[6], records[7])
	}
	if last := records[11]; last.Via != "key" || last.Key != issued.Key.ID || last.From != "192.0.2.7" || last.Agent != "script/1.0" {
		t.Errorf("%+v", last)
	}
	w := b.serve(b.request("GET", "/audit/export", ""))
	if strings.Contains(w.Body.String(), "hunter") || strings.Contains(w.Body.String(), issued.Secret) {
		t.Errorf("the record has a secret:\n%s", w.Body)
	}
	b.checksOut(w.Body.String())
	if got := b.audited("target=services/chat&actor=me"); len(got) != 4 {
		t.Errorf("%+v", got)
	}
	if got := b.audited("actor=laptop&from=1h"); len(got) != 1 {
		t.Errorf("%+v", got)
	}
	var page api.Page[api.AuditRecord]
	b.do("GET", "/audit?limit=5", "", 200, &page)
	first := page.Items[0].Seq
	b.do("GET", "/audit?limit=5&cursor="+page.Next, "", 200, &page)
	if len(page.Items) != 5 || page.Items[0].Seq != first-5 {
		t.Errorf("%d, %+v", first, page)
	}
	b.do("GET", "/audit?from=yesterday", "", 400, nil)
	b.do("GET", "/audit?cursor=x", "", 400, nil)
}

// TestWhoIsLetIn: those who are, before anything goes on, and those who are not, with why; and what they run has no secrets.
func TestWhoIsLetIn(t *testing.T) {
	o := newOnline(t, "host")
	o.ends(o.exec(api.ExecOptions{Command: []string{"exit", "0", "--password", "hunter1", "TOKEN=hunter2"}, Env: map[string]string{"A": "hunter3"}}), 0)
	o.do("GET", "/sessions/nobody/exec?command=ls", "", 404, nil)
	o.do("GET", "/sessions/"+o.session+"/tunnel?port=80&app=x", "", 400, nil)
	var got []string
	for _, r := range o.audited("target=sessions") {
		got = append(got, fmt.Sprint(r.Action, " ", r.Status, " ", r.Error != "", " ", r.Detail))
	}
	want := []string{
		"execSession 101 false command=exit&command=0&command=--password&command=(hidden)&command=TOKEN=(hidden)&env=A=(hidden)",
		"execSession 404 true command=ls", "tunnelSession 400 true app=x&port=80",
	}
	if !slices.Equal(got, want) {
		t.Errorf("\n%s", strings.Join(got, "\n"))
	}
}

// TestAskedIsRecorded: a change of what cannot be read in what it belongs to is what was asked for; a file's contents never are.
func TestAskedIsRecorded(t *testing.T) {
	b := newBox(t)
	b.do("POST", "/folders", `{"name":"data"}`, 201, nil)
	b.do("POST", "/folders/data/directories", `{"path":"a/b"}`, 204, nil)
	b.do("PUT", "/folders/data/files?path=a/b.json", `{"x":"hunter1"}`, 200, nil)
	b.do("PATCH", "/folders/data", `{"quota":0}`, 200, nil)
	b.serve(b.request("POST", "/catalogs", `{"name":"x","url":"https://ann:hunter2@127.0.0.1:1/x.git"}`))
	b.do("POST", "/folders?project=%ff%00", `{"name":"data"}`, 400, nil)
	records := b.audited("all=true")
	for i, want := range []string{"data", "a/b", "", ""} {
		text, _ := json.Marshal(records[i].Changes)
		if !strings.Contains(string(text), want) || want == "" && len(records[i].Changes) > 0 {
			t.Errorf("%s: %s", records[i].Action, text)
		}
	}
	w := b.serve(b.request("GET", "/audit/export?all=true", ""))
	if strings.Contains(w.Body.String(), "hunter") || len(records) != 6 {
		t.Errorf("%d records:\n%s", len(records), w.Body)
	}
	b.checksOut(w.Body.String())
}

// checksOut checks an exported record as a stranger would.
func (b *box) checksOut(text string) {
	b.t.Helper()
	prev := strings.Repeat("0", 64)
	lines := bufio.NewScanner(strings.NewReader(text))
	n := int64(0)
	for lines.Scan() {
		var l api.AuditLine
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			b.t.Fatal(err)
		}
		n++
		sum := sha256.Sum256([]byte(fmt.Sprintf("%d\n%s\n%s", l.Seq, l.Prev, l.Entry)))
		if l.Seq != n || l.Prev != prev || l.Hash != hex.EncodeToString(sum[:]) {
			b.t.Errorf("line %d: %+v", n, l)
		}
		prev = l.Hash
	}
	var v api.AuditVerdict
	b.do("POST", "/audit/verify", `{"head":"`+fmt.Sprint(n, ":", prev)+`"}`, 200, &v)
	if !v.Good || v.Records != n || v.Head != fmt.Sprint(n, ":", prev) {
		b.t.Errorf("%+v", v)
	}
	b.do("POST", "/audit/verify", `{"head":"2:`+strings.Repeat("0", 64)+`"}`, 200, &v)
	if v.Good || v.At != 2 {
		b.t.Errorf("%+v", v)
	}
	b.do("POST", "/audit/verify", `{"head":"2"}`, 400, nil)
}
