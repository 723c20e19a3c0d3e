//go:build cgo && linux

package nvml

import (
	"errors"
	"fmt"
)

// What a call of the library came to, beside errGone.
var (
	errUnsupported = errors.New("not supported")     // by this device or this driver: left out
	errNotFound    = errors.New("not found")         // such as a MIG slot that holds no slice
	errFellOff     = errors.New("fell off the bus")  // one device is lost
	errBroken      = errors.New("the library broke") // it panicked; nothing that it says is trusted
)

// codeError turns a code that a call answered into an error of a kind.
func codeError(call string, code int, text string) error {
	kinds := map[int]error{
		codeNotSupported: errUnsupported, codeNoFunction: errUnsupported, codeInvalid: errUnsupported,
		codeNoPermission: errUnsupported, codeNoData: errUnsupported,
		codeNotFound: errNotFound, codeTimeout: errNotFound,
		codeLost: errFellOff, codeGPUNotFound: errFellOff,
		codeUninitialized: errGone, codeNotLoaded: errGone, codeNoLibrary: errGone, codeVersionMismatch: errGone,
	}
	switch kind := kinds[code]; {
	case code == codeSuccess:
		return nil
	case code == codeResetRequired:
		return fmt.Errorf("%s: the device needs a reset", call)
	case kind != nil:
		return fmt.Errorf("%s: %w", call, kind)
	}
	return fmt.Errorf("%s: %s", call, text)
}
