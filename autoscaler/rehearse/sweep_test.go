package rehearse

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/palisade-run/palisade/autoscaler"
)

func small(t *testing.T) *Trace {
	t.Helper()
	tr, err := Generate(Recipe{Kind: Spiky, Requests: 3000, Length: time.Hour, Seed: 5})
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func TestSweepsMultiply(t *testing.T) {
	p := target(4)
	p.Rules[0].Name = "busy"
	before := copyOf(p)
	rows, err := RunSweeps(t.Context(), small(t), p, DefaultSetup(), []Sweep{
		{"busy.target", []string{"2", "6"}}, {"load-time", []string{"10s", "60", "1m30s"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	fronts := 0
	for _, r := range rows {
		values = append(values, strings.Join(r.Values, "/"))
		if r.Front {
			fronts++
		}
		for _, other := range rows {
			if better := other.GPUHours < r.GPUHours && other.Wait.P95 < r.Wait.P95; better && r.Front {
				t.Errorf("%v is on the front, and %v better", r.Values, other.Values)
			}
		}
	}
	if want := []string{"2/10s", "2/60", "2/1m30s", "6/10s", "6/60", "6/1m30s"}; !reflect.DeepEqual(values, want) {
		t.Errorf("rows %q, want %q", values, want)
	}
	if fronts == 0 || fronts == len(rows) {
		t.Errorf("%d of %d rows are on the front", fronts, len(rows))
	}
	if !reflect.DeepEqual(*p, before) {
		t.Error("the policy was changed")
	}
}

func TestSweepsThatCannotBe(t *testing.T) {
	for _, c := range []struct {
		sweep Sweep
		want  string
	}{
		{Sweep{"targets", []string{"1"}}, `"targets" is no setting; there are min_replicas, `},
		{Sweep{"target", []string{"many"}}, `target: "many" cannot be its value`},
		{Sweep{"threshold", []string{"1"}}, `no rule of kind step has that name, for threshold`},
		{Sweep{"other.target", []string{"1"}}, `no rule of kind target has that name, for other.target`},
		{Sweep{"busy.pool", []string{"1"}}, `"busy.pool" is no setting`},
		{Sweep{"target", nil}, `target has no values`},
		{Sweep{"target", make([]string, MostRows+1)}, `more than 1000 rehearsals`},
		{Sweep{"route_capacity", []string{"-1"}}, `with -1: no possible setup: route_capacity -1: must be`},
		{Sweep{"target", []string{"-1"}}, `with -1: rules[0].target`},
	} {
		_, err := RunSweeps(t.Context(), small(t), target(4), DefaultSetup(), []Sweep{c.sweep})
		if !errors.Is(err, ErrSweep) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.sweep.Key, err, c.want)
		}
	}
}

func TestPictureIsWellFormed(t *testing.T) {
	tr := small(t)
	ours, err := Run(t.Context(), tr, target(4), DefaultSetup())
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := Refer(t.Context(), tr, &autoscaler.Policy{Min: 1, Max: 9}, DefaultSetup(), HPA)
	if err != nil {
		t.Fatal(err)
	}
	for _, results := range [][]*Result{{ours, theirs}, {ours}, {{Formula: "none"}}, nil} {
		var b bytes.Buffer
		if err := WriteSVG(&b, `a <b> & "c"`, results); err != nil {
			t.Fatal(err)
		}
		if text := b.String(); strings.Contains(text, "NaN") || strings.Contains(text, "Inf") {
			t.Error("a coordinate is no number")
		}
		d := xml.NewDecoder(&b)
		for {
			_, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestRound(t *testing.T) {
	for in, want := range map[float64]float64{0: 1, 0.3: 1, 1: 1, 1.1: 2, 3: 5, 5: 5, 7: 10, 10: 10, 11: 20, 300: 500} {
		if got := round(in); got != want {
			t.Errorf("%v: %v, want %v", in, got, want)
		}
	}
	for in, want := range map[float64]string{0: "0:00", 90: "0:01:30", 3600: "1:00", 90000: "1d 01:00"} {
		if got := clock(in); got != want {
			t.Errorf("%v: %s, want %s", in, got, want)
		}
	}
}
