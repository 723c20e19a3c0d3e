package s3_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/fetch/s3"
)

// store starts a store with a bucket, and returns its address and a client that may write.
func store(t *testing.T) (string, *minio.Client) {
	t.Helper()
	built, err := exec.Command(filepath.Join("..", "..", "..", ".ci", "s3", "build")).Output()
	if err != nil {
		t.Fatalf("building the store: %v", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	dir := t.TempDir()
	var said bytes.Buffer
	cmd := exec.Command(filepath.Join(strings.TrimSpace(string(built)), "versitygw"), "--port", address, "--access", "ann", "--secret", "secret-of-ann", "--iam-dir", t.TempDir(), "--quiet", "posix", "--sidecar", t.TempDir(), dir)
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(said.String())
		}
	})
	for deadline := time.Now().Add(20 * time.Second); ; {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			conn.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	client, err := minio.New(address, &minio.Options{Creds: credentials.NewStaticV4("ann", "secret-of-ann", "")})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.MakeBucket(t.Context(), "models", minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	return "http://" + address, client
}

// put writes an object as Amazon's own client does: with its checksum, if that is wanted, in a header.
func put(t *testing.T, client *minio.Client, key string, b []byte, sum bool) {
	t.Helper()
	header := http.Header{}
	if sum {
		whole := sha256.Sum256(b)
		header.Set("X-Amz-Checksum-Sha256", base64.StdEncoding.EncodeToString(whole[:]))
	}
	where, err := client.PresignHeader(t.Context(), http.MethodPut, "models", key, time.Minute, nil, header)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, where.String(), bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(answer.Body)
		t.Fatalf("putting %s: %s: %s", key, answer.Status, said)
	}
}

func with(set s3.Settings) *s3.Source {
	return s3.New(s3.Config{Settings: func(context.Context, string) (s3.Settings, error) { return set, nil }})
}

func TestModelsOfAStore(t *testing.T) {
	endpoint, client := store(t)
	weights := make([]byte, 300_000)
	_, _ = rand.Read(weights)
	put(t, client, "team/model/model.safetensors", weights, true)
	put(t, client, "team/model/tokenizer/vocab.json", []byte("{}"), false)
	put(t, client, "team/model-2/other", []byte("x"), false)
	s := with(s3.Settings{Endpoint: endpoint, Key: "ann", Secret: "secret-of-ann"})
	ref := fetch.Ref{Scheme: "s3", Where: "models/team/model"}
	in, err := s.List(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range in.Files {
		names = append(names, fmt.Sprintf("%s %d", f.Name, f.Bytes))
	}
	if diff := cmp.Diff([]string{"model.safetensors 300000", "tokenizer/vocab.json 2"}, names); diff != "" {
		t.Fatal(diff)
	}
	sum := sha256.Sum256(weights)
	if f := in.Files[0]; f.SHA256 != hex.EncodeToString(sum[:]) || f.ETag == "" {
		t.Errorf("%+v", f)
	}
	for _, part := range [][2]int64{{0, -1}, {0, 10}, {299_999, -1}, {300_000, -1}, {1000, 50_000}, {299_990, 50}} {
		want := weights[part[0]:]
		if part[1] >= 0 {
			want = want[:min(part[1], int64(len(want)))]
		}
		r, err := s.Open(t.Context(), in, in.Files[0], part[0], part[1])
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		r.Close()
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("from %d, %d bytes: %d bytes of others, %v", part[0], part[1], len(got), err)
		}
	}
	if one, err := s.List(t.Context(), fetch.Ref{Where: "models/team/model/model.safetensors"}); err != nil || len(one.Files) != 1 || one.Files[0].Name != "model.safetensors" {
		t.Errorf("one object: %+v, %v", one.Files, err)
	}
	weights[0]++
	put(t, client, "team/model/model.safetensors", weights, false)
	if _, err := s.Open(t.Context(), in, in.Files[0], 0, -1); !errors.Is(err, fetch.ErrChanged) {
		t.Errorf("replaced since: %v", err)
	}
	if err := client.RemoveObject(t.Context(), "models", "team/model/tokenizer/vocab.json", minio.RemoveObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(t.Context(), in, in.Files[1], 0, -1); !errors.Is(err, fetch.ErrNotFound) {
		t.Errorf("removed since: %v", err)
	}
	put(t, client, "bad/a\\b", []byte("x"), false)
	for what, c := range map[string]struct {
		s     *s3.Source
		where string
		kind  error
	}{
		"no keys":        {with(s3.Settings{Endpoint: endpoint}), "models/team/model", fetch.ErrDenied},
		"a wrong key":    {with(s3.Settings{Endpoint: endpoint, Key: "bob", Secret: "x"}), "models/team/model", fetch.ErrDenied},
		"a wrong secret": {with(s3.Settings{Endpoint: endpoint, Key: "ann", Secret: "x"}), "models/team/model", fetch.ErrDenied},
		"no bucket":      {s, "nothing/there", fetch.ErrNotFound},
		"no prefix":      {s, "models/nobody", fetch.ErrNotFound},
		"a bad name":     {s, "models/bad", nil},
		"no address":     {with(s3.Settings{Endpoint: "store:9000"}), "models", nil},
		"nobody answers": {with(s3.Settings{Endpoint: "http://127.0.0.1:1"}), "models", nil},
	} {
		_, err := c.s.List(t.Context(), fetch.Ref{Where: c.where})
		var h interface{ Hint() string }
		if err == nil || c.kind != nil && !errors.Is(err, c.kind) || !errors.As(err, &h) {
			t.Errorf("%s: %v", what, err)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.List(gone, ref); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestStoresThatMisbehave(t *testing.T) {
	body := []byte(strings.Repeat("weights ", 100))
	var answer http.HandlerFunc
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"e"`)
		w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
		answer(w, r)
	}))
	defer server.Close()
	s := with(s3.Settings{Endpoint: server.URL, Region: "here"})
	f := fetch.File{Name: "w", At: "models/w", Bytes: int64(len(body)), ETag: "e"}
	open := func(offset int64, how http.HandlerFunc) ([]byte, error) {
		answer = how
		r, err := s.Open(t.Context(), fetch.Listing{Ref: fetch.Ref{Where: "models"}}, f, offset, -1)
		if err != nil {
			return nil, err
		}
		defer r.Close()
		return io.ReadAll(r)
	}
	if _, err := open(8, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) }); !errors.Is(err, fetch.ErrNoRange) {
		t.Errorf("no ranges: %v", err)
	}
	if _, err := open(8, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Range", "bytes 0-9/10")
		w.WriteHeader(http.StatusPartialContent)
	}); !errors.Is(err, fetch.ErrChanged) {
		t.Errorf("another range: %v", err)
	}
	if _, err := open(0, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("ETag", `"f"`)
		_, _ = w.Write(body)
	}); !errors.Is(err, fetch.ErrChanged) {
		t.Errorf("another ETag: %v", err)
	}
	if _, err := open(0, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body[:9]) }); !errors.Is(err, fetch.ErrChanged) {
		t.Errorf("another size: %v", err)
	}
	cut, err := open(0, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		_, _ = w.Write(body[:100])
	})
	if !errors.Is(err, io.ErrUnexpectedEOF) || !bytes.Equal(cut, body[:100]) {
		t.Errorf("cut off: %d bytes, %v", len(cut), err)
	}
	_, err = open(0, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	if later, ok := errors.AsType[*fetch.Later](err); !ok || later.After <= 0 {
		t.Errorf("busy: %v", err)
	}
}
