//go:build cgo && linux

package nvml

import "github.com/NVIDIA/go-nvml/pkg/nvml"

// Open reaches for NVIDIA's devices on this box. ErrNoDriver where there is no driver.
func Open(o Options) (*Plugin, error) {
	return newPlugin("nvidia", &driver{lib: nvml.New()}, o, false)
}
