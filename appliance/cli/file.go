package cli

import (
	"errors"
	"os"
)

// wholeFile has fill write a file that is there as a whole or not at all: until all of it is written, and where that
// fails, there is what was there before.
func wholeFile(name string, mode os.FileMode, fill func(f *os.File) error) error {
	part := name + ".part"
	f, err := os.OpenFile(part, os.O_CREATE|os.O_RDWR|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	defer os.Remove(part) // gone already when all went well
	if err := errors.Join(fill(f), f.Close()); err != nil {
		return err
	}
	return os.Rename(part, name)
}
