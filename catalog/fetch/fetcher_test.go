package fetch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/palisade-run/palisade/catalog/blobs"
	"github.com/palisade-run/palisade/catalog/fetch"
)

// box is a store with a fetcher.
type box struct {
	*fetch.Fetcher
	store *blobs.Store
}

func newBox(t *testing.T, o fetch.Options) *box {
	t.Helper()
	store, err := blobs.Open(t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return &box{fetch.New(store, o), store}
}

func (b *box) bring(t *testing.T, p *place, globs ...string) (fetch.Manifest, error) {
	t.Helper()
	in, err := p.List(t.Context(), fetch.Ref{Scheme: "mem", Where: "place", Files: globs})
	if err != nil {
		t.Fatal(err)
	}
	return b.Fetch(t.Context(), p, in, nil)
}

// holds compares a manifest, and what is in the store, with what a place has.
func (b *box) holds(t *testing.T, m fetch.Manifest, want map[string][]byte) {
	t.Helper()
	if len(m.Files) != len(want) {
		t.Errorf("%d files, want %d", len(m.Files), len(want))
	}
	for _, e := range m.Files {
		file, err := b.store.Open(e.SHA256)
		if err != nil {
			t.Error(err)
			continue
		}
		data, err := io.ReadAll(file)
		_ = file.Close()
		if err != nil || !bytes.Equal(data, want[e.Name]) || e.SHA256 != sumOf(data) || e.Bytes != int64(len(data)) {
			t.Errorf("%s is not what it should be: %d bytes, %v", e.Name, len(data), err)
		}
	}
}

var small = fetch.Options{Chunk: 1 << 20}

func large() map[string][]byte {
	return map[string][]byte{"a/weights": noise(13 << 20), "b": noise(3 << 20), "config.json": []byte("{}"), "empty": {}}
}

func placeOf(files map[string][]byte) *place {
	p := newPlace(nil)
	for name, data := range files {
		p.put(name, data)
	}
	return p
}

func TestFetch(t *testing.T) {
	for name, set := range map[string]func(p *place){
		"with checksums":    func(p *place) { p.sums = true },
		"with git's names":  func(p *place) { p.git = true },
		"with ETags":        func(*place) {},
		"without ranges":    func(p *place) { p.noRanges = true },
		"without sizes":     func(p *place) { p.unsized = true },
		"without any words": func(p *place) { p.unsized = true; clear(p.etags) },
	} {
		t.Run(name, func(t *testing.T) {
			b, want := newBox(t, small), large()
			p := placeOf(want)
			set(p)
			m, err := b.bring(t, p)
			if err != nil {
				t.Fatal(err)
			}
			b.holds(t, m, want)
			if m.Fetched < m.Bytes() {
				t.Errorf("%d of %d bytes were fetched", m.Fetched, m.Bytes())
			}
			before := p.given
			if m, err = b.bring(t, p); err != nil {
				t.Fatal(err)
			}
			b.holds(t, m, want)
			if again := p.given - before; (again == 0) == (name == "without any words") {
				t.Errorf("the second time %d bytes were fetched", again)
			}
		})
	}
}

func TestGlobs(t *testing.T) {
	b, want := newBox(t, small), large()
	m, err := b.bring(t, placeOf(want), "*.json", "a/*")
	if err != nil || len(m.Files) != 2 || m.Files[0].Name != "a/weights" {
		t.Errorf("%+v, %v", m, err)
	}
	if m, err := b.bring(t, placeOf(want), "*.json", "*.jinja"); err != nil || len(m.Files) != 1 {
		t.Errorf("of two globs, one that nothing matches: %+v, %v", m, err)
	}
	for _, globs := range [][]string{{"*.gguf"}, {"*.gguf", "*.jinja"}, {"*.json", "chat_template.jinja"}} {
		if _, err := b.bring(t, placeOf(want), globs...); !errors.Is(err, fetch.ErrNotFound) {
			t.Errorf("%q are not there: %v", globs, err)
		}
	}
	for _, name := range []string{"../x", "/x", "a/../x", "b/c", "x\x00"} {
		if _, err := b.bring(t, placeOf(map[string][]byte{name: {}, "b": {}})); !errors.Is(err, fetch.ErrRefused) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// TestFaultsThatPass is a place that cuts, stalls and refuses now and then.
func TestFaultsThatPass(t *testing.T) {
	for name, fault := range map[string]func(p *place, open int, offset int64, data []byte) (io.Reader, error){
		"cut off": func(_ *place, open int, _ int64, data []byte) (io.Reader, error) {
			if open%2 == 0 || len(data) < 2 {
				return nil, nil
			}
			return io.MultiReader(bytes.NewReader(data[:len(data)*2/3]), failing{io.ErrUnexpectedEOF}), nil
		},
		"short without a word": func(_ *place, open int, _ int64, data []byte) (io.Reader, error) {
			if open%2 == 0 {
				return nil, nil
			}
			return bytes.NewReader(data[:len(data)/2]), nil
		},
		"busy": func(_ *place, open int, _ int64, _ []byte) (io.Reader, error) {
			if open%3 != 0 {
				return nil, &fetch.Later{After: 7 * time.Second, Err: errors.New("429 Too Many Requests")}
			}
			return nil, nil
		},
		"down": func(_ *place, open int, _ int64, _ []byte) (io.Reader, error) {
			if open < 20 {
				return nil, errors.New("connection refused")
			}
			return nil, nil
		},
	} {
		for _, noRanges := range []bool{false, true} {
			t.Run(fmt.Sprint(name, noRanges), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b, want := newBox(t, small), large()
					p := placeOf(want)
					p.fault, p.noRanges = fault, noRanges
					m, err := b.bring(t, p)
					if err != nil {
						t.Fatal(err)
					}
					b.holds(t, m, want)
				})
			})
		}
	}
}

func TestFaultsThatStay(t *testing.T) {
	always := func(err error) func(*place, int, int64, []byte) (io.Reader, error) {
		return func(*place, int, int64, []byte) (io.Reader, error) { return nil, err }
	}
	hour := &fetch.Later{After: time.Hour, Err: errors.New("429 Too Many Requests")}
	down := errors.New("connection refused")
	for name, c := range map[string]struct {
		fault func(*place, int, int64, []byte) (io.Reader, error)
		want  error
		most  time.Duration // that it may take
	}{
		"denied":    {always(fetch.ErrDenied), fetch.ErrDenied, time.Second},
		"gone":      {always(fetch.ErrNotFound), fetch.ErrNotFound, time.Second},
		"refused":   {always(fetch.ErrRefused), fetch.ErrRefused, time.Second},
		"an hour":   {always(hour), hour, time.Second},
		"down":      {always(down), down, 4 * time.Minute},
		"changing":  {always(fetch.ErrChanged), fetch.ErrChanged, time.Second},
		"truncated": {func(_ *place, _ int, _ int64, _ []byte) (io.Reader, error) { return bytes.NewReader(nil), nil }, fetch.ErrTruncated, 4 * time.Minute},
		"altered": {func(_ *place, _ int, offset int64, data []byte) (io.Reader, error) {
			data = bytes.Clone(data)
			if offset == 0 && len(data) > 5 {
				data[5]++
			}
			return bytes.NewReader(data), nil
		}, fetch.ErrChecksum, time.Second},
		"too long": {func(_ *place, _ int, _ int64, data []byte) (io.Reader, error) {
			return io.MultiReader(bytes.NewReader(data), strings.NewReader("more")), nil
		}, fetch.ErrTooLong, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBox(t, small)
				p := placeOf(map[string][]byte{"x": noise(1 << 20)})
				p.sums, p.fault = true, c.fault
				start := time.Now()
				_, err := b.bring(t, p)
				if !errors.Is(err, c.want) || time.Since(start) > c.most || !strings.Contains(err.Error(), "fetching x: ") {
					t.Errorf("after %v: %v, want %v", time.Since(start), err, c.want)
				}
				p.fault = nil
				m, err := b.bring(t, p)
				if err != nil {
					t.Fatal(err)
				}
				b.holds(t, m, p.files)
			})
		})
	}
}

func TestWhatCameBeforeAnErrorStays(t *testing.T) {
	b, want := newBox(t, fetch.Options{Chunk: 1 << 20, Ranges: 1}), map[string][]byte{"x": noise(10 << 20)}
	p := placeOf(want)
	p.fault = func(_ *place, open int, _ int64, _ []byte) (io.Reader, error) {
		if open > 6 {
			return nil, fetch.ErrDenied
		}
		return nil, nil
	}
	if _, err := b.bring(t, p); !errors.Is(err, fetch.ErrDenied) {
		t.Fatal(err)
	}
	p.fault = nil
	in, _ := p.List(t.Context(), fetch.Ref{})
	if n, err := b.Need(t.Context(), in); err != nil || n.Bytes != 10<<20 || n.Here != 6<<20 {
		t.Errorf("%+v, %v", n, err)
	}
	m, err := b.bring(t, p)
	if err != nil || m.Fetched != 4<<20 || m.Reused != 6<<20 {
		t.Errorf("fetched %d, here already %d, %v", m.Fetched, m.Reused, err)
	}
	b.holds(t, m, want)
}

func TestAFileThatChangesIsFetchedAnew(t *testing.T) {
	b, p := newBox(t, fetch.Options{Chunk: 1 << 20, Ranges: 1}), placeOf(map[string][]byte{"x": noise(5 << 20)})
	next := noise(4<<20 + 1)
	p.fault = func(p *place, open int, _ int64, _ []byte) (io.Reader, error) {
		if open == 3 {
			p.files["x"], p.etags["x"] = next, `"next"`
		}
		return nil, nil
	}
	m, err := b.bring(t, p)
	if err != nil {
		t.Fatal(err)
	}
	b.holds(t, m, map[string][]byte{"x": next})

	// Not where it was pinned, nor where all else would be of another revision.
	p.sums, p.opened = true, 0
	p.put("x", noise(3<<20))
	p.fault = func(p *place, open int, _ int64, _ []byte) (io.Reader, error) {
		if open == 2 {
			p.files["x"], p.etags["x"] = next[1:], `"after"`
		}
		return nil, nil
	}
	if _, err := b.bring(t, p); !errors.Is(err, fetch.ErrChanged) {
		t.Errorf("a pinned one: %v", err)
	}
}

func TestTwoWhoWantTheSame(t *testing.T) {
	b, want := newBox(t, small), large()
	p := placeOf(want)
	p.sums = true
	p.put("copy-of-b", want["b"])
	var both sync.WaitGroup
	for range 3 {
		both.Go(func() {
			if _, err := b.bring(t, p); err != nil {
				t.Error(err)
			}
		})
	}
	both.Wait()
	all := 0
	for _, data := range want {
		all += len(data)
	}
	if p.given != int64(all) {
		t.Errorf("%d bytes were fetched, of %d", p.given, all)
	}
}

func TestGivenUp(t *testing.T) {
	b, p := newBox(t, small), placeOf(large())
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("somebody gave it up")
	p.fault = func(*place, int, int64, []byte) (io.Reader, error) {
		cancel(why)
		return nil, nil
	}
	in, _ := p.List(ctx, fetch.Ref{})
	if _, err := b.Fetch(ctx, p, in, nil); !errors.Is(err, why) {
		t.Errorf("given up: %v", err)
	}
}

func TestDiskThatIsFull(t *testing.T) {
	b := newBox(t, small)
	in := fetch.Listing{Files: []fetch.File{{Name: "x", Bytes: 1 << 60}}}
	_, err := b.Fetch(t.Context(), newPlace(nil), in, nil)
	hinted, is := errors.AsType[interface {
		error
		Hint() string
	}](err)
	if !errors.Is(err, fetch.ErrNoSpace) || !is || hinted.Hint() == "" {
		t.Errorf("%v", err)
	}
}

func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, want := newBox(t, fetch.Options{Chunk: 1 << 20, Rate: 1 << 20}), map[string][]byte{"x": noise(5 << 20), "y": noise(5 << 20)}
		start := time.Now()
		in, _ := placeOf(want).List(t.Context(), fetch.Ref{})
		told, wrong := 0, ""
		m, err := b.Fetch(t.Context(), placeOf(want), in, func(p fetch.Progress) {
			told++
			if at := time.Since(start); at > 4*time.Second && p.Done < p.Bytes && (p.Speed < 900<<10 || p.Speed > 1200<<10 || p.ETA < 0) {
				wrong = fmt.Sprintf("after %v: %+v", at, p)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		b.holds(t, m, want)
		if took := time.Since(start); took < 9*time.Second || took > 11*time.Second || told < 40 || wrong != "" {
			t.Errorf("10 MiB at 1 MiB a second took %v, told %d times; %s", took, told, wrong)
		}
	})
}
