package index_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/palisade-run/palisade/catalog/index"
)

// silent serves a catalog until it is told to say nothing. asked tells that somebody waits for it.
type silent struct {
	*httptest.Server
	is    atomic.Bool
	asked chan struct{}
	talk  func()
}

func (m *maker) silent() *silent {
	s, over := &silent{asked: make(chan struct{}, 100)}, make(chan struct{})
	s.talk = sync.OnceFunc(func() { close(over) })
	files := http.FileServer(http.Dir(m.dir))
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.is.Load() {
			s.asked <- struct{}{}
			select {
			case <-over:
			case <-r.Context().Done():
				return
			}
		}
		files.ServeHTTP(w, r)
	}))
	m.t.Cleanup(func() { s.talk(); s.Close() })
	return s
}

// TestASlowCatalogHoldsUpNobody: all others can be added, updated, pinned and removed, and keys trusted, while a place says nothing.
func TestASlowCatalogHoldsUpNobody(t *testing.T) {
	b, slow, quick := newBox(t), newMaker(t, "one"), newMaker(t, "two")
	slow.sign()
	quick.sign()
	b.trust(slow.key)
	b.trust(quick.key)
	place, other := slow.silent(), quick.serve()
	b.mustAdd(index.Request{Name: "slow", URL: place.URL})
	slow.write("three", "1")
	slow.sign()
	place.is.Store(true)
	updated := make(chan error, 1)
	go func() { _, err := b.Update(t.Context(), "slow", index.Trust{}); updated <- err }()
	<-place.asked

	b.mustAdd(index.Request{Name: "quick", URL: other.URL})
	quick.write("four", "1")
	quick.sign()
	b.mustUpdate("quick")
	b.expect("while one is slow", "quick/four@1 quick/two@1 slow/one@1")
	if _, err := b.Pin(t.Context(), "quick", ""); err != nil {
		t.Error(err)
	}
	b.trust(newKey(t))
	if err := b.Remove(t.Context(), "quick"); err != nil {
		t.Error(err)
	}
	// What a crash left is swept meanwhile; what is being fetched is not.
	b.Run(t.Context())
	if left, err := filepath.Glob(filepath.Join(b.dir, "catalogs", "slow", ".begun-*")); err != nil || len(left) != 1 {
		t.Errorf("%v, %v", left, err)
	}
	place.talk()
	if err := <-updated; err != nil {
		t.Error(err)
	}
	b.expect("at the end", "slow/one@1 slow/three@1")
}

// TestTwoWhoUpdateOneCatalog do so one after the other; who gives up waiting changes nothing.
func TestTwoWhoUpdateOneCatalog(t *testing.T) {
	b, m := newBox(t), newMaker(t, "one")
	m.sign()
	b.trust(m.key)
	place := m.silent()
	b.mustAdd(index.Request{Name: "slow", URL: place.URL})
	m.write("two", "1")
	m.sign()
	place.is.Store(true)
	updates := make(chan index.Update, 2)
	for range 2 {
		go func() {
			u, err := b.Update(t.Context(), "slow", index.Trust{})
			if err != nil {
				t.Error(err)
			}
			updates <- u
		}()
	}
	<-place.asked
	impatient, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := b.Update(impatient, "slow", index.Trust{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	place.talk()
	if first, second := <-updates, <-updates; len(first.Changes)+len(second.Changes) != 1 {
		t.Errorf("%+v, %+v", first, second)
	}
	b.expect("at the end", "slow/one@1 slow/two@1")
}

// TestWhatIsRemovedIsNotWaitedFor: a place that says nothing keeps nobody from removing its catalog, and does not bring it back.
func TestWhatIsRemovedIsNotWaitedFor(t *testing.T) {
	b, m := newBox(t), newMaker(t, "one")
	m.sign()
	b.trust(m.key)
	place := m.silent()
	b.mustAdd(index.Request{Name: "slow", URL: place.URL})
	place.is.Store(true)
	updated := make(chan error, 1)
	go func() { _, err := b.Update(t.Context(), "slow", index.Trust{}); updated <- err }()
	<-place.asked
	if err := b.Remove(t.Context(), "slow"); err != nil {
		t.Fatal(err)
	}
	refused(t, "removed meanwhile", <-updated, index.ErrNotFound)
	b.restart()
	b.expect("at the end", "")
	if _, err := os.Stat(filepath.Join(b.dir, "catalogs", "slow")); !os.IsNotExist(err) {
		t.Errorf("its copies are left: %v", err)
	}
}

// TestAKeyThatIsTakenBackMeanwhile is not believed for what is being fetched.
func TestAKeyThatIsTakenBackMeanwhile(t *testing.T) {
	b, m := newBox(t), newMaker(t, "one")
	m.sign()
	b.trust(m.key)
	place := m.silent()
	b.mustAdd(index.Request{Name: "slow", URL: place.URL})
	m.write("two", "1")
	m.sign()
	place.is.Store(true)
	updated := make(chan error, 1)
	go func() { _, err := b.Update(t.Context(), "slow", index.Trust{}); updated <- err }()
	<-place.asked
	if err := b.Untrust(t.Context(), m.key.Key().ID(), true); err != nil {
		t.Fatal(err)
	}
	place.talk()
	if err := <-updated; err == nil {
		t.Error("it was taken")
	}
	b.expect("at the end", "")
}
