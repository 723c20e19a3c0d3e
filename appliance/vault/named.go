package vault

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// namedPrefix begins the names of secrets that people give names to: secret/HF_TOKEN.
const namedPrefix = "secret/"

// named is what a name may be: one that an environment variable could have, since that is how most programs take them.
var named = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,63}$`)

// Named are secrets that services and recipes use by their names: HF_TOKEN, NGC_API_KEY.
type Named struct{ vault *Vault }

// Named returns the part of the vault that keeps secrets with names of their own.
func (v *Vault) Named() Named { return Named{v} }

// Put keeps a secret, in the place of any that was there.
func (n Named) Put(ctx context.Context, name string, s Secret) error {
	if !named.MatchString(name) {
		return &Error{
			fmt.Errorf("a secret's name, %.40q: %w: letters, digits and _, at most 64, not a digit first", name, ErrInvalid),
			"name it as the program's environment variable is: HF_TOKEN, NGC_API_KEY",
		}
	}
	if strings.ContainsRune(s.Reveal(), 0) {
		return fmt.Errorf("secret %s: %w: it holds a NUL, which no environment variable can", name, ErrInvalid)
	}
	return n.of(name, n.vault.Put(ctx, namedPrefix+name, s))
}

// Get returns a secret; ErrNotFound, with what to do, where there is none.
func (n Named) Get(ctx context.Context, name string) (Secret, error) {
	s, err := n.vault.Get(ctx, namedPrefix+name)
	return s, n.of(name, err)
}

// Delete forgets a secret; ErrNotFound where there is none.
func (n Named) Delete(ctx context.Context, name string) error {
	return n.of(name, n.vault.Delete(ctx, namedPrefix+name))
}

// Rotate changes the key of the whole vault; see Vault.Rotate.
func (n Named) Rotate(ctx context.Context) (int, error) { return n.vault.Rotate(ctx) }

// List returns which are kept, by name.
func (n Named) List(ctx context.Context) ([]Entry, error) {
	entries, err := n.vault.List(ctx, namedPrefix)
	for i := range entries {
		entries[i].Name = strings.TrimPrefix(entries[i].Name, namedPrefix)
	}
	return entries, err
}

// of puts an error into the words of who named the secret.
func (n Named) of(name string, err error) error {
	if errors.Is(err, ErrNotFound) {
		return &Error{fmt.Errorf("secret %s: %w", name, ErrNotFound), "keep it with: palisade secret set " + name}
	}
	return err
}
