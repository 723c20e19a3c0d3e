package vault_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/appliance/vault"
)

var at = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func now() time.Time { return at }

// memory keeps rows.
type memory struct {
	mu   sync.Mutex
	rows map[string]vault.Row
	fail error
}

func (m *memory) SaveSecret(_ context.Context, r vault.Row) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.rows == nil {
		m.rows = map[string]vault.Row{}
	}
	if old, ok := m.rows[r.Name]; ok {
		r.CreatedAt = old.CreatedAt
	}
	m.rows[r.Name] = r
	return m.fail
}

func (m *memory) Secret(_ context.Context, name string) (vault.Row, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.rows[name]
	return r, ok, m.fail
}

func (m *memory) Secrets(context.Context) ([]vault.Row, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []vault.Row
	for _, r := range m.rows {
		out = append(out, r)
	}
	return out, m.fail
}

func (m *memory) DeleteSecret(_ context.Context, name string) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.rows[name]
	delete(m.rows, name)
	return ok, m.fail
}

func open(t *testing.T, rows vault.Rows, file string) *vault.Vault {
	t.Helper()
	v, err := vault.Open(t.Context(), rows, file, now)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestSecretsComeBack(t *testing.T) {
	rows, file := &memory{}, filepath.Join(t.TempDir(), "vault.key")
	v := open(t, rows, file)
	for _, secret := range []string{"x", "päss\x00wörd\n", strings.Repeat("k", 64<<10)} {
		if err := v.Put(t.Context(), "hub/token", vault.Secret(secret)); err != nil {
			t.Fatal(err)
		}
		got, err := open(t, rows, file).Get(t.Context(), "hub/token") // as after a restart
		if err != nil || got.Reveal() != secret {
			t.Errorf("%d bytes came back of %d: %v", len(got), len(secret), err)
		}
		if bytes.Contains(rows.rows["hub/token"].Ciphertext, []byte(secret)) && len(secret) > 1 {
			t.Error("it is kept as it is")
		}
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's mode is %v: %v", info.Mode(), err)
	}
	list, err := v.List(t.Context(), "hub/")
	if d := cmp.Diff([]vault.Entry{{Name: "hub/token", CreatedAt: at, UpdatedAt: at}}, list); d != "" || err != nil {
		t.Errorf("%v %s", err, d)
	}
	if err := v.Delete(t.Context(), "hub/token"); err != nil {
		t.Error(err)
	}
	for _, err := range []error{v.Delete(t.Context(), "hub/token"), func() error { _, err := v.Get(t.Context(), "hub/token"); return err }()} {
		if !errors.Is(err, vault.ErrNotFound) {
			t.Errorf("%v", err)
		}
	}
}

func TestSecretsDoNotShowThemselves(t *testing.T) {
	s := vault.Secret("hunter2")
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("a", "s", s, "in", struct{ S vault.Secret }{s})
	asJSON, err := json.Marshal(map[string]any{"s": s})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %s %q", s, s, s, s, s), log.String(), string(asJSON)} {
		if strings.Contains(text, "hunter2") {
			t.Error(text)
		}
	}
}

func TestWhatCannotBeKept(t *testing.T) {
	v := open(t, &memory{}, filepath.Join(t.TempDir(), "vault.key"))
	for name, secret := range map[string]string{"": "x", "a b": "x", "a\n": "x", "\xff": "x", strings.Repeat("n", 256): "x", "empty": "", "large": strings.Repeat("x", 64<<10+1)} {
		if err := v.Put(t.Context(), name, vault.Secret(secret)); !errors.Is(err, vault.ErrInvalid) {
			t.Errorf("%.20q: %v", name, err)
		}
	}
}

func TestKeyThatIsWrong(t *testing.T) {
	dir, rows := t.TempDir(), &memory{}
	good := filepath.Join(dir, "good")
	if err := open(t, rows, good).Put(t.Context(), "a", "secret"); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string, mode os.FileMode) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return file
	}
	key, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	open(t, &memory{}, filepath.Join(dir, "other"))
	for name, file := range map[string]string{
		"gone": filepath.Join(dir, "none"), "another": filepath.Join(dir, "other"), "empty": write("empty", "", 0o600),
		"junk": write("junk", "AGE-SECRET-KEY-1JUNK\n", 0o600), "open to all": write("open", string(key), 0o644),
	} {
		_, err := vault.Open(t.Context(), rows, file, now)
		h, ok := errors.AsType[*vault.Error](err)
		if !ok || h.Hint() == "" || strings.Contains(err.Error(), "AGE-SECRET") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What was moved under another name opens nothing.
	v := open(t, rows, good)
	moved := rows.rows["a"]
	moved.Name = "b"
	rows.rows["b"] = moved
	if _, err := v.Get(t.Context(), "b"); !errors.Is(err, vault.ErrSealed) {
		t.Errorf("%v", err)
	}
}

func TestTwoMakeTheKeyAtOnce(t *testing.T) {
	rows, file := &memory{}, filepath.Join(t.TempDir(), "vault.key")
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			v, err := vault.Open(t.Context(), &memory{}, file, now)
			if err == nil {
				err = v.Put(t.Context(), fmt.Sprint(i), "x")
			}
			if err == nil {
				err = rows.SaveSecret(t.Context(), vault.Row{Name: "probe"})
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	left, err := os.ReadDir(filepath.Dir(file))
	if err != nil || len(left) != 1 {
		t.Errorf("%v, %v: one key is wanted and nothing else", left, err)
	}
}

func TestRowsThatFail(t *testing.T) {
	down := errors.New("database down")
	rows := &memory{}
	v := open(t, rows, filepath.Join(t.TempDir(), "vault.key"))
	rows.fail = down
	if _, err := v.Get(t.Context(), "a"); !errors.Is(err, down) {
		t.Errorf("%v", err)
	}
	if _, _, err := v.Registries().Credentials(t.Context(), "ghcr.io"); !errors.Is(err, down) {
		t.Errorf("%v: a database that is down is not a registry without a log-in", err)
	}
	if _, err := vault.Open(t.Context(), rows, filepath.Join(t.TempDir(), "k"), now); !errors.Is(err, down) {
		t.Errorf("%v", err)
	}
}

func TestRegistries(t *testing.T) {
	r := open(t, &memory{}, filepath.Join(t.TempDir(), "vault.key")).Registries()
	if user, secret, err := r.Credentials(t.Context(), "ghcr.io"); user != "" || secret != "" || err != nil {
		t.Errorf("%q, %v", user, err)
	}
	for _, host := range []string{"GHCR.io", "https://index.docker.io/v1/", "registry.example.com:5000"} {
		if err := r.Put(t.Context(), host, "ann", vault.Secret("pw of "+host)); err != nil {
			t.Fatal(err)
		}
	}
	for asked, put := range map[string]string{"ghcr.io": "GHCR.io", "docker.io": "https://index.docker.io/v1/", "registry.example.com:5000": "registry.example.com:5000"} {
		if user, secret, err := r.Credentials(t.Context(), asked); user != "ann" || secret != "pw of "+put || err != nil {
			t.Errorf("%s: %q %q, %v", asked, user, secret, err)
		}
	}
	list, err := r.List(t.Context())
	want := []vault.LogIn{{"docker.io", "ann", at, at}, {"ghcr.io", "ann", at, at}, {"registry.example.com:5000", "ann", at, at}}
	if d := cmp.Diff(want, list); d != "" || err != nil {
		t.Errorf("%v %s", err, d)
	}
	for _, host := range []string{"", "ghcr.io/team", "a b", "user@host"} {
		if err := r.Put(t.Context(), host, "ann", "x"); !errors.Is(err, vault.ErrInvalid) {
			t.Errorf("%q: %v", host, err)
		}
	}
	if err := r.Put(t.Context(), "ghcr.io", "ann", ""); !errors.Is(err, vault.ErrInvalid) {
		t.Errorf("%v", err)
	}
	if err := errors.Join(r.Delete(t.Context(), "ghcr.io"), r.Delete(t.Context(), "docker.io")); err != nil {
		t.Error(err)
	}
	if err := r.Delete(t.Context(), "ghcr.io"); !errors.Is(err, vault.ErrNotFound) {
		t.Errorf("%v", err)
	}
}
