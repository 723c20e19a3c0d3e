package daemon

import (
	"slices"
	"testing"
	"time"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/autoscaler/calibrate"
	"github.com/palisade-run/palisade/catalog/install"
	"github.com/palisade-run/palisade/catalog/plan"
	"github.com/palisade-run/palisade/catalog/recipe"
)

// Weights come up as fast as the newest measurements say, the large ones above all.
func TestLoadSpeed(t *testing.T) {
	one := func(name string, minute int, weights int64, load time.Duration) calibrate.Calibration {
		return calibrate.Calibration{Service: name, At: time.Unix(int64(minute)*60, 0), Weights: weights, Load: load}
	}
	for _, c := range []struct {
		name string
		all  []calibrate.Calibration
		want float64
		from string
	}{
		{"nothing", nil, 0, ""},
		{"nothing is known of it", []calibrate.Calibration{one("a", 1, 0, time.Second), one("b", 1, 9, 0)}, 0, ""},
		{"one", []calibrate.Calibration{one("a", 1, 10e9, 5*time.Second)}, 2e9, "the start of a that was measured"},
		{"the newest three", []calibrate.Calibration{one("old", 1, 1e9, 1000*time.Second), one("a", 2, 30e9, 10*time.Second), one("c", 4, 1e6, 5*time.Second), one("b", 3, 29_999e6, 5*time.Second)}, 3e9, "the starts of the last 3 services that were measured"},
	} {
		if got := loadSpeed(c.all); got.Rate != c.want || got.From != c.from {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

func TestDevicesOfASession(t *testing.T) {
	if name, bytes := devicesOf([]accel.Status{{Claims: []accel.Entry{{Claim: accel.Claim{Session: "ses-1"}}}}}, "ses-1"); name != "" || bytes != 0 {
		t.Errorf("%q, %d", name, bytes)
	}
}

// TestWhatModelsTook: measurements are those of the recipe and variant that an install has brought, and say how much memory only
// where the engine does not take all that there is.
func TestWhatModelsTook(t *testing.T) {
	revision := func(folder, variant, engine string) install.Revision {
		return install.Revision{
			Folder: folder, Recipe: recipe.Recipe{Name: "qwen3-8b"}, Choice: install.Choice{Variant: variant, Runtime: engine, Context: 8192, Concurrency: 4},
		}
	}
	models := []install.Model{{ModelState: install.ModelState{Service: "svc-1", Revisions: []install.Revision{
		revision("fld-1", "bf16", "vllm"), revision("fld-2", "q4", "llama-cpp"),
	}}}, {ModelState: install.ModelState{Revisions: []install.Revision{revision("", "none", "cmd")}}}}
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	got := calibrations([]calibrate.Calibration{
		{ServiceID: "svc-1", Folder: "fld-1", Device: "2 x NVIDIA H200", DeviceMemory: 1 << 37, Load: time.Minute, At: at(1)},
		{ServiceID: "svc-1", Folder: "fld-2", Device: "NVIDIA H200", DeviceMemory: 7 << 30, Memory: 1 << 30, Load: time.Second, At: at(3)},
		{ServiceID: "svc-1", Folder: "fld-2", Memory: 1 << 30, Load: 2 * time.Second, At: at(2)},
		{ServiceID: "svc-9", Folder: "fld-1", At: at(4)},
		{Folder: "", At: at(5)},
	}, models, func(engine string) bool { return engine == "vllm" })
	want := []plan.Calibration{
		{Recipe: "qwen3-8b", Variant: "q4", Device: "NVIDIA H200", Devices: 1, Context: 8192, Concurrency: 4, Memory: 7 << 30, Load: time.Second},
		{Recipe: "qwen3-8b", Variant: "q4", Devices: 1, Context: 8192, Concurrency: 4, Load: 2 * time.Second},
		{Recipe: "qwen3-8b", Variant: "bf16", Device: "NVIDIA H200", Devices: 2, Context: 8192, Concurrency: 4, Load: time.Minute},
	}
	if !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
}
