package rehearse

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestRead(t *testing.T) {
	for _, c := range []struct {
		name, text string
		start      time.Time
		want       []Request
	}{
		{"seconds", "0,1,2\n1.5,3,4\n", Monday(), []Request{at(0, 1, 2), at(1.5, 3, 4)}},
		{"a head, spaces, a comment, empty lines, CRLF, a mark of the order of bytes", "\xef\xbb\xbftime,prompt_tokens,output_tokens\r\n# ours\r\n\r\n 7 , 1 , 2\r\n", Monday(), []Request{at(7, 1, 2)}},
		{"RFC 3339, in two zones", "2026-03-01T10:00:00+01:00,1,2\n2026-03-01T09:00:00.250Z,3,4", time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC), []Request{at(0, 1, 2), at(0.25, 3, 4)}},
		{"since 1970", "1700000000.5,1,2\n1700000001,3,4\n", time.Unix(1700000000, 5e8).UTC(), []Request{at(0, 1, 2), at(0.5, 3, 4)}},
		{"as Azure's public traces", "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:50.6805900,396,109\n",
			time.Date(2023, 11, 16, 18, 15, 46, 680590000, time.UTC), []Request{at(0, 374, 44), at(4, 396, 109)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Read("x.csv", strings.NewReader(c.text))
			if err != nil {
				t.Fatal(err)
			}
			if !got.Start.Equal(c.start) || len(got.Requests) != len(c.want) {
				t.Fatalf("%s %v", got.Start, got.Requests)
			}
			for i, q := range got.Requests {
				if q != c.want[i] {
					t.Errorf("request %d: %v, want %v", i, q, c.want[i])
				}
			}
		})
	}
}

func TestReadSaysWhatIsWrongAndWhere(t *testing.T) {
	for text, want := range map[string]string{
		"":                                   "no usable trace: x.csv has no requests",
		"time,prompt_tokens,output_tokens\n": "no usable trace: x.csv has no requests",
		"0,1,2\n1,2\n":                       "x.csv, line 2: has 2 columns, not 3",
		"0,1,2\n1,2,3,4,5\n":                 "x.csv, line 2: has 5 columns, not 3",
		"0,1,2\nsoon,1,2\n":                  `x.csv, line 2, column 1 (time): "soon" is neither a number of seconds nor a time as 2006-01-02T15:04:05Z07:00`,
		"0,1,2\nNaN,1,2\n":                   `x.csv, line 2, column 1 (time): "NaN" is neither a number of seconds nor a time as 2006-01-02T15:04:05Z07:00`,
		"0,1,2\n-1,1,2\n":                    `x.csv, line 2, column 1 (time): "-1" is neither a number of seconds nor a time as 2006-01-02T15:04:05Z07:00`,
		"0,1,2\n1e300,1,2\n":                 `x.csv, line 2, column 1 (time): "1e300" is neither a number of seconds nor a time as 2006-01-02T15:04:05Z07:00`,
		"5,1,2\n4,1,2\n":                     `x.csv, line 2, column 1 (time): "4" comes before the request in front of it`,
		"0,1,2\n99999999,1,2\n":              `x.csv, line 2, column 1 (time): "99999999" is more than 100 days after the start`,
		"1700000000,1,2\n3,1,2\n":            `x.csv, line 2, column 1 (time): "3" comes before the trace's start`,
		"0,many,2\n":                         `x.csv, line 1, column 2 (prompt_tokens): "many" is no whole number from 0 to 100000000`,
		"0,1,-2\n":                           `x.csv, line 1, column 3 (output_tokens): "-2" is no whole number from 0 to 100000000`,
		"0,1,2.5\n":                          `x.csv, line 1, column 3 (output_tokens): "2.5" is no whole number from 0 to 100000000`,
		"0,1,999999999999999999999":          `x.csv, line 1, column 3 (output_tokens): "999999999999999999999" is no whole number from 0 to 100000000`,
		"2026-03-01T10:00:00Z,1,2\n5,1,2":    `x.csv, line 2, column 1 (time): "5" is no time as 2006-01-02T15:04:05.999999999Z07:00`,
		"2026-03-01T10:00:00Z,1,2\n2026-03-01T09:00:00Z,1,2": `x.csv, line 2, column 1 (time): "2026-03-01T09:00:00Z" comes before the trace's start`,
		"0,1,2\n" + strings.Repeat("1", 2000):                "x.csv, line 2: is longer than 1024 bytes",
		"0,1," + strings.Repeat("x", 100):                    `x.csv, line 1, column 3 (output_tokens): "` + strings.Repeat("x", 40) + `..." is no whole number from 0 to 100000000`,
	} {
		_, err := Read("x.csv", strings.NewReader(text))
		if err == nil || err.Error() != want || !errors.Is(err, ErrTrace) {
			t.Errorf("%.40q:\n got %v\nwant %s", text, err, want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add("time,prompt_tokens,output_tokens\n0,1,2\n1.5,3,4\n")
	f.Add("2026-03-01T10:00:00Z,1,2\n")
	f.Add("1700000000.5,1,2")
	f.Fuzz(func(t *testing.T, text string) {
		tr, err := Read("f", strings.NewReader(text))
		if err != nil {
			if !errors.Is(err, ErrTrace) {
				t.Fatal(err)
			}
			return
		}
		if err := tr.check(); err != nil {
			t.Fatalf("read, and not to be played: %v", err)
		}
		var b bytes.Buffer
		if err := Write(&b, tr); err != nil {
			t.Fatal(err)
		}
		again, err := Read("g", &b)
		if err != nil || len(again.Requests) != len(tr.Requests) {
			t.Fatalf("%v; %d requests, written and read %d", err, len(tr.Requests), len(again.Requests))
		}
	})
}

func TestGenerate(t *testing.T) {
	for _, kind := range Kinds() {
		tr, err := Generate(Recipe{Kind: kind, Requests: 5000, Length: time.Hour, Seed: 3})
		if err != nil {
			t.Fatal(err)
		}
		if err := tr.check(); err != nil {
			t.Fatal(err)
		}
		prompt, output := 0.0, 0.0
		for _, q := range tr.Requests {
			prompt, output = prompt+float64(q.Prompt)/5000, output+float64(q.Output)/5000
		}
		if len(tr.Requests) != 5000 || tr.Length() < 55*time.Minute || tr.Length() > time.Hour || prompt < 1000 || prompt > 1400 || output < 270 || output > 330 {
			t.Errorf("%s: %d requests in %s, of %.0f and %.0f tokens", kind, len(tr.Requests), tr.Length(), prompt, output)
		}
		var a, b bytes.Buffer
		again, _ := Generate(Recipe{Kind: kind, Requests: 5000, Length: time.Hour, Seed: 3})
		_, _ = Write(&a, tr), Write(&b, again)
		if !bytes.Equal(a.Bytes(), b.Bytes()) {
			t.Errorf("%s: the same recipe made another trace", kind)
		}
	}
	if _, err := Generate(Recipe{Kind: "weekly"}); !errors.Is(err, ErrTrace) {
		t.Error(err)
	}
	if _, err := Generate(Recipe{Kind: Steady, Requests: -1, Length: time.Second}); !errors.Is(err, ErrTrace) {
		t.Error(err)
	}
}
