package record

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"syscall"
	"time"
)

// rotated is a file that is only written at its end. Full ones are kept as PATH.1, PATH.2, ... One goroutine uses it.
type rotated struct {
	path string
	most int64 // bytes of one file; 0 or less: no limit
	keep int

	file    *os.File // nil after an error, until it can be opened again
	regular bool     // neither a terminal nor a pipe: those are not moved
	size    int64
	torn    bool // the last write ended in the middle of a line
}

// fileError is what is wrong with the file, with advice.
type fileError struct {
	error
	hint string
}

func (e *fileError) Unwrap() error { return e.error }

// Hint says what to do.
func (e *fileError) Hint() string { return e.hint }

// open opens or makes the file. A pipe that nobody reads is an error, not a wait.
func (f *rotated) open() error {
	file, err := os.OpenFile(f.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|syscall.O_NONBLOCK, 0o640)
	if err != nil {
		hint := "let the user that runs palisade write it"
		switch {
		case errors.Is(err, fs.ErrNotExist):
			hint = "make its directory first"
		case errors.Is(err, syscall.ENXIO):
			hint = "it is a pipe, and nobody reads it: start the reader first"
		case errors.Is(err, syscall.EISDIR):
			hint = "name a file in that directory"
		}
		return &fileError{err, hint}
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(err, file.Close())
	}
	f.file, f.regular, f.size = file, info.Mode().IsRegular(), info.Size()
	f.torn = f.regular && f.size > 0 && !endsInNewline(f.path, f.size)
	return nil
}

// endsInNewline looks at the last byte of a file: a crash may have left half a line.
func endsInNewline(path string, size int64) bool {
	file, err := os.Open(path)
	if err != nil {
		return true
	}
	defer file.Close()
	var last [1]byte
	_, err = file.ReadAt(last[:], size-1)
	return err != nil || last[0] == '\n'
}

// close closes the file; a write opens it again.
func (f *rotated) close() error {
	if f.file == nil {
		return nil
	}
	err := f.file.Close()
	f.file = nil
	return err
}

func (f *rotated) reopen() error {
	if err := f.close(); err != nil {
		return errors.Join(err, f.open())
	}
	return f.open()
}

// follow opens the file anew where somebody has moved or removed it.
func (f *rotated) follow() error {
	if f.file == nil {
		return f.open()
	}
	if !f.regular {
		return nil
	}
	there, err := os.Stat(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return f.reopen()
	}
	ours, ourErr := f.file.Stat()
	if err != nil || ourErr != nil {
		return nil //nolint:nilerr // the next write tells
	}
	f.size = ours.Size() // somebody may have cut it
	if !os.SameFile(there, ours) {
		return f.reopen()
	}
	return nil
}

// by makes writes to a pipe fail that would last longer.
func (f *rotated) by(deadline time.Time) {
	if f.file != nil && !f.regular {
		_ = f.file.SetWriteDeadline(deadline) // a terminal has none
	}
}

// write writes lines, a pipe's only until deadline, and says how many of them went out, and how many did not.
func (f *rotated) write(lines []byte, deadline time.Time) (whole, lost int64, err error) {
	all := int64(bytes.Count(lines, []byte{'\n'}))
	if f.file == nil {
		if err := f.open(); err != nil {
			return 0, all, err
		}
	}
	f.by(deadline)
	if f.torn {
		if _, err := f.file.Write([]byte{'\n'}); err != nil {
			return 0, all, err
		}
		f.torn = false
	}
	n, err := f.file.Write(lines)
	f.size += int64(n)
	whole = int64(bytes.Count(lines[:n], []byte{'\n'}))
	f.torn = n > 0 && lines[n-1] != '\n'
	if err == nil && n < len(lines) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return whole, all - whole, &fileError{err, "free some space, or let the user that runs palisade write it"}
	}
	return whole, 0, nil
}

// rotate moves the files on by one where the one that is written is full. The oldest goes.
func (f *rotated) rotate() error {
	if f.file == nil || !f.regular || f.most <= 0 || f.size < f.most {
		return nil
	}
	if f.keep <= 0 {
		f.size = 0
		if err := f.file.Truncate(0); err != nil {
			return fmt.Errorf("beginning the access log anew: %w", err)
		}
		return nil
	}
	name := func(n int) string {
		if n == 0 {
			return f.path
		}
		return f.path + "." + strconv.Itoa(n)
	}
	for n := f.keep - 1; n >= 0; n-- {
		if err := os.Rename(name(n), name(n+1)); err != nil && !(n > 0 && errors.Is(err, fs.ErrNotExist)) {
			f.size = 0 // tried again when as much has come again
			return fmt.Errorf("moving the full access log away: %w", err)
		}
	}
	return f.reopen()
}
