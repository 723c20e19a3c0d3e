package daemon

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
)

// The programs that run beside sessions of plain processes. The supervisor takes a seventh of the memory and half of the
// time to start that this program would.
const (
	supervisorName = "palisade-supervise"
	initName       = "palisade-init"
)

// unpack writes a program below dir, under a name of its content, and returns its path. Others there of that name are of
// earlier versions: whoever runs one keeps it.
func unpack(program []byte, dir, name string) (string, error) {
	sum := sha256.Sum256(program)
	path := filepath.Join(dir, name+"-"+hex.EncodeToString(sum[:6]))
	if there, err := os.ReadFile(path); err == nil && bytes.Equal(there, program) {
		return path, nil
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
	if err := os.WriteFile(half, program, 0o755); err != nil {
		return "", fmt.Errorf("unpacking %s: %w", name, err)
	}
	if err := os.Rename(half, path); err != nil {
		return "", fmt.Errorf("unpacking %s: %w", name, err)
	}
	return path, nil
}
