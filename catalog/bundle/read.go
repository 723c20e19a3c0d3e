package bundle

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/palisade-run/palisade/catalog/signature"
)

// Head is how a bundle begins.
type Head struct {
	Contents
	Digest    string // SHA-256 of the table of contents, which names everything: two bundles with one digest are the same
	Signature []byte // as it stands there; empty: there is none
	Size      int64  // of the whole file

	raw []byte
}

// Signed says who signed the bundle. Errors are those of signature.Verify.
func (h Head) Signed(keys []signature.Key) (signature.Signed, error) {
	return signature.Verify(keys, bytes.NewReader(h.raw), h.Signature)
}

// Taker is told of each entry, once the table of contents has been read.
type Taker interface {
	// Take reads an entry to its end. It may leave early when nobody needs the rest. The checksum is compared afterwards.
	Take(ctx context.Context, e Entry, r io.Reader) error
}

// Progress is how far a bundle has been read or written, in bytes.
type Progress func(done, total int64)

// Read reads a bundle from its first to its last byte, in little memory, however large it is. begin is told what it is before
// anything else of it is read, and says who takes its entries, of which a Partial does without some bytes; nil: they are only
// verified. An error means that the bundle
// was not whole and true, or that a Taker failed: whoever took entries has to forget them.
func Read(ctx context.Context, r io.Reader, begin func(Head) (Taker, error), tell Progress) (Head, error) {
	in := &reader{r: r, ctx: ctx}
	head, err := in.head()
	if err != nil {
		return head, in.why(err)
	}
	var taker Taker
	if begin != nil {
		if taker, err = begin(head); err != nil {
			return head, err
		}
	}
	in.total, in.tell = head.Size, tell
	goesOn, _ := taker.(Partial)
	for i, e := range head.Entries {
		var left int64
		if goesOn != nil {
			left = goesOn.LeftOut(e)
		}
		in.total -= left
		if err := in.entry(e, left, i == 0, taker); err != nil {
			return head, in.why(err)
		}
	}
	return head, in.why(in.end())
}

// ReadHead reads how a bundle begins, and no more.
func ReadHead(ctx context.Context, r io.Reader) (Head, error) {
	in := &reader{r: r, ctx: ctx}
	head, err := in.head()
	return head, in.why(err)
}

// reader reads a bundle block by block.
type reader struct {
	ctx     context.Context
	r       io.Reader
	pending []byte // a header that was read too far
	done    int64
	total   int64
	buffer  []byte // of what nobody takes
	tell    Progress
}

// why makes an end that came too early one sentence. What a Taker or a context said stays.
func (in *reader) why(err error) error {
	switch {
	case err == nil:
		return nil
	case in.ctx.Err() != nil:
		return context.Cause(in.ctx)
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		if in.total > 0 {
			return refused("", "it ends after %d of %d bytes", in.done, in.total)
		}
		return refused("", "it ends after %d bytes", in.done)
	}
	return err
}

// full reads as many bytes as b has.
func (in *reader) full(b []byte) error {
	if err := in.ctx.Err(); err != nil {
		return err
	}
	if len(in.pending) > 0 {
		copy(b, in.pending) // a block each, both
		in.pending = nil
		return nil
	}
	n, err := io.ReadFull(in.r, b)
	in.count(n)
	return err
}

func (in *reader) count(n int) {
	in.done += int64(n)
	if in.tell != nil {
		in.tell(in.done, in.total)
	}
}

// head reads the table of contents and the signature.
func (in *reader) head() (Head, error) {
	first := make([]byte, block)
	if err := in.full(first); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return Head{}, notBundle()
		}
		return Head{}, err
	}
	sum, size, is := special(first, contentsSuffix, longestContents)
	if !is {
		return Head{}, notBundle()
	}
	raw, err := in.small(size, sum)
	if err != nil {
		return Head{}, err
	}
	contents, err := parseContents(raw)
	if err != nil {
		return Head{}, err
	}
	head := Head{Contents: contents, Digest: sum, raw: raw}
	next := make([]byte, block)
	if err := in.full(next); err != nil {
		return Head{}, err
	}
	if sum, size, is := special(next, sigSuffix, signature.LongestSignature); is && size > 0 {
		if head.Signature, err = in.small(size, sum); err != nil {
			return Head{}, err
		}
	} else {
		in.pending = next
	}
	head.Size = contents.size(raw, head.Signature)
	return head, nil
}

func notBundle() error {
	return &sentence{ErrNotBundle, "this is not a bundle, or its beginning is damaged", "bundles are made by palisade bundle create NAME -o FILE; images are imported with palisade image import"}
}

// small reads an entry's bytes into memory, and makes sure of them.
func (in *reader) small(size int64, sum string) ([]byte, error) {
	var b bytes.Buffer // grows as bytes come, not as somebody says
	n, err := io.Copy(&b, &counted{in, io.LimitReader(in.r, size)})
	if err == nil && n < size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, err
	}
	if got := sha256.Sum256(b.Bytes()); hex.EncodeToString(got[:]) != sum {
		return nil, refused("", "its table of contents or its signature was altered")
	}
	return b.Bytes(), in.padding(size)
}

// counted reads for a reader of bundles, and counts.
type counted struct {
	in *reader
	r  io.Reader
}

// Read implements io.Reader.
func (c *counted) Read(p []byte) (int, error) {
	if err := c.in.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.r.Read(p)
	c.in.count(n)
	return n, err
}

// padding reads what fills up the last block: nothing may hide there.
func (in *reader) padding(size int64) error {
	fill := make([]byte, padded(size)-size)
	if err := in.full(fill); err != nil && len(fill) > 0 {
		return err
	}
	return blank(fill)
}

func blank(b []byte) error {
	if !bytes.Equal(b, make([]byte, len(b))) {
		return refused("", "there is something between its entries")
	}
	return nil
}

// entry reads one entry, hands it out, and compares its checksum, unless the first bytes of it are left out.
func (in *reader) entry(e Entry, left int64, first bool, taker Taker) error {
	want, err := header(e.Name, e.Bytes)
	if err != nil {
		return err
	}
	got := make([]byte, block)
	if err := in.full(got); err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		if first {
			return refused("", "its signature, or its first entry, was altered")
		}
		return refused("", "something else is where %s should begin", e.Name)
	}
	sum := sha256.New()
	body := &body{in: in, left: e.Bytes - left, sum: sum}
	if taker != nil {
		if err := taker.Take(in.ctx, e, body); err != nil {
			if left == 0 && body.left == 0 && hex.EncodeToString(sum.Sum(nil)) != e.SHA256 {
				return altered(e) // which the taker may have seen itself
			}
			return err
		}
	}
	if in.buffer == nil {
		in.buffer = make([]byte, min(256<<10, in.total))
	}
	if _, err := io.CopyBuffer(onlyWriter{io.Discard}, onlyReader{body}, in.buffer); err != nil {
		return err
	}
	if left == 0 && hex.EncodeToString(sum.Sum(nil)) != e.SHA256 {
		return altered(e)
	}
	return in.padding(e.Bytes)
}

func altered(e Entry) error {
	return refused("", "%s (%d bytes) was altered: its checksum is another", e.Name, e.Bytes)
}

// onlyReader hides what else a reader can do, so that a copy uses the buffer it is given.
type onlyReader struct{ io.Reader }

// body is an entry's bytes.
type body struct {
	in   *reader
	left int64
	sum  hash.Hash
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	n, err := (&counted{b.in, b.in.r}).Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	b.sum.Write(p[:n])
	if errors.Is(err, io.EOF) && b.left > 0 {
		err = io.ErrUnexpectedEOF
	} else if b.left == 0 {
		err = nil
	}
	return n, err
}

// end makes sure that the tar ends, and that nothing follows.
func (in *reader) end() error {
	last := make([]byte, 2*block)
	if n, err := io.ReadFull(in.r, last); err != nil {
		in.count(n)
		return fmt.Errorf("the end: %w", err)
	}
	if err := blank(last); err != nil {
		return err
	}
	in.count(len(last))
	var one [1]byte
	switch n, err := io.ReadFull(in.r, one[:]); {
	case n > 0:
		return refused("", "something follows its end")
	case errors.Is(err, io.EOF):
		return nil
	default:
		return err
	}
}
