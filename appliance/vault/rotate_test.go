package vault_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/palisade-run/palisade/appliance/vault"
)

// breaking ends as a crash does: after some saves nothing is kept any more.
type breaking struct {
	*memory
	saves int
}

var errCrash = errors.New("the power is gone")

func (b *breaking) SaveSecret(ctx context.Context, r vault.Row) error {
	if b.saves--; b.saves < 0 {
		return errCrash
	}
	return b.memory.SaveSecret(ctx, r)
}

func keysIn(t *testing.T, file string) []string {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for line := range strings.Lines(string(raw)) {
		if strings.HasPrefix(line, "AGE-SECRET-KEY-") {
			keys = append(keys, strings.TrimSpace(line))
		}
	}
	return keys
}

func filled(t *testing.T, rows vault.Rows, file string) *vault.Vault {
	t.Helper()
	v, err := vault.Open(t.Context(), rows, file, now)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		if err := v.Put(t.Context(), fmt.Sprintf("secret/S%d", i), vault.Secret(fmt.Sprintf("value %d", i))); err != nil {
			t.Fatal(err)
		}
	}
	return v
}

func all(t *testing.T, v *vault.Vault) {
	t.Helper()
	for i := range 5 {
		if s, err := v.Get(t.Context(), fmt.Sprintf("secret/S%d", i)); err != nil || s.Reveal() != fmt.Sprintf("value %d", i) {
			t.Errorf("secret %d: %v", i, err)
		}
	}
}

func TestRotate(t *testing.T) {
	rows, file := &memory{}, filepath.Join(t.TempDir(), "vault.key")
	v := filled(t, rows, file)
	before, times := keysIn(t, file), rows.rows["secret/S0"].UpdatedAt
	n, err := v.Rotate(t.Context())
	if err != nil || n != 5 {
		t.Fatal(n, err)
	}
	after := keysIn(t, file)
	if len(before) != 1 || len(after) != 1 || before[0] == after[0] {
		t.Errorf("keys %d, %d", len(before), len(after))
	}
	if got := rows.rows["secret/S0"].UpdatedAt; !got.Equal(times) {
		t.Errorf("a secret that nobody changed was changed at %s", got)
	}
	all(t, v)
	again, err := vault.Open(t.Context(), rows, file, now)
	if err != nil {
		t.Fatal(err)
	}
	all(t, again)

	old := filepath.Join(t.TempDir(), "old.key")
	if err := os.WriteFile(old, []byte(before[0]+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := vault.Open(t.Context(), rows, old, now); !errors.Is(err, vault.ErrSealed) {
		t.Errorf("the key before opens what is kept: %v", err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
}

// Wherever it breaks off, everything can be read, and the next start ends what was begun.
func TestRotationThatBreaksOff(t *testing.T) {
	for saves := range 6 {
		rows, file := &memory{}, filepath.Join(t.TempDir(), "vault.key")
		filled(t, rows, file)
		v, err := vault.Open(t.Context(), &breaking{rows, saves}, file, now)
		if err != nil {
			t.Fatal(err)
		}
		_, err = v.Rotate(t.Context())
		if broke := saves < 5; broke != errors.Is(err, errCrash) {
			t.Fatalf("after %d saves: %v", saves, err)
		}
		all(t, v)
		if want := 2; saves < 5 && len(keysIn(t, file)) != want {
			t.Errorf("after %d saves: %d keys", saves, len(keysIn(t, file)))
		}
		next, err := vault.Open(t.Context(), rows, file, now)
		if err != nil {
			t.Fatalf("after %d saves: %v", saves, err)
		}
		all(t, next)
		if got := len(keysIn(t, file)); got != 1 {
			t.Errorf("after %d saves and a start: %d keys", saves, got)
		}
	}
}

func TestSecretsAreKeptWhileTheKeyChanges(t *testing.T) {
	rows, file := &memory{}, filepath.Join(t.TempDir(), "vault.key")
	v := filled(t, rows, file)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := range 10 {
				name := fmt.Sprintf("secret/N%d_%d", i, n)
				if err := v.Put(t.Context(), name, "fresh"); err != nil {
					t.Error(err)
				}
				if s, err := v.Get(t.Context(), name); err != nil || s.Reveal() != "fresh" {
					t.Error(name, err)
				}
			}
		})
	}
	for range 5 {
		if _, err := v.Rotate(t.Context()); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
	next, err := vault.Open(t.Context(), rows, file, now)
	if err != nil {
		t.Fatal(err)
	}
	for name := range rows.rows {
		if _, err := next.Get(t.Context(), name); err != nil {
			t.Error(err)
		}
	}
}
