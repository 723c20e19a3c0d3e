package clustertest

import (
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"
)

// Patience bounds every wait of these tests.
const Patience = 30 * time.Second

var prefixes atomic.Int64

// Prefix is one of etcd's keys that no other test has.
func Prefix() string { return fmt.Sprintf("/test/%d/%d/", os.Getpid(), prefixes.Add(1)) }

// Soon waits for something to be so. Etcd's time is the real one: nothing tells when it has come to be.
func Soon(t testing.TB, what string, is func() bool) {
	t.Helper()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	late := time.After(Patience)
	for !is() {
		select {
		case <-look.C:
		case <-late:
			t.Fatalf("it does not come to be: %s", what)
		}
	}
}
