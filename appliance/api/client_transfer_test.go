package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
)

// sink is memory that can be written anywhere.
type sink struct {
	mu sync.Mutex
	b  []byte
}

func (s *sink) WriteAt(p []byte, at int64) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if need := int(at) + len(p); need > len(s.b) {
		s.b = append(s.b, make([]byte, need-len(s.b))...)
	}
	return copy(s.b[at:], p), nil
}

func noise(n int) []byte {
	r := rand.NewChaCha8([32]byte{7})
	b := make([]byte, n)
	_, _ = r.Read(b)
	return b
}

func hexOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func xxOf(b []byte) string { return fmt.Sprintf("xxh64:%016x", xxhash.Sum64(b)) }

// rough is an appliance with one file that comes and goes over a bad line: what is in faults happens to one request each.
type rough struct {
	t      *testing.T
	mu     sync.Mutex
	file   []byte
	etag   string
	part   []byte
	faults []string
}

func (r *rough) fault(kinds ...string) string {
	if len(r.faults) == 0 {
		return ""
	}
	for _, k := range kinds {
		if r.faults[0] == k {
			r.faults = r.faults[1:]
			return k
		}
	}
	return ""
}

func cut() { panic(http.ErrAbortHandler) }

func (r *rough) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	state := func() {
		_ = json.NewEncoder(w).Encode(FolderUpload{ID: "upl-1", Offset: int64(len(r.part)), Digest: xxOf(r.part)})
	}
	switch base := filepath.Base(req.URL.Path); {
	case req.Method == http.MethodGet && base == "files":
		r.send(w, req)
	case req.Method == http.MethodPut:
		body, _ := io.ReadAll(req.Body)
		if r.fault("cut the answer") != "" {
			cut()
		}
		sum := sha256.Sum256(body)
		if got := req.Header.Get("Content-Digest"); got != "sha-256=:"+base64.StdEncoding.EncodeToString(sum[:])+":" {
			r.t.Errorf("digest %s", got)
		}
		r.file = body
		_ = json.NewEncoder(w).Encode(Entry{Path: req.URL.Query().Get("path"), Size: int64(len(body)), SHA256: hexOf(body)})
	case req.Method == http.MethodPost && base == "uploads":
		w.WriteHeader(http.StatusCreated)
		state()
	case req.Method == http.MethodGet && base == "upl-1":
		state()
	case req.Method == http.MethodDelete:
		r.part = nil
		w.WriteHeader(http.StatusNoContent)
	case req.Method == http.MethodPatch:
		if r.fault("cut the request") != "" {
			_, _ = io.CopyN(io.Discard, req.Body, 1000)
			cut()
		}
		body, err := io.ReadAll(req.Body)
		sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
		_, _ = sum.Write(body)
		want := "crc32c " + base64.StdEncoding.EncodeToString(sum.Sum(nil))
		if err != nil || req.Header.Get(HeaderChecksum) != want || req.Header.Get(HeaderOffset) != fmt.Sprint(len(r.part)) {
			r.t.Errorf("%v, %s, at %s of %d", err, req.Header.Get(HeaderChecksum), req.Header.Get(HeaderOffset), len(r.part))
		}
		r.part = append(r.part, body...)
		if r.fault("cut the answer") != "" {
			cut()
		}
		state()
	case base == "finish":
		var in UploadFinish
		if err := json.NewDecoder(req.Body).Decode(&in); err != nil || in.Digest != xxOf(r.part) {
			r.t.Errorf("%v, %+v", err, in)
		}
		r.file = r.part
		_ = json.NewEncoder(w).Encode(Entry{Path: "big", Size: int64(len(r.file)), SHA256: hexOf(r.file)})
	default:
		r.t.Errorf("%s %s", req.Method, req.URL.Path)
	}
}

// send answers a range with its digest behind it.
func (r *rough) send(w http.ResponseWriter, req *http.Request) {
	if req.Header.Get("Want-Content-Digest") == "" {
		r.t.Error("no digest is wanted")
	}
	var from, to int
	if _, err := fmt.Sscanf(req.Header.Get("Range"), "bytes=%d-%d", &from, &to); err != nil {
		r.t.Error(err)
	}
	if of := req.Header.Get("If-Range"); of != "" && of != r.etag {
		_, _ = w.Write(r.file)
		return
	}
	if from >= len(r.file) {
		w.Header().Set("Content-Type", ProblemType)
		w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
		_ = json.NewEncoder(w).Encode(NewProblem(KindRange, 416, "no"))
		return
	}
	body := r.file[from:min(to+1, len(r.file))]
	w.Header().Set("ETag", r.etag)
	w.Header().Set("Trailer", "Content-Digest")
	w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, from+len(body)-1, len(r.file)))
	w.WriteHeader(http.StatusPartialContent)
	sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	_, _ = sum.Write(body)
	switch r.fault("cut the answer", "break a byte", "change the file") {
	case "cut the answer":
		_, _ = w.Write(body[:len(body)/2])
		_ = http.NewResponseController(w).Flush()
		cut()
	case "break a byte":
		body = bytes.Clone(body)
		body[0] ^= 1
	case "change the file":
		r.etag += "x"
	}
	_, _ = w.Write(body)
	w.Header().Set("Content-Digest", "crc32c=:"+base64.StdEncoding.EncodeToString(sum.Sum(nil))+":")
}

func TestUploadsOverABadLine(t *testing.T) {
	for name, size := range map[string]int{"empty": 0, "small": 100_000, "large": 2*partSize + 4711} {
		for _, faults := range [][]string{nil, {"cut the answer"}, {"cut the request", "cut the answer", "cut the request"}} {
			if size <= partSize && len(faults) > 1 {
				continue
			}
			t.Run(fmt.Sprint(name, faults), func(t *testing.T) {
				content := noise(size)
				r := &rough{t: t, faults: faults}
				c := serve(t, r.ServeHTTP)
				last := int64(0)
				e, err := c.Upload(t.Context(), "f", Upload{Path: "big", Body: bytes.NewReader(content), Size: int64(size)}, func(done, total int64) {
					if total != int64(size) {
						t.Errorf("%d of %d", done, total)
					}
					last = done
				})
				if err != nil || !bytes.Equal(r.file, content) || e.SHA256 != hexOf(content) || last != int64(size) || len(r.faults) > 0 {
					t.Errorf("%v, %d of %d, %+v, told of %d, left %v", err, len(r.file), size, e, last, r.faults)
				}
			})
		}
	}
}

func TestUploadsGoOn(t *testing.T) {
	content := noise(3 * partSize)
	for name, part := range map[string][]byte{"of this file": content[:partSize], "of another": noise(partSize + 1)[1:]} {
		t.Run(name, func(t *testing.T) {
			r := &rough{t: t, part: bytes.Clone(part)}
			c := serve(t, r.ServeHTTP)
			first := int64(-1)
			_, err := c.Upload(t.Context(), "f", Upload{Path: "big", Body: bytes.NewReader(content), Size: int64(len(content))}, func(done, _ int64) {
				if first < 0 {
					first = done
				}
			})
			want := map[string]int64{"of this file": partSize, "of another": 0}[name]
			if err != nil || !bytes.Equal(r.file, content) || first != want {
				t.Errorf("%v, begun at %d", err, first)
			}
		})
	}
	r := &rough{t: t}
	_, err := serve(t, r.ServeHTTP).Upload(t.Context(), "f", Upload{Path: "x", Body: bytes.NewReader(content[:10]), Size: 20}, nil)
	if err == nil || !strings.Contains(err.Error(), "became shorter meanwhile: 20 bytes at first, 10 now") {
		t.Errorf("%v", err)
	}
}

func TestDownloadsOverABadLine(t *testing.T) {
	for _, size := range []int{0, 1, 100_000, segmentSize, segmentSize + 4711} {
		for _, faults := range [][]string{nil, {"cut the answer", "break a byte"}} {
			if size == 0 && faults != nil {
				continue
			}
			t.Run(fmt.Sprint(size, faults), func(t *testing.T) {
				content := noise(size)
				r := &rough{t: t, file: content, etag: `"a"`, faults: faults}
				var got sink
				n, err := serve(t, r.ServeHTTP).Download(t.Context(), "f", Download{Path: "x", ETag: `"a"`, To: &got}, nil)
				if err != nil || n != int64(size) || !bytes.Equal(got.b, content) || len(r.faults) > 0 {
					t.Errorf("%d of %d, %v", n, size, err)
				}
			})
		}
	}
	content := noise(segmentSize + 100)
	r := &rough{t: t, file: content, etag: `"a"`, faults: []string{"change the file"}}
	_, err := serve(t, r.ServeHTTP).Download(t.Context(), "f", Download{Path: "x", To: &sink{}}, nil)
	if !errors.Is(err, ErrFileChanged) {
		t.Errorf("%v", err)
	}
	// The rest of one, and a disk that is full, which no patience mends.
	var got sink
	r = &rough{t: t, file: content, etag: `"a"`}
	if _, err := serve(t, r.ServeHTTP).Download(t.Context(), "f", Download{Path: "x", Offset: segmentSize, ETag: `"a"`, To: &got}, nil); err != nil || !bytes.Equal(got.b[segmentSize:], content[segmentSize:]) {
		t.Errorf("%v", err)
	}
	begin := time.Now()
	_, err = serve(t, r.ServeHTTP).Download(t.Context(), "f", Download{Path: "x", To: fullDisk{}}, nil)
	if !errors.Is(err, errFull) || time.Since(begin) > cutPatience/2 {
		t.Errorf("%v", err)
	}
}

var errFull = errors.New("full")

type fullDisk struct{}

func (fullDisk) WriteAt([]byte, int64) (int, error) { return 0, errFull }
