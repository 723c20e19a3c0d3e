package cli

import (
	"testing"

	"github.com/palisade-run/palisade/appliance/api"
)

func TestHeldDevices(t *testing.T) {
	whole := func(refs ...string) (out []api.ClaimDevice) {
		for _, ref := range refs {
			out = append(out, api.ClaimDevice{Ref: ref, Share: "1.00"})
		}
		return out
	}
	for want, devices := range map[string][]api.ClaimDevice{
		"":                           nil,
		"cuda:0":                     whole("dgx/cuda:0"),
		"cuda:0-3":                   whole("dgx/cuda:0", "dgx/cuda:1", "dgx/cuda:2", "dgx/cuda:3"),
		"cuda:0-1, cuda:4-5, rocm:6": whole("cuda:0", "cuda:1", "cuda:4", "cuda:5", "rocm:6"),
		"cuda:0 0.50, cuda:1-2":      append([]api.ClaimDevice{{Ref: "dgx/cuda:0", Share: "0.50"}}, whole("dgx/cuda:1", "dgx/cuda:2")...),
		"cuda:0, cuda:1 0.50":        append(whole("cuda:0"), api.ClaimDevice{Ref: "cuda:1", Share: "0.50"}),
		"cuda:0/mig:1, cuda:0/mig:2": whole("cuda:0/mig:1", "cuda:0/mig:2"),
	} {
		if got := heldDevices(&api.Claim{Node: "dgx", Devices: devices}); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if heldDevices(nil) != "" {
		t.Error("of nothing")
	}
}
