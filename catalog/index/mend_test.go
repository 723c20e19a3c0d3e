package index_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/palisade-run/palisade/catalog/index"
)

// TestAnotherKeyOverTheSameIndex: the revision of an index on the web does not say who signed it.
func TestAnotherKeyOverTheSameIndex(t *testing.T) {
	b, m := newBox(t), newMaker(t, "one")
	m.sign()
	b.trust(m.key)
	first := b.mustAdd(index.Request{Name: "web", URL: m.serve().URL})
	other := newKey(t)
	b.trust(other)
	m.sign(func(w *index.Making) { w.Signer = other })
	u, err := b.Update(t.Context(), "web", index.Trust{Key: other.Key().ID()})
	if err != nil || u.To != first.Revision || u.Signed != other.Key().ID() {
		t.Fatalf("%+v, %v", u, err)
	}
	b.expect("by the other key", "web/one@1")
	b.restart()
	b.expect("after a restart", "web/one@1")
	if v, err := b.Catalog(t.Context(), "web"); err != nil || v.Refused != "" {
		t.Errorf("it is refused: %s, %v", v.Refused, err)
	}
}

// TestACopyThatWasDamaged is taken anew by the next update, whichever file it was, pinned or not.
func TestACopyThatWasDamaged(t *testing.T) {
	for name, spoil := range map[string]func(dir string) error{
		"index cut off": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, index.IndexFile), []byte("kind: ["), 0o600)
		},
		"index gone":      func(dir string) error { return os.Remove(filepath.Join(dir, index.IndexFile)) },
		"signature gone":  func(dir string) error { return os.Remove(filepath.Join(dir, index.MinisignFile)) },
		"signature empty": func(dir string) error { return os.Truncate(filepath.Join(dir, index.MinisignFile), 0) },
		"recipe gone":     func(dir string) error { return os.RemoveAll(filepath.Join(dir, "one")) },
		"all gone":        os.RemoveAll,
	} {
		t.Run(name, func(t *testing.T) {
			b, m := newBox(t), newMaker(t, "one")
			m.sign()
			b.trust(m.key)
			v := b.mustAdd(index.Request{Name: "web", URL: m.serve().URL})
			for _, pinned := range []bool{false, true} {
				if pinned {
					if _, err := b.Pin(t.Context(), "web", ""); err != nil {
						t.Fatal(err)
					}
				}
				err := spoil(filepath.Join(b.dir, "catalogs", "web", strings.TrimPrefix(v.Revision, "sha256:")))
				if err != nil {
					t.Fatal(err)
				}
				b.restart()
				b.expect("damaged", "")
				if v, err := b.Catalog(t.Context(), "web"); err != nil || strings.Contains(v.Refused, "not trusted") {
					t.Errorf("its key is blamed: %s, %v", v.Refused, err)
				}
				b.mustUpdate("web")
				b.expect("taken anew", "web/one@1")
			}
		})
	}
}

func TestAKeyIsNotTrustedForNothing(t *testing.T) {
	b, m := newBox(t), newMaker(t, "one")
	key := m.key.Key().String()
	refused(t, "nothing is signed there", b.add(index.Request{Name: "team", URL: m.dir + "/nowhere", PublicKey: key}), index.ErrUnreachable)
	if keys := b.Keys(t.Context()); len(keys) != 0 {
		t.Errorf("still trusted: %+v", keys)
	}
	b.trust(m.key)
	refused(t, "once more", b.add(index.Request{Name: "team", URL: m.dir + "/nowhere", PublicKey: key}), index.ErrUnreachable)
	if keys := b.Keys(t.Context()); len(keys) != 1 || keys[0].Name != "maker" {
		t.Errorf("trusted before: %+v", keys)
	}
}

func TestNamesThatAreTaken(t *testing.T) {
	b, m := newBox(t), newMaker(t, "one")
	for _, name := range []string{"palisade", "bundle"} {
		refused(t, name, b.add(index.Request{Name: name, URL: m.dir, Trust: index.Trust{Unsigned: true}}), index.ErrInvalid)
	}
}

func TestAnIndexThatIsAllCommas(t *testing.T) {
	src := []byte("kind: palisade-catalog\nschema: 1\nserial: 1\nmore: [" + strings.Repeat("a,", 8<<20-64) + "a]\n")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := index.ParseManifest(src)
	runtime.ReadMemStats(&after)
	refused(t, "many small values", err, index.ErrBroken)
	if took := (after.TotalAlloc - before.TotalAlloc) >> 20; took > 64 {
		t.Errorf("%d MiB were allocated", took)
	}
}

func TestAnArchiveThatIsDamaged(t *testing.T) {
	body := packed(t, true, entry{"one/recipe.yaml", source("one", "1"), 0}, entry{"two/recipe.yaml", source("two", "1"), 0})
	for at := 10; at < len(body); at += 3 {
		bad := append([]byte(nil), body...)
		bad[at] ^= 0x55
		b := newBox(t)
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(bad) }))
		if err := b.add(index.Request{Name: "a", URL: s.URL + "/c.tgz", Trust: index.Trust{Unsigned: true}}); err != nil {
			refused(t, "a byte altered", err, index.ErrBroken)
		}
		s.Close()
	}
}

// TestAStoreThatWasAway: what could not be read when somebody first asked is there when it can.
func TestAStoreThatWasAway(t *testing.T) {
	b, m := newBox(t), newMaker(t, "one")
	m.sign()
	b.trust(m.key)
	b.mustAdd(index.Request{Name: "team", URL: m.dir})
	b.restart()
	b.rows.away = errors.New("away")
	b.expect("away", "")
	b.rows.away = nil
	b.expect("back", "team/one@1")
	if keys := b.TrustedKeys(t.Context()); len(keys) != 1 {
		t.Errorf("%d keys", len(keys))
	}
}
