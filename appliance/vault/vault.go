// Package vault owns secrets at rest: log-ins of registries, tokens of hubs. What is kept is encrypted to a key in a
// file beside the data; what is shown is that a secret is there, never what it is. It knows nothing of HTTP, nor of how
// rows are kept, nor of what the secrets open.
package vault

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"filippo.io/age"
)

// Kinds of errors of this room.
var (
	// ErrNotFound: there is no secret of that name.
	ErrNotFound = errors.New("not found")
	// ErrInvalid: the name or the secret cannot be kept.
	ErrInvalid = errors.New("invalid")
	// ErrSealed: what is kept cannot be read with the key that is there.
	ErrSealed = errors.New("secrets cannot be read")
)

// The largest that is kept, in bytes.
const (
	longestName   = 255
	largestSecret = 64 << 10
)

// Row is a secret as it is kept.
type Row struct {
	Name       string // registry/ghcr.io
	Ciphertext []byte
	CreatedAt  time.Time
	UpdatedAt  time.Time
}

// Rows keeps rows, by name.
type Rows interface {
	// SaveSecret inserts or replaces; the time of the first save stays.
	SaveSecret(ctx context.Context, r Row) error
	// Secret returns one; found is false where there is none.
	Secret(ctx context.Context, name string) (r Row, found bool, err error)
	// Secrets returns all, by name.
	Secrets(ctx context.Context) ([]Row, error)
	// DeleteSecret reports whether there was one.
	DeleteSecret(ctx context.Context, name string) (bool, error)
}

// Entry says that a secret is kept.
type Entry struct {
	Name      string
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Secret is a text that does not show itself: not when it is printed, logged or turned into JSON.
type Secret string

const redacted = "(secret)"

// String implements fmt.Stringer.
func (Secret) String() string { return redacted }

// GoString implements fmt.GoStringer.
func (Secret) GoString() string { return redacted }

// LogValue implements slog.LogValuer.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements encoding.TextMarshaler.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Reveal returns the text itself.
func (s Secret) Reveal() string { return string(s) }

// Vault keeps secrets. It is safe for concurrent use.
type Vault struct {
	rows Rows
	file string // of the keys
	now  func() time.Time

	mu   sync.RWMutex          // a secret is not kept while all are encrypted anew: it would be with a key that is forgotten
	keys []*age.X25519Identity // the first encrypts, all open: there is one, but while they change
}

// Error is an error that says what to do about it.
type Error struct {
	err  error
	hint string
}

func (e *Error) Error() string { return e.err.Error() }
func (e *Error) Unwrap() error { return e.err }

// Hint says what to do.
func (e *Error) Hint() string { return e.hint }

// Open reads the key in keyFile. Where there is no file and no secret is kept, a key is made; where secrets are kept
// without their key, Open fails: a new key would hide that they are lost.
func Open(ctx context.Context, rows Rows, keyFile string, now func() time.Time) (*Vault, error) {
	kept, err := rows.Secrets(ctx)
	if err != nil {
		return nil, fmt.Errorf("opening the vault: %w", err)
	}
	found, err := readKeys(keyFile)
	if errors.Is(err, fs.ErrNotExist) && len(kept) == 0 {
		found, err = makeKey(keyFile)
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = &Error{
			fmt.Errorf("%w: %d are kept, and their key, %s, is gone", ErrSealed, len(kept), keyFile),
			"bring the file back from a backup. If there is none, the secrets are lost: remove their rows, as in: DELETE FROM secrets",
		}
	}
	if err != nil {
		return nil, fmt.Errorf("opening the vault: %w", err)
	}
	v := &Vault{rows: rows, file: keyFile, keys: found, now: now}
	if len(kept) > 0 {
		if _, err := v.open(kept[0]); err != nil {
			return nil, fmt.Errorf("opening the vault: %w", err)
		}
	}
	if len(found) > 1 { // a change of the key broke off
		v.mu.Lock()
		defer v.mu.Unlock()
		if _, err := v.renew(ctx); err != nil {
			return nil, fmt.Errorf("opening the vault: %w", err)
		}
	}
	return v, nil
}

// readKeys returns at least one.
func readKeys(file string) ([]*age.X25519Identity, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, &Error{
			fmt.Errorf("%s may be read by others than its owner (mode %o)", file, info.Mode().Perm()),
			"chmod 600 " + file + "; and if others use this box, change the secrets",
		}
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var keys []*age.X25519Identity
	for line := range strings.Lines(string(raw)) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		key, err := age.ParseX25519Identity(line)
		if err != nil {
			keys = nil
			break // its words may hold the key
		}
		keys = append(keys, key)
	}
	if len(keys) > 0 {
		return keys, nil
	}
	return nil, &Error{fmt.Errorf("%w: %s holds no key", ErrSealed, file), "bring the file back from a backup"}
}

// makeKey writes a new key. It is there as a whole or not at all: half a key would lock out what it locked.
func makeKey(file string) ([]*age.X25519Identity, error) {
	key, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	text := keyHead + key.String() + "\n"
	f, err := os.CreateTemp(filepath.Dir(file), ".vault-*") // mode 0600
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	// A link, not a rename: of two that make one at once, the second must take the first one's.
	err = os.Link(f.Name(), file)
	if errors.Is(err, fs.ErrExist) {
		return readKeys(file)
	}
	if err == nil {
		err = syncDir(filepath.Dir(file)) // or a power cut may leave secrets without their key
	}
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	return []*age.X25519Identity{key}, nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Put keeps a secret, in the place of any that was there.
func (v *Vault) Put(ctx context.Context, name string, s Secret) error {
	if err := check(name, s); err != nil {
		return err
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	sealed, err := v.seal(name, s)
	if err != nil {
		return err
	}
	now := v.now().UTC()
	return v.rows.SaveSecret(ctx, Row{Name: name, Ciphertext: sealed, CreatedAt: now, UpdatedAt: now})
}

func check(name string, s Secret) error {
	printable := strings.IndexFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f }) < 0
	switch {
	case name == "" || len(name) > longestName || !printable || strings.ToValidUTF8(name, "") != name:
		return fmt.Errorf("a secret's name, %.40q: %w: 1 to %d letters without spaces", name, ErrInvalid, longestName)
	case s == "":
		return fmt.Errorf("secret %s: %w: it is empty", name, ErrInvalid)
	case len(s) > largestSecret:
		return fmt.Errorf("secret %s: %w: it has %d bytes, %d are allowed", name, ErrInvalid, len(s), largestSecret)
	}
	return nil
}

// Get returns a secret; ErrNotFound where there is none.
func (v *Vault) Get(ctx context.Context, name string) (Secret, error) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	row, found, err := v.rows.Secret(ctx, name)
	if err != nil {
		return "", err
	}
	if !found {
		return "", fmt.Errorf("secret %s: %w", name, ErrNotFound)
	}
	return v.open(row)
}

// open decrypts. v.mu is held, or nobody else has v.
func (v *Vault) open(row Row) (Secret, error) {
	var text []byte
	r, err := age.Decrypt(bytes.NewReader(row.Ciphertext), v.identities()...)
	if err == nil {
		text, err = io.ReadAll(io.LimitReader(r, largestSecret+longestName+2))
	}
	name, secret, ok := strings.Cut(string(text), "\x00")
	if err != nil || !ok || name != row.Name {
		return "", &Error{
			fmt.Errorf("secret %s: %w: it was encrypted with another key, or changed", row.Name, ErrSealed),
			"bring the right key file back from a backup, or give the secret anew",
		}
	}
	return Secret(secret), nil
}

// Delete forgets a secret; ErrNotFound where there is none.
func (v *Vault) Delete(ctx context.Context, name string) error {
	found, err := v.rows.DeleteSecret(ctx, name)
	if err == nil && !found {
		return fmt.Errorf("secret %s: %w", name, ErrNotFound)
	}
	return err
}

// List returns which secrets are kept whose names begin with prefix, by name.
func (v *Vault) List(ctx context.Context, prefix string) ([]Entry, error) {
	rows, err := v.rows.Secrets(ctx)
	if err != nil {
		return nil, err
	}
	var out []Entry
	for _, r := range rows {
		if strings.HasPrefix(r.Name, prefix) {
			out = append(out, Entry{Name: r.Name, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt})
		}
	}
	slices.SortFunc(out, func(a, b Entry) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}
