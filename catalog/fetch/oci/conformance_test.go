package oci_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/fetch/fetchtest"
	"github.com/palisade-run/palisade/catalog/fetch/oci"
)

// cutter ends the next blob after so many bytes.
type cutter struct{ after atomic.Int64 }

func (c *cutter) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err == nil && strings.Contains(r.URL.Path, "/blobs/") {
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

func TestARegistryKeepsToWhatPlacesDo(t *testing.T) {
	fetchtest.Run(t, func(t *testing.T, all map[string][]byte) fetchtest.Place {
		address := registry(t)
		m := ocispec.Manifest{ArtifactType: "application/vnd.cncf.model.manifest.v1+json"}
		var blobs [][]byte
		for name, b := range all {
			m.Layers = append(m.Layers, described("application/vnd.cncf.model.weight.v1.raw", name, b))
			blobs = append(blobs, b)
		}
		push(t, address, "org/model", "8b", m, blobs...)
		var secret atomic.Value
		secret.Store("secret")
		cuts := &cutter{}
		return fetchtest.Place{
			Source: oci.New(oci.Config{Transport: cuts, Credentials: func(context.Context, string) (string, string, error) { return "ann", secret.Load().(string), nil }}),
			Ref:    fetch.Ref{Scheme: "oci", Where: address + "/org/model", Revision: "8b"}, Missing: fetch.Ref{Scheme: "oci", Where: address + "/org/nothing", Revision: "8b"},
			Deny: func() { secret.Store("another") },
			Cut:  func(n int) { cuts.after.Store(int64(n)) },
		}
	})
}
