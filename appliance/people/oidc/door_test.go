package oidc_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/people"
	"github.com/palisade-run/palisade/appliance/people/oidc"
)

// TestManyWaitForNobody: a provider that does not answer holds few, however many begin.
func TestManyWaitForNobody(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	var first sync.Once
	silent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		first.Do(func() { close(asked) })
		<-answer
		w.WriteHeader(http.StatusNotFound)
	}))
	defer silent.Close()
	d, err := oidc.New(oidc.Around{
		Providers: []people.Provider{{Name: "corp", Issuer: silent.URL, ClientID: "palisade"}}, Key: make([]byte, 32), Client: silent.Client(), Now: time.Now,
		Secret: func(context.Context, string) (string, error) { return "", nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	begin := func() error {
		_, _, err := d.Begin(t.Context(), "corp", "https://box/callback", "/console/")
		return err
	}
	var all sync.WaitGroup
	all.Go(func() { _ = begin() })
	<-asked
	turned := make(chan error)
	for range 20 { // more than may wait: some are told at once
		all.Go(func() {
			err := begin()
			select {
			case turned <- err:
			case <-answer:
			}
		})
	}
	if err := <-turned; kindOf(err) != oidc.Away {
		t.Errorf("%v", err)
	}
	close(answer)
	all.Wait()
}
