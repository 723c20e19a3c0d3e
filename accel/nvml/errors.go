package nvml

import (
	"errors"
	"fmt"
	"time"

	"github.com/palisade-run/palisade/accel"
)

// Kinds of failure of Open and Simulate. Each may come with a Hint.
var (
	// ErrNoDriver is a box without NVIDIA's driver: not a fault, most boxes have none.
	ErrNoDriver = errors.New("no NVIDIA driver here")
	// ErrNotBuilt is a palisade that was built without cgo, and so without NVML.
	ErrNotBuilt = errors.New("this build of palisade has no NVML (CGO_ENABLED=0)")
	// ErrUnknownBox is a name that Simulate does not know.
	ErrUnknownBox = errors.New("no such simulated box")
)

// Kinds of answers that the plugin itself treats differently.
var (
	errGone   = errors.New("the driver is not there")     // no device can be asked: start anew
	errSilent = errors.New("the driver is not answering") // a call has not come back in time
)

// failure is an error of a kind with words for a person and what to do about it.
type failure struct {
	kind error
	text string
	hint string
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.kind }

// Hint says what to do.
func (f *failure) Hint() string { return f.hint }

func lost(why error, retry time.Duration) error {
	return &failure{
		kind: accel.ErrLost,
		text: fmt.Sprintf("%v: %v; trying again in %s", accel.ErrLost, why, retry.Round(time.Second)),
		hint: "see `nvidia-smi` and the kernel's log (`dmesg | grep -i -e nvrm -e xid`); after an update of the driver, reboot",
	}
}

// Codes of NVML that change what is done next. They are the library's own numbers, which never change.
const (
	codeSuccess         = 0
	codeUninitialized   = 1
	codeInvalid         = 2
	codeNotSupported    = 3
	codeNoPermission    = 4
	codeNotFound        = 6
	codeNotLoaded       = 9
	codeTimeout         = 10
	codeNoLibrary       = 12
	codeNoFunction      = 13
	codeLost            = 15
	codeResetRequired   = 16
	codeVersionMismatch = 18
	codeNoData          = 21
	codeGPUNotFound     = 28
)

// startError says why the library did not start.
func startError(code int, text string) error {
	switch code {
	case codeNoLibrary:
		return &failure{
			kind: ErrNoDriver, text: ErrNoDriver.Error(),
			hint: "for NVIDIA's devices install their driver; libnvidia-ml.so.1 is not among the box's libraries",
		}
	case codeNotLoaded:
		return &failure{
			kind: ErrNoDriver, text: ErrNoDriver.Error() + ": its libraries are installed, but its kernel module is not loaded",
			hint: "try `modprobe nvidia`; after an update of the driver or the kernel, reboot",
		}
	case codeVersionMismatch:
		return &failure{
			kind: accel.ErrLost, text: "NVIDIA's libraries are of another version than its kernel module",
			hint: "reboot: the driver was updated, and the old kernel module is still loaded",
		}
	case codeNoPermission:
		return &failure{
			kind: accel.ErrLost, text: "NVIDIA's driver refuses this user",
			hint: "give the user of palisade access to /dev/nvidiactl and /dev/nvidia*",
		}
	}
	return &failure{
		kind: accel.ErrLost, text: "NVIDIA's driver does not start: " + text,
		hint: "see what `nvidia-smi` says",
	}
}
