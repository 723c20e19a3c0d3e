package s3_test

import (
	"context"
	"io"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/fetch/fetchtest"
	"github.com/palisade-run/palisade/catalog/fetch/s3"
)

// cutter ends the next object after so many bytes.
type cutter struct{ after atomic.Int64 }

func (c *cutter) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err == nil && r.Method == http.MethodGet {
		if n := c.after.Swap(0); n > 0 {
			answer.Body = &cut{answer.Body, n}
		}
	}
	return answer, err
}

type cut struct {
	io.ReadCloser
	left int64
}

func (c *cut) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := c.ReadCloser.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	return n, err
}

func TestAStoreKeepsToWhatPlacesDo(t *testing.T) {
	fetchtest.Run(t, func(t *testing.T, all map[string][]byte) fetchtest.Place {
		endpoint, client := store(t)
		for name, b := range all {
			put(t, client, "model/"+name, b, len(b)%2 == 0)
		}
		var secret atomic.Value
		secret.Store("secret-of-ann")
		cuts := &cutter{}
		return fetchtest.Place{
			Source: s3.New(s3.Config{Transport: cuts, Settings: func(context.Context, string) (s3.Settings, error) {
				return s3.Settings{Endpoint: endpoint, Region: "us-east-1", Key: "ann", Secret: secret.Load().(string)}, nil
			}}),
			Ref: fetch.Ref{Scheme: "s3", Where: "models/model"}, Missing: fetch.Ref{Scheme: "s3", Where: "models/nothing"},
			Change: func(name string, data []byte) { put(t, client, "model/"+name, data, false) },
			Deny:   func() { secret.Store("another") },
			Cut:    func(n int) { cuts.after.Store(int64(n)) },
		}
	})
}
