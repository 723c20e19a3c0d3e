package containerd_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/containerd"
	"github.com/palisade-run/palisade/sessions/containerd/containerdtest"
)

// What one box has another one gets from it, in ranges too, though the registry is gone; and from the registry, where the box
// that has it gives something else, or nothing.
func TestAnImageComesFromAnotherBox(t *testing.T) {
	eachContainerd(t, func(t *testing.T, p containerdtest.Program) {
		r := newRegistry(t, nil)
		ref := r.push(t, "team/model:1", image(t, runtime.GOARCH, 2_000_000, 1000))
		has := openStoreIn(t, p, containerdtest.Dir(t))
		if err := has.Pull(t.Context(), ref, nil); err != nil {
			t.Fatal(err)
		}
		var spoil atomic.Bool
		var asked atomic.Int64
		box := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			asked.Add(1)
			if spoil.Load() && strings.Contains(q.URL.Path, "/blobs/") {
				_, _ = w.Write([]byte("something else"))
				return
			}
			has.Registry().ServeHTTP(w, q)
		}))
		defer box.Close()
		wants := openStoreIn(t, p, containerdtest.Dir(t))
		wants.cfg.Mirrors = func(context.Context, string) []containerd.Mirror {
			return []containerd.Mirror{{Host: strings.TrimPrefix(box.URL, "https://"), Path: "/goods/1/v2", Client: box.Client()}}
		}
		wants.reopen(t)
		spoil.Store(true)
		if err := wants.Pull(t.Context(), ref, nil); err != nil || asked.Load() == 0 {
			t.Fatalf("%d requests, %v", asked.Load(), err)
		}
		if err := wants.RemoveImage(t.Context(), ref); err != nil {
			t.Fatal(err)
		}
		wants.nothingLeft(t)
		spoil.Store(false)
		r.server.Close()
		var got told
		if err := wants.Pull(t.Context(), ref, got.tell); err != nil {
			t.Fatal(err)
		}
		if last := got.all[len(got.all)-1]; last.Done != last.Total || last.Total < 2_000_000 {
			t.Errorf("%+v", last)
		}
		mine, err := wants.Images(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := has.Images(t.Context())
		if err != nil || len(mine) != 1 || mine[0].Digest != theirs[0].Digest {
			t.Errorf("%+v and %+v, %v", mine, theirs, err)
		}
		// What nobody has is asked of the registry, which says what is wrong.
		if err := wants.Pull(t.Context(), r.host+"/team/other:1", nil); err == nil {
			t.Error("an image came from nowhere")
		}
		if _, err := wants.Refresh(t.Context(), ref, nil); err == nil {
			t.Error("a newer one is asked of another box")
		}
	})
}

// What is asked for that is not here, or is no pull's, is not found.
func TestRegistryOfABox(t *testing.T) {
	s, r := openStore(t, newest(t)), newRegistry(t, nil)
	ref := r.push(t, "team/model:1", image(t, runtime.GOARCH, 1000))
	if err := s.Pull(t.Context(), ref, func(sessions.Progress) {}); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{
		"GET /goods/1/v2/team/model/manifests/1?ns=" + r.host:                                      200,
		"HEAD /goods/1/v2/team/model/manifests/1?ns=" + r.host:                                     200,
		"GET /goods/1/v2/team/model/manifests/2?ns=" + r.host:                                      404,
		"GET /goods/1/v2/team/model/manifests/1?ns=docker.io":                                      404,
		"GET /goods/1/v2/team/model/manifests/1":                                                   404,
		"PUT /goods/1/v2/team/model/manifests/1?ns=" + r.host:                                      404,
		"GET /goods/1/v2/team/model/blobs/sha256:" + strings.Repeat("0", 64) + "?ns=" + r.host:     404,
		"GET /goods/1/v2/team/model/blobs/x?ns=" + r.host:                                          404,
		"GET /goods/1/v2/team/model/manifests/sha256:" + strings.Repeat("0", 64) + "?ns=" + r.host: 404,
		"GET /goods/1/v2/":                          404,
		"GET /goods/1/v2/../../etc/passwd/blobs/..": 404,
	} {
		method, url, _ := strings.Cut(path, " ")
		w := httptest.NewRecorder()
		s.Registry().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, url, nil))
		if w.Code != want {
			t.Errorf("%s: %d, want %d", path, w.Code, want)
		}
	}
}
