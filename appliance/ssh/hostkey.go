package ssh

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	xssh "golang.org/x/crypto/ssh"
)

// fileHostKey is the host key, in the form of OpenSSH.
const fileHostKey = "host_ed25519"

// hostKeyError is a host key that is there and is none.
type hostKeyError struct {
	path string
	err  error
}

func (e *hostKeyError) Error() string {
	return "reading the SSH host key " + e.path + ": " + e.err.Error()
}
func (e *hostKeyError) Unwrap() error { return e.err }

// Hint says what to do.
func (e *hostKeyError) Hint() string {
	return "put the file back from a backup; or remove it, and a new one is made: clients will warn that the host has changed"
}

// HostKey reads the host key that is kept in dir. Where there is none one is made, once: the same for ever, whatever
// becomes of the daemon.
func HostKey(dir string) (xssh.Signer, error) {
	path := filepath.Join(dir, fileHostKey)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		text, err = makeHostKey(dir, path)
	}
	if err != nil {
		return nil, &hostKeyError{path, err}
	}
	key, err := xssh.ParsePrivateKey(text)
	if err != nil {
		return nil, &hostKeyError{path, err}
	}
	return key, nil
}

func makeHostKey(dir, path string) ([]byte, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	block, err := xssh.MarshalPrivateKey(private, "palisade")
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	text := pem.EncodeToMemory(block)
	half := path + ".new"
	f, err := os.OpenFile(half, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, fmt.Errorf("writing it: %w", err)
	}
	return text, os.Rename(half, path)
}
