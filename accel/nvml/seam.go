//go:build cgo && linux

package nvml

import (
	"errors"
	"fmt"
	"strings"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// driver is a box through the library. What the library's rules forbid is kept in one place, here:
//   - Before Init has answered SUCCESS, and after one that did not, nothing is called, Shutdown neither: it ends the process.
//   - A function that the installed driver does not have ends the process too: each is looked up first.
//   - The library's mocks panic where a method was not set, as a library may on any day: no panic passes.
type driver struct {
	lib     nvml.Interface
	ready   bool // Init has answered SUCCESS
	has     map[string]bool
	set     nvml.EventSet
	listen  map[string]bool // by uuid: cards whose events are registered
	handles map[string]handle
}

// handle is how the library knows a card or slice.
type handle struct {
	nvml.Device
	parent nvml.Device // of a slice
}

// call asks the library for one value, if the installed one has the function.
func call[T any](d *driver, function string, f func() (T, nvml.Return)) (value T, err error) {
	defer func() {
		if broken := recover(); broken != nil {
			err = fmt.Errorf("%w in %s: %v", errBroken, function, firstLine(broken))
		}
	}()
	if !d.offers(function) {
		return value, fmt.Errorf("%s: %w", function, errUnsupported)
	}
	value, code := f()
	return value, codeError(function, int(code), words(code))
}

// offers says whether the installed library has a function.
func (d *driver) offers(function string) bool {
	if there, asked := d.has[function]; asked {
		return there
	}
	there := d.ready && d.lib.Extensions().LookupSymbol(function) == nil
	d.has[function] = there
	return there
}

// open starts the library, or starts it anew.
func (d *driver) open() (err error) {
	defer func() {
		if broken := recover(); broken != nil {
			d.ready, err = false, fmt.Errorf("%w while it started: %v", errBroken, firstLine(broken))
		}
	}()
	d.close()
	if code := d.lib.Init(); code != nvml.SUCCESS {
		return startError(int(code), words(code))
	}
	d.ready = true
	d.has, d.listen, d.handles = map[string]bool{}, map[string]bool{}, map[string]handle{}
	return nil
}

func (d *driver) close() {
	if !d.ready {
		return
	}
	d.ready, d.set = false, nil
	defer func() { _ = recover() }() // whatever it says: it is not asked again before it starts anew
	_ = d.lib.Shutdown()
}

// alive says whether the library answers at all; it tells one lost card from all of them.
func (d *driver) alive() error {
	_, err := call(d, "nvmlDeviceGetCount", d.lib.DeviceGetCount)
	if errors.Is(err, errGone) || errors.Is(err, errBroken) {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	return err
}

// words is the library's own text for a code, without asking the library: it may be gone.
func words(code nvml.Return) string { return fmt.Sprintf("NVML's error %d", int(code)) }

func firstLine(v any) string {
	line, _, _ := strings.Cut(fmt.Sprint(v), "\n")
	return line
}
