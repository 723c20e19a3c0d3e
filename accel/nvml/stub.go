//go:build !cgo || !linux

package nvml

// Open answers ErrNotBuilt: this build has no NVML.
func Open(Options) (*Plugin, error) { return nil, errNotBuilt() }

// Simulate answers ErrNotBuilt, or ErrUnknownBox for a name that no build knows: simulated devices are the library's mocks.
func Simulate(name string, _ SimulateOptions) (*Plugin, error) {
	if _, _, err := findBox(name); err != nil {
		return nil, err
	}
	return nil, errNotBuilt()
}
