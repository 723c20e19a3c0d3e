package fetch

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/palisade-run/palisade/catalog/blobs"
)

// Options of a Fetcher. What is zero gets its default.
type Options struct {
	Connections int   // at once, of all that is fetched: 8
	Files       int   // of one model at once: 4
	Ranges      int   // of one file at once: 4
	Chunk       int64 // bytes that are asked for at once: 64 MiB
	Rate        int64 // bytes a second, of all that is fetched; 0: as fast as it goes
	Keep        int64 // bytes of the disk that stay free
	Tries       int   // in a row that bring nothing, of one connection: 10, which takes about two minutes
	Log         *slog.Logger
}

// Fetcher brings files of places into a store. All calls may be made at once: they share its connections and its rate.
type Fetcher struct {
	store   *blobs.Store
	options Options
	slots   chan struct{} // a connection is one of these
	buffers sync.Pool
	limit   *rate.Limiter
}

// bufferSize is what is read and written at once.
const bufferSize = 512 << 10

// New makes one.
func New(store *blobs.Store, o Options) *Fetcher {
	for value, usual := range map[*int]int{&o.Connections: 8, &o.Files: 4, &o.Ranges: 4, &o.Tries: 10} {
		if *value <= 0 {
			*value = usual
		}
	}
	if o.Chunk <= 0 {
		o.Chunk = 64 << 20
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	f := &Fetcher{store: store, options: o, slots: make(chan struct{}, o.Connections), limit: rate.NewLimiter(rate.Inf, bufferSize)}
	f.buffers.New = func() any { return new([bufferSize]byte) }
	f.SetRate(o.Rate)
	return f
}

// SetRate changes how many bytes a second all that is fetched may take together, from now on; 0: as many as there are.
func (f *Fetcher) SetRate(bytesPerSecond int64) {
	if bytesPerSecond <= 0 {
		f.limit.SetLimit(rate.Inf)
		return
	}
	f.limit.SetBurst(int(min(bufferSize, max(4<<10, bytesPerSecond/4))))
	f.limit.SetLimit(rate.Limit(bytesPerSecond))
}

// Limit has what is read of a body count against the rate, beside what is fetched.
func (f *Fetcher) Limit(ctx context.Context, body io.ReadCloser) io.ReadCloser {
	return &slowed{ReadCloser: body, ctx: ctx, limit: f.limit}
}

// slowed is a body that comes no faster than it may.
type slowed struct {
	io.ReadCloser
	ctx   context.Context //nolint:containedctx // of who reads
	limit *rate.Limiter
}

// Read implements io.Reader.
func (s *slowed) Read(p []byte) (int, error) {
	if s.limit.Limit() == rate.Inf {
		return s.ReadCloser.Read(p)
	}
	n, err := s.ReadCloser.Read(p[:min(len(p), s.limit.Burst())])
	if n > 0 {
		if waitErr := s.limit.WaitN(s.ctx, min(n, s.limit.Burst())); waitErr != nil && s.ctx.Err() != nil {
			return n, context.Cause(s.ctx)
		}
	}
	return n, err
}

// Entry is one file that is here.
type Entry struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
	Run    bool   `json:"run,omitempty"` // it may be run
}

// Manifest is what was fetched: all of it is in the store.
type Manifest struct {
	Ref      string  `json:"ref"`
	Revision string  `json:"revision,omitempty"` // what does not change
	Files    []Entry `json:"files"`              // by name
	Fetched  int64   `json:"fetched"`            // bytes that came
	Reused   int64   `json:"reused"`             // bytes that were here
}

// Bytes of all files.
func (m Manifest) Bytes() (n int64) {
	for _, e := range m.Files {
		n += e.Bytes
	}
	return n
}

// Need is what a listing takes.
type Need struct {
	Bytes   int64 // of all files, as far as it is known
	Here    int64 // of these: in the store, or in parts of files
	Unknown int   // files of which the size is not known
}

// Need says what Fetch would bring.
func (f *Fetcher) Need(ctx context.Context, in Listing) (Need, error) {
	in, err := Pick(in)
	if err != nil {
		return Need{}, err
	}
	var n Need
	for _, file := range in.Files {
		key := keyOf(in, file)
		bytes, here, err := f.have(ctx, file, key)
		switch {
		case err != nil:
			return Need{}, err
		case here:
			n.Bytes, n.Here = n.Bytes+bytes, n.Here+bytes
		case file.Bytes < 0:
			n.Unknown++
		default:
			n.Bytes += file.Bytes
			if key.validates {
				n.Here += min(file.Bytes, f.store.Begun(key.part))
			}
		}
	}
	return n, nil
}

// have says whether a file is in the store, and how large it is.
func (f *Fetcher) have(ctx context.Context, file File, key key) (bytes int64, is bool, err error) {
	_, bytes, is, err = f.find(ctx, file, key)
	return bytes, is, err
}

// find is a file of the store that is the one that a place has: by its checksum, else by what was noted of the place.
func (f *Fetcher) find(ctx context.Context, file File, key key) (sum string, bytes int64, is bool, err error) {
	if file.SHA256 != "" {
		if file.Unpack != "" {
			if n, is := f.store.Noted(ctx, unpackedKey(file)); is {
				for _, e := range n.Files {
					bytes += e.Bytes
				}
				return file.SHA256, bytes, true, nil
			}
		}
		bytes, is, err = f.store.Sure(ctx, file.SHA256)
		return file.SHA256, bytes, is, err
	}
	if !key.validates {
		return "", 0, false, nil
	}
	n, is := f.store.Noted(ctx, key.part)
	if !is || len(n.Files) != 1 {
		return "", 0, false, nil
	}
	return n.Files[0].SHA256, n.Files[0].Bytes, true, nil
}

// key is what a part of a file is called.
type key struct {
	part      string
	validates bool // a file with this key cannot have other bytes
}

// keyOf calls a file by the most that is known of what is in it.
func keyOf(in Listing, f File) key {
	place := in.Ref.Scheme + ":" + in.Ref.Where
	switch {
	case f.SHA256 != "":
		return key{blobs.SumKey + f.SHA256, true}
	case f.Git != "":
		return key{fmt.Sprintf("git:%s:%d", f.Git, f.Bytes), true}
	case f.ETag != "" && !strings.HasPrefix(f.ETag, "W/"):
		return key{fmt.Sprintf("etag:%s:%s:%d", f.At, f.ETag, f.Bytes), true}
	case in.Revision != "":
		return key{fmt.Sprintf("revision:%s@%s:%s:%d", place, in.Revision, f.Name, f.Bytes), true}
	}
	return key{fmt.Sprintf("place:%s:%s:%d", place, f.Name, f.Bytes), false}
}

// Fetch brings the files of a listing that its Ref is about into the store, and returns when all are there and checked. What was
// here is not fetched again; what came before an error stays, and the next call goes on with it. tell, which may be nil, is
// told now and then how far it is, from one goroutine. Errors are of this package's kinds, with hints.
func (f *Fetcher) Fetch(ctx context.Context, from Source, in Listing, tell func(Progress)) (Manifest, error) {
	files, err := Sorted(in.Files)
	if err != nil {
		return Manifest{}, err
	}
	in.Files = files
	if in, err = Pick(in); err != nil {
		return Manifest{}, err
	}
	need, err := f.Need(ctx, in)
	if err != nil {
		return Manifest{}, err
	}
	room, err := f.store.Reserve(need.Bytes-need.Here, f.options.Keep)
	if err != nil {
		return Manifest{}, err
	}
	defer room.Release()
	j := &job{Fetcher: f, from: from, in: in, room: room, state: newState(in)}
	j.state.tell(ctx, tell, func(done <-chan struct{}) { err = j.run(ctx); <-done })
	if err != nil {
		if ctx.Err() != nil { // given up: what is here of it is nobody's
			for _, e := range j.made {
				f.store.Release(e.SHA256)
			}
		}
		return Manifest{}, err
	}
	slices.SortFunc(j.made, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return j.manifest()
}

// job is one call of Fetch.
type job struct {
	*Fetcher
	from  Source
	in    Listing
	room  *blobs.Reservation
	state *state

	mu   sync.Mutex
	made []Entry
	news *Listing // what is at the place now, where something has changed
}

// run fetches several files at once, and ends at the first error.
func (j *job) run(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	todo := make(chan File)
	var group sync.WaitGroup
	for range min(j.options.Files, len(j.in.Files)) {
		group.Go(func() {
			for f := range todo {
				if err := j.one(ctx, f); err != nil {
					stop(fmt.Errorf("fetching %s: %w", f.Name, err)) // the first one counts
					return
				}
			}
		})
	}
	for _, f := range j.in.Files {
		select {
		case todo <- f:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(todo)
	group.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return nil
}

func (j *job) one(ctx context.Context, f File) error {
	if f.Unpack != "" {
		return j.unpacked(ctx, f)
	}
	e, err := j.file(ctx, f)
	if err != nil {
		return err
	}
	j.add(e)
	return nil
}

func (j *job) add(entries ...Entry) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.made = append(j.made, entries...)
}

// manifest checks what came of files that held others: names may meet only now.
func (j *job) manifest() (Manifest, error) {
	m := Manifest{Ref: j.in.Ref.String(), Revision: j.in.Revision}
	m.Fetched, m.Reused = j.state.totals()
	files := []File{}
	for _, e := range j.made {
		files = append(files, File{Name: e.Name})
	}
	if _, err := Sorted(files); err != nil {
		return Manifest{}, err
	}
	picked, err := Pick(Listing{Ref: j.in.Ref, Files: files})
	if err != nil {
		return Manifest{}, err
	}
	wanted := make(map[string]bool, len(picked.Files))
	for _, f := range picked.Files {
		wanted[f.Name] = true
	}
	for _, e := range j.made {
		if wanted[e.Name] {
			m.Files = append(m.Files, e)
		}
	}
	return m, nil
}

// Progress is how far a Fetch is.
type Progress struct {
	Files, FilesDone int
	Bytes            int64 // of all files; -1: not known
	Done             int64 // of these: are here
	Reused           int64 // of Done: were here already
	Speed            float64
	ETA              time.Duration // -1: not known
	Current          string        // one of the files that come
	Message          string        // what is waited for: a place that is to be tried again
}
