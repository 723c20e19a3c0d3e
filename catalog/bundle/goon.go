package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/palisade-run/palisade/catalog/blobs"
)

// A bundle that was cut off on its way goes on: of the files of the model, in their order, the first bytes are left out of what
// is sent, as many as are here. Everything else of it is small, or, the image, goes through to the runtime in one piece; it comes
// each time.

// Partial is a Taker of a bundle that goes on.
type Partial interface {
	Taker
	// LeftOut is how many bytes at the beginning of an entry are not in what is read. Where that is any, Take has to make sure of
	// the entry's checksum: nobody else can.
	LeftOut(e Entry) int64
}

// weights are the entries of which bytes may be left out: files of the model that are nothing else.
func (c Contents) weights() (out []Entry) {
	files, texts := sums(c.Files), sums(c.Texts)
	for _, e := range c.Entries {
		if files[e.SHA256] && !texts[e.SHA256] && (c.Image == nil || !slices.Contains(c.Image.Blobs, e.SHA256)) {
			out = append(out, e)
		}
	}
	return out
}

// leftOut is how many bytes of each entry, by its checksum, are left out where n are in all. ErrRefused where there are not so
// many.
func (c Contents) leftOut(n int64) (map[string]int64, error) {
	out, left := map[string]int64{}, n
	for _, e := range c.weights() {
		out[e.SHA256] = min(left, e.Bytes)
		left -= out[e.SHA256]
	}
	if n < 0 || left > 0 {
		return nil, refused("", "%d bytes of its files cannot be left out", n)
	}
	return out, nil
}

// Without passes on a bundle that is written to it, but for the first n bytes of its files, and says how many bytes that are.
func Without(w io.Writer, h Head, n int64) (io.Writer, int64, error) {
	left, err := h.leftOut(n)
	if err != nil {
		return nil, 0, err
	}
	out := &without{w: w}
	at := start(h.raw, h.Signature)
	for _, e := range h.Entries {
		if skip := left[e.SHA256]; skip > 0 {
			out.gaps = append(out.gaps, gap{at + block, at + block + skip})
		}
		at += block + padded(e.Bytes)
	}
	return out, h.Size - n, nil
}

type gap struct{ start, end int64 }

type without struct {
	w    io.Writer
	at   int64
	gaps []gap // that are still to come
}

// Write implements io.Writer.
func (o *without) Write(p []byte) (done int, err error) {
	for done < len(p) {
		rest := p[done:]
		pass := int64(len(rest))
		if len(o.gaps) > 0 {
			switch g := o.gaps[0]; {
			case o.at >= g.end:
				o.gaps = o.gaps[1:]
				continue
			case o.at >= g.start:
				skip := min(pass, g.end-o.at)
				o.at, done = o.at+skip, done+int(skip)
				continue
			default:
				pass = min(pass, g.start-o.at)
			}
		}
		n, err := o.w.Write(rest[:pass])
		o.at, done = o.at+int64(n), done+n
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// here is how many bytes of a file are here, from its beginning on.
func (s *Shelf) here(e Entry) int64 {
	if s.around.Blobs.Has(e.SHA256) {
		return e.Bytes
	}
	return min(e.Bytes, s.around.Blobs.Frontier(blobs.SumKey+e.SHA256))
}

// Here is how many bytes of the files of a bundle, in their order, are here already, and may be left out.
func (s *Shelf) Here(c Contents) (n int64) {
	for _, e := range c.weights() {
		here := s.here(e)
		if n += here; here < e.Bytes {
			break
		}
	}
	return n
}

// GoOn is Receive of a bundle of which the first leftOut bytes of its files are left out. ErrGone where they are not here any more.
func (s *Shelf) GoOn(ctx context.Context, r io.Reader, leftOut int64, allowUnsigned bool) (Held, error) {
	return s.receive(ctx, r, &taking{shelf: s, allowUnsigned: allowUnsigned, without: leftOut, texts: map[string][]byte{}}, nil)
}

func gone(name string) error {
	return &sentence{ErrGone, fmt.Sprintf("what had come of %s of the bundle is not here any more", name), "bring the bundle again: palisade bundle install FILE"}
}

// LeftOut implements Partial.
func (t *taking) LeftOut(e Entry) int64 { return t.left[e.SHA256] }

// keep brings a file of the model among the blobs. What comes of it stays when it is cut off. Where nothing of it was left out,
// nothing that is here of it is believed: somebody else may have sent that.
func (t *taking) keep(ctx context.Context, e Entry, r io.Reader) error {
	store, left := t.shelf.around.Blobs, t.left[e.SHA256]
	if _, here, err := store.Sure(ctx, e.SHA256); err != nil || here {
		return err
	}
	part, err := store.Part(ctx, blobs.SumKey+e.SHA256, e.Bytes)
	if err != nil {
		return err
	}
	defer part.Close()
	if _, here, err := store.Sure(ctx, e.SHA256); err != nil || here { // who had the part has made it whole
		return errors.Join(err, part.Discard())
	}
	if left == 0 && part.Here() > 0 {
		if err := part.Reset(e.Bytes); err != nil {
			return err
		}
	}
	if err := t.pour(part, e, r); err != nil {
		return err
	}
	_, err = part.Commit(ctx, e.SHA256)
	if !errors.Is(err, blobs.ErrChecksum) {
		return err
	}
	if left > 0 {
		err = gone(e.Name)
	}
	return errors.Join(err, part.Discard())
}

// piece is how many bytes are kept at once.
const piece = 128 << 10

// pour brings what is missing of a part out of r, which begins where what was left out ends.
func (t *taking) pour(part *blobs.Part, e Entry, r io.Reader) error {
	at := t.left[e.SHA256]
	for _, s := range part.Missing() {
		if s.Start < at {
			return gone(e.Name)
		}
		if _, err := io.CopyN(io.Discard, r, s.Start-at); err != nil {
			return err
		}
		for at = s.Start; at < s.End; {
			buffer, _ := t.buffers.Get().(*[piece]byte)
			back := func() { t.buffers.Put(buffer) }
			n, readErr := io.ReadFull(r, buffer[:min(piece, s.End-at)])
			if n == 0 {
				back()
				return readErr
			}
			if err := part.Give(buffer[:n], at, back); err != nil {
				return err
			}
			if at += int64(n); readErr != nil {
				return readErr
			}
		}
	}
	return nil
}

func newBuffers() *sync.Pool { return &sync.Pool{New: func() any { return new([piece]byte) }} }

// comes notes files that are coming, so that what was cut off is not swept before it is gone on with.
func (s *Shelf) comes(c Contents) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.around.Now()
	maps.DeleteFunc(s.coming, func(_ string, at time.Time) bool { return now.Sub(at) >= comingFor })
	for _, f := range c.Files {
		s.coming[f.SHA256] = now
	}
}

// comingFor is how long a bundle that was cut off is waited for.
const comingFor = 24 * time.Hour
