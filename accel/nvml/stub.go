//go:build !cgo || !linux

package nvml

func errNotBuilt() error {
	return &failure{
		kind: ErrNotBuilt, text: ErrNotBuilt.Error(),
		hint: "devices of NVIDIA need a palisade that was built with CGO_ENABLED=1; without it, sessions run on CPUs and on the devices of other vendors",
	}
}

// Open answers ErrNotBuilt: this build has no NVML.
func Open(Options) (*Plugin, error) { return nil, errNotBuilt() }

// Simulate answers ErrNotBuilt, or ErrUnknownBox for a name that no build knows: simulated devices are the library's mocks.
func Simulate(name string, _ SimulateOptions) (*Plugin, error) {
	if _, _, err := findBox(name); err != nil {
		return nil, err
	}
	return nil, errNotBuilt()
}
