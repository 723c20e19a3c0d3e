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
		{"device and slice", map[string]string{"cuda.device": "1", "cuda.device:1g.10gb-mig": "1"}, nil, "exclude each other"},
		{"shares and slice", map[string]string{"cuda.shares": "1", "cuda.device:1g.10gb-mig": "1"}, nil, "exclude each other"},
		{"two slices", map[string]string{"cuda.device:1g.10gb-mig": "2"}, nil, "one slice"},
		{"a slice without a profile", map[string]string{"cuda.device:-mig": "1"}, nil, "no such resource"},
		{"absurd devices", map[string]string{"cuda.device": "1e9"}, nil, "any box"},
		{"absurd shares", map[string]string{"cuda.shares": "1e9"}, nil, "any box"},
		{"absurd cores", map[string]string{"cpu": "1e9"}, nil, "any box"},
		{"absurd memory", map[string]string{"mem": "1000000t"}, nil, "any box"},
		{"beyond any number", map[string]string{"cuda.shares": "1e999"}, nil, "any box"},
		{"no shares", map[string]string{"cuda.shares": "0"}, nil, "more than 0"},
		{"barely too fine a share", map[string]string{"cuda.shares": "0.3300000001"}, nil, "finer than 1/100"},
		{"next to nothing", map[string]string{"cuda.shares": "1e-400"}, nil, "more than 0"},
		{"hexadecimal", map[string]string{"cpu": "0x1p2"}, nil, "is not"},
		{"infinite", map[string]string{"cpu": "Inf"}, nil, "is not"},
		{"two families", map[string]string{"hyperaccel-lpu.device": "1", "tt-n300.device": "2"},
			accel.Slots{"hyperaccel-lpu.device": 100, "tt-n300.device": 200}, ""},
		{"many digits", map[string]string{"cuda.shares": "0.2900"}, accel.Slots{"cuda.shares": 29}, ""},
		{"unknown", map[string]string{"gpu": "1"}, nil, "no such resource"},
		{"a name of others", map[string]string{"nvidia.com/gpu": "1"}, nil, "GPUs of NVIDIA are cuda.device"},
		{"memory by another name", map[string]string{"memory": "4g"}, nil, "mem=4g"},
		{"cores by another name", map[string]string{"cpus": "4"}, nil, "cores are cpu"},
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

func TestFormat(t *testing.T) {
	for _, tt := range []struct {
		slot   accel.Slot
		amount accel.Amount
		want   string
	}{
		{"cpu", 4000, "4"}, {"cpu", 500, "0.5"}, {"cpu", 1, "0.001"}, {"mem", 32 << 30, "32 GiB"}, {"mem", 3 << 29, "1.5 GiB"}, {"mem", 7, "7 B"},
		{"mem", -1 << 20, "-1 MiB"}, {"cuda.shares", 29, "0.29"}, {"cuda.device", 800, "8"}, {"cuda.device:1g.10gb-mig", 100, "1"},
	} {
		if got := accel.Format(tt.slot, tt.amount); got != tt.want {
			t.Errorf("Format(%s, %d) = %q, want %q", tt.slot, tt.amount, got, tt.want)
		}
	}
	slots := accel.Slots{"mem": 32<<30 + 1, "cpu": 4500, "cuda.shares": 29}
	if got := slots.String(); got != "cpu 4.5, mem 32 GiB, cuda.shares 0.29" {
		t.Error(got)
	}
	back, err := accel.ParseSlots(slots.Written())
	if err != nil || cmp.Diff(slots, back) != "" {
		t.Error(back, err)
	}
	if got := (accel.Slots{}).String(); got != "nothing" {
		t.Error(got)
	}
}

func FuzzParseSlots(f *testing.F) {
	for _, text := range []string{"1", "0.01", "1e3", "-0", "1.0e-2", ".5", "+2"} {
		f.Add("cuda.shares", text)
		f.Add("cpu", text)
	}
	f.Fuzz(func(t *testing.T, slot, text string) {
		slots, err := accel.ParseSlots(map[string]string{slot: text})
		if err != nil {
			return
		}
		if slots[accel.Slot(slot)] <= 0 {
			t.Fatalf("%s %q is %d", slot, text, slots[accel.Slot(slot)])
		}
		if back, err := accel.ParseSlots(slots.Written()); err != nil || cmp.Diff(slots, back) != "" {
			t.Fatalf("%s %q: %v written is %v, read again %v (%v)", slot, text, slots, slots.Written(), back, err)
		}
	})
}

func TestCores(t *testing.T) {
	for asked, want := range map[string]int{"0.25": 1, "1": 1, "2.9": 2, "64": 64} {
		slots, err := accel.ParseSlots(map[string]string{"cpu": asked})
		if err != nil || slots.Cores() != want {
			t.Errorf("cpu=%s keeps %d threads busy, %v; want %d", asked, slots.Cores(), err, want)
		}
	}
	if n := (accel.Slots{accel.SlotMem: 1 << 30}).Cores(); n != 0 {
		t.Errorf("who asks for no cores is told of %d", n)
	}
}
