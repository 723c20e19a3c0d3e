package accel_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/accel"
)

func TestParseSlots(t *testing.T) {
	tests := []struct {
		name    string
		written map[string]string
		want    accel.Slots
		wrong   string // words of the error
	}{
		{"cores and memory", map[string]string{"cpu": "4", "mem": "32g"}, accel.Slots{"cpu": 4000, "mem": 32 << 30}, ""},
		{"half a core", map[string]string{"cpu": "0.5"}, accel.Slots{"cpu": 500}, ""},
		{"shares", map[string]string{"cuda.shares": "2.5"}, accel.Slots{"cuda.shares": 250}, ""},
		{"a slice", map[string]string{"cuda.device:1g.10gb-mig": "1"}, accel.Slots{"cuda.device:1g.10gb-mig": 100}, ""},
		{"too fine a share", map[string]string{"cuda.shares": "0.333"}, nil, "finer than 1/100"},
		{"nothing", map[string]string{"cpu": "0"}, nil, "more than 0"},
		{"negative", map[string]string{"cuda.device": "-1"}, nil, "more than 0"},
		{"half a whole device", map[string]string{"cuda.device": "0.5"}, nil, "cuda.shares"},
		{"absurd", map[string]string{"cpu": "1e12"}, nil, "any box"},
		{"both kinds of cuda", map[string]string{"cuda.device": "1", "cuda.shares": "0.5"}, nil, "exclude each other"},
		{"unknown", map[string]string{"gpu": "1"}, nil, "no such resource"},
		{"all problems at once", map[string]string{"gpu": "1", "cpu": "x"}, nil, "cores, such as"},
		{"not a number", map[string]string{"cpu": "NaN"}, nil, "is not"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := accel.ParseSlots(tt.written)
			if tt.wrong != "" {
				if !errors.Is(err, accel.ErrInvalid) || !strings.Contains(err.Error(), tt.wrong) {
					t.Fatalf("error %v, want ErrInvalid with %q", err, tt.wrong)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"1048576": 1 << 20, "256m": 256 << 20, "2g": 2 << 30, "8gb": 8 << 30, "1t": 1 << 40, "1.5GiB": 3 << 29, "64 k": 64 << 10, "7b": 7,
	} {
		if got, err := accel.ParseSize(text); err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "g", "2x", "2gg", "-1g", "0", "1e30", "NaN", "2bb", "ib"} {
		if got, err := accel.ParseSize(text); err == nil {
			t.Errorf("ParseSize(%q) = %d, want an error", text, got)
		}
	}
}

func FuzzParseSize(f *testing.F) {
	for _, text := range []string{"2g", "1.5GiB", "0x1p-2", "bbbb", "9999999t"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if n, err := accel.ParseSize(text); err == nil && (n < 0 || n > 1<<60) {
			t.Errorf("ParseSize(%q) = %d", text, n)
		}
	})
}
