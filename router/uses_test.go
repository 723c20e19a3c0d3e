package router

import (
	"testing"
	"time"

	"github.com/palisade-run/palisade/router/record"
)

// slowObserver takes its time over a request that is over for its service.
type slowObserver struct{ begun, release chan struct{} }

func (m *slowObserver) Write(*record.Record) {
	m.begun <- struct{}{}
	<-m.release
}

// A router whose place another takes has a request until it is counted, though no service has it in flight any more. Until the
// other one is open it may get one at any time.
func TestUses(t *testing.T) {
	g := newRig(t, Config{})
	slow := &slowObserver{make(chan struct{}), make(chan struct{})}
	g.Observe(Observers{Demand: slow})
	g.SetServices([]Service{hello()})
	uses := func() bool { return g.server.gate.Uses(g.Router) }
	if !uses() {
		t.Error("requests come to it, and it is not used")
	}
	answered := make(chan error, 1)
	go func() {
		resp, err := g.server.Client().Do(g.request("POST", "/v1/chat/completions", chatHello))
		if err == nil {
			err = resp.Body.Close()
		}
		answered <- err
	}()
	<-slow.begun
	g.server.gate.Open(newRig(t, Config{}, hello()).Router)
	if n := g.Snapshot()[0].InFlight; n != 0 {
		t.Errorf("%d are in flight", n)
	}
	if !uses() {
		t.Error("a request of it is not counted, and it is not used")
	}
	close(slow.release)
	if err := <-answered; err != nil {
		t.Error(err)
	}
	for end := time.Now().Add(5 * time.Second); uses(); {
		if time.Now().After(end) {
			t.Fatal("all are counted, and it is used")
		}
	}
	g.Enter()
	if !uses() {
		t.Error("net/http brings it one, and it is not used")
	}
	g.Leave()
}

// A gate that has ended uses nobody: who waits for that must not wait for ever.
func TestAGateThatHasEndedUsesNobody(t *testing.T) {
	g := newRig(t, Config{}, hello())
	if err := g.server.gate.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if g.server.gate.Uses(g.Router) {
		t.Error("it is used")
	}
}
