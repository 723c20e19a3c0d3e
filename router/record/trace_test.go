package record_test

import (
	"strings"
	"testing"

	"github.com/palisade-run/palisade/router/record"
)

func TestTraceparent(t *testing.T) {
	const good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for text, sampled := range map[string]bool{good: true, good[:53] + "00": false, good[:53] + "03": true, "cc" + good[2:]: true, "01" + good[2:] + "-more": true} {
		got, ok := record.ParseTraceparent([]byte(text))
		if !ok || got.Sampled != sampled || got.ID[0] != 0x4b || got.Span[7] != 0xb7 {
			t.Errorf("%s: %+v %v", text, got, ok)
		}
	}
	for _, text := range []string{
		"", good[:54], good + "-more", "01" + good[2:] + "more", "ff" + good[2:], strings.ToUpper(good), strings.Replace(good, "-", "_", 1),
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", strings.Replace(good, "4", "g", 1), good[:53] + "0x",
	} {
		if got, ok := record.ParseTraceparent([]byte(text)); ok || got != (record.Trace{}) && got.Valid() && ok {
			t.Errorf("%q is taken as %+v", text, got)
		}
	}
}

func TestTracing(t *testing.T) {
	if got := (record.Tracing{}).Begin([]byte("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")); got.Valid() {
		t.Errorf("off, and yet %+v", got)
	}
	of := record.Tracing{On: true}
	got := of.Begin([]byte("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"))
	if !got.Valid() || !got.Sampled || got.ID[15] != 0x36 || got.Parent[0] != 0 || got.Parent[1] != 0xf0 || got.Span == got.Parent {
		t.Errorf("%+v", got)
	}
	if header := string(record.AppendTraceparent(nil, got)); !strings.HasPrefix(header, "00-4bf92f3577b34da6a3ce929d0e0e4736-") || !strings.HasSuffix(header, "-01") {
		t.Error(header)
	}
	again, ok := record.ParseTraceparent(record.AppendTraceparent(nil, got))
	if !ok || again.Span != got.Span || again.ID != got.ID {
		t.Errorf("%+v", again)
	}
	sampled := 0
	for range 2000 {
		if of.Begin([]byte("nonsense")).Sampled {
			t.Fatal("sampled without a share")
		}
		if (record.Tracing{On: true, Sample: .5}).Begin(nil).Sampled {
			sampled++
		}
		if own := (record.Tracing{On: true, Sample: 1}).Begin(nil); !own.Sampled || !own.Valid() || own.Parent != [8]byte{} {
			t.Fatalf("%+v", own)
		}
	}
	if sampled < 850 || sampled > 1150 {
		t.Errorf("%d of 2000 are a half", sampled)
	}
	if n := testing.AllocsPerRun(100, func() { of.Begin([]byte("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
