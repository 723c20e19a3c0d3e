package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"
)

const keyHead = "# The key to this appliance's secrets (age). Without it they cannot be read: back it up, apart from the database.\n"

// Rotate makes a new key, encrypts every secret with it, and forgets the older ones. It returns how many secrets there are.
// What breaks off, by a crash as well, leaves secrets that can be read, each with one of the keys in the file; Open goes on
// with it.
func (v *Vault) Rotate(ctx context.Context) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	key, err := age.GenerateX25519Identity()
	if err != nil {
		return 0, fmt.Errorf("making a key: %w", err)
	}
	// The new key is in the file before anything is encrypted with it, and the older ones until nothing is.
	keys := append([]*age.X25519Identity{key}, v.keys...)
	if err := writeKeys(v.file, keys); err != nil {
		return 0, err
	}
	v.keys = keys
	return v.renew(ctx)
}

// renew encrypts with the first key what is encrypted with another, and forgets the others. v.mu is held.
func (v *Vault) renew(ctx context.Context) (int, error) {
	rows, err := v.rows.Secrets(ctx)
	if err != nil {
		return 0, fmt.Errorf("changing the vault's key: %w", err)
	}
	for i, row := range rows {
		if opens(row, v.keys[0]) {
			continue
		}
		s, err := v.open(row)
		if err != nil {
			return i, fmt.Errorf("changing the vault's key: %w", err)
		}
		if row.Ciphertext, err = v.seal(row.Name, s); err != nil {
			return i, err
		}
		if err := v.rows.SaveSecret(ctx, row); err != nil { // with the times that it has: its words are the same
			return i, fmt.Errorf("changing the vault's key: %w", err)
		}
	}
	keys := v.keys[:1:1]
	if err := writeKeys(v.file, keys); err != nil {
		return len(rows), err
	}
	v.keys = keys
	return len(rows), nil
}

func opens(row Row, key *age.X25519Identity) bool {
	_, err := age.Decrypt(bytes.NewReader(row.Ciphertext), key)
	return err == nil
}

// seal encrypts a secret with the first key. Its name goes in too: a row's content under another's name opens nothing.
func (v *Vault) seal(name string, s Secret) ([]byte, error) {
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, v.keys[0].Recipient())
	if err == nil {
		_, err = io.WriteString(w, name+"\x00"+s.Reveal())
		err = errors.Join(err, w.Close())
	}
	if err != nil {
		return nil, fmt.Errorf("encrypting secret %s: %w", name, err)
	}
	return sealed.Bytes(), nil
}

// writeKeys puts keys into the place of those in a file, all of them or none.
func writeKeys(file string, keys []*age.X25519Identity) error {
	var text strings.Builder
	text.WriteString(keyHead)
	for _, k := range keys {
		text.WriteString(k.String() + "\n")
	}
	f, err := os.CreateTemp(filepath.Dir(file), ".vault-*") // mode 0600
	if err != nil {
		return fmt.Errorf("writing the vault's key: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(text.String())
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("writing the vault's key: %w", err)
	}
	if err := os.Rename(f.Name(), file); err != nil {
		return fmt.Errorf("writing the vault's key: %w", err)
	}
	if err := syncDir(filepath.Dir(file)); err != nil {
		return fmt.Errorf("writing the vault's key: %w", err)
	}
	return nil
}

// identities are the keys as age takes them.
func (v *Vault) identities() []age.Identity {
	var out []age.Identity
	for _, k := range v.keys {
		out = append(out, k)
	}
	return out
}
