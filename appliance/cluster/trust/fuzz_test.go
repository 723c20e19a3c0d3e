package trust_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/palisade-run/palisade/appliance/cluster/trust"
)

func FuzzParseToken(f *testing.F) {
	good := "pal-join.abcdefgh." + strings.Repeat("a", 32) + "." + strings.Repeat("a", 52)
	for _, text := range []string{"", "pal-join", "pal-join...", good, good + "a", strings.ToUpper(good), strings.Replace(good, "pal-join", "pal", 1), good[:len(good)-1] + "b", good[:len(good)-1] + "q", "pal-join.abcdefg1." + good[18:]} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		token, err := trust.ParseToken(text)
		if err != nil {
			is(t, err, trust.ErrInvalid, true)
			if len(text) > 40 && strings.Contains(err.Error(), text[20:40]) {
				t.Errorf("%v shows what may be a secret", err)
			}
			return
		}
		if token.Reveal() != strings.TrimSpace(text) { // one token, one spelling
			t.Errorf("%q came back as %q", text, token.Reveal())
		}
	})
}

func FuzzReadRequest(f *testing.F) {
	n, err := trust.Create(f.TempDir(), "second", (&clock{start}).now)
	if err != nil {
		f.Fatal(err)
	}
	r, err := n.Request(trust.Token{ID: "abcdefgh"}, "1.0.0", "10.0.0.1:1")
	if err != nil {
		f.Fatal(err)
	}
	raw, err := json.Marshal(r)
	if err != nil {
		f.Fatal(err)
	}
	for _, text := range []string{string(raw), "", "null", "{}", "[]", `{"csr":"AAAA"}`, `{"a":1}`, string(raw) + "x", `{"version":"\u001b[2J"}`, strings.Repeat(" ", trust.LongestRequest+1)} {
		f.Add([]byte(text))
	}
	c := &clock{start}
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := trust.ReadRequest(bytes.NewReader(raw))
		if err != nil {
			is(t, err, trust.ErrInvalid, false)
			return
		}
		if strings.ContainsAny(r.Version+r.Address, "\x1b\n\x00") {
			t.Errorf("%q would do something to a terminal", r)
		}
		// A desk of no cluster: whatever was sent, it is refused, and nothing else.
		_, err = trust.NewDesk(emptyShelf, trust.ClusterKey{}, c.now).Join(t.Context(), "x", r)
		if !errors.Is(err, trust.ErrInvalid) && !errors.Is(err, trust.ErrNotFound) {
			t.Error(err)
		}
	})
}

func FuzzReadAnswer(f *testing.F) {
	for _, text := range []string{"", "null", `{"state":"in"}`, `{"state":"waiting"}`, `{"state":"?"}`, `{"state":"in","certificate":"AAAA","sealed_key":"AAAA","bundle":{"roots":["AAAA"]}}`} {
		f.Add([]byte(text))
	}
	n, err := trust.Create(f.TempDir(), "second", (&clock{start}).now)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		a, err := trust.ReadAnswer(bytes.NewReader(raw))
		if err != nil {
			is(t, err, trust.ErrInvalid, false)
			return
		}
		if s, err := n.Take(a, trust.Token{}); err == nil {
			t.Errorf("%s: taken from anybody", s)
		}
	})
}

func FuzzRefusal(f *testing.F) {
	f.Add("token", "x", "y", 3)
	f.Add("", "\x1b[2J", strings.Repeat("ä", 400), -1)
	f.Fuzz(func(t *testing.T, code, message, hint string, after int) {
		err := trust.Refusal{Code: code, Message: message, Hint: hint, RetryAfter: after}.Err()
		e, ok := errors.AsType[*trust.Error](err)
		if !ok || e.RetryAfter() < 0 || len(e.Error()) > 700 || len(e.Hint()) > 520 || strings.ContainsAny(e.Error()+e.Hint(), "\x1b\n\x00") {
			t.Errorf("%q", err)
		}
	})
}
