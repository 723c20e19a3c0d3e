package daemon

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// The programs that run beside sessions of plain processes. The supervisor takes a seventh of the memory and half of the
// time to start that this program would.
const (
	supervisorName = "palisade-supervise"
	initName       = "palisade-init"
)

// programSum is the SHA-256 of all that comes.
func programSum(r io.Reader) ([]byte, error) {
	sum := sha256.New()
	_, err := io.Copy(sum, r)
	return sum.Sum(nil), err
}

// write makes a program of what program holds.
func write(path string, program *io.SectionReader) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, io.NewSectionReader(program, 0, program.Size()))
	return errors.Join(err, f.Close())
}

// unpack writes a program below dir, under a name of its content, and returns its path. Others there of that name are of
// earlier versions: whoever runs one keeps it.
func unpack(program *io.SectionReader, dir, name string) (string, error) {
	sum, err := programSum(io.NewSectionReader(program, 0, program.Size()))
	if err != nil {
		return "", fmt.Errorf("unpacking %s: %w", name, err)
	}
	path := filepath.Join(dir, name+"-"+hex.EncodeToString(sum[:6]))
	if there, err := os.Open(path); err == nil {
		kept, err := programSum(there)
		there.Close()
		if err == nil && bytes.Equal(kept, sum) {
			return path, nil
		}
	}
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return "", fmt.Errorf("unpacking %s: %w", name, err)
	}
	old, err := filepath.Glob(filepath.Join(dir, name+"-*"))
	if err != nil {
		return "", err
	}
	for _, file := range old {
		if err := os.Remove(file); err != nil {
			return "", fmt.Errorf("removing an earlier %s: %w", name, err)
		}
	}
	// Renamed into place, so that a crash leaves no half a program under its name.
	half := path + ".new"
	if err := write(half, program); err != nil {
		return "", fmt.Errorf("unpacking %s: %w", name, err)
	}
	if err := os.Rename(half, path); err != nil {
		return "", fmt.Errorf("unpacking %s: %w", name, err)
	}
	return path, nil
}
