package backup

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// longestEntry is the longest part of a table, or text of ours, that is read into memory.
const longestEntry = 256 << 20

// Progress is told how many bytes of a file were read.
type Progress func(done, total int64)

// CheckSum compares the checksum at the end of a backup with all that is before it: for that no key is needed.
func CheckSum(ctx context.Context, f io.ReaderAt, size int64, told Progress) (Head, error) {
	h, raw, err := readHead(io.NewSectionReader(f, 0, size))
	if err != nil {
		return h, err
	}
	body := size - trailerBytes
	if body <= int64(len(raw)) {
		return h, broken(errors.New("it was cut off"))
	}
	sum, buf := sha256.New(), make([]byte, 1<<20)
	r := &watched{r: io.NewSectionReader(f, 0, body), ctx: ctx, total: size, told: told}
	if _, err := io.CopyBuffer(struct{ io.Writer }{sum}, struct{ io.Reader }{r}, buf); err != nil {
		return h, err
	}
	last := make([]byte, trailerBytes)
	if _, err := f.ReadAt(last, body); err != nil && !errors.Is(err, io.EOF) {
		return h, err
	}
	if !bytes.HasPrefix(last, []byte(trailer)) {
		return h, broken(errors.New("it was cut off, or something was added"))
	}
	if !bytes.Equal(last, trailerOf(sum.Sum(nil))) {
		return h, broken(errors.New("a part of it is another than was written"))
	}
	return h, nil
}

// Verify compares the checksum of a backup, and, where keys are given, reads all that is in it.
func Verify(ctx context.Context, f io.ReaderAt, size int64, keys *Keys, told Progress) (Head, Manifest, error) {
	passes := int64(1)
	if keys != nil {
		passes = 2
	}
	pass := func(n int64) Progress {
		if told == nil {
			return nil
		}
		return func(done, total int64) { told(n*total+done, passes*total) }
	}
	h, err := CheckSum(ctx, f, size, pass(0))
	if err != nil || keys == nil {
		return h, Manifest{}, err
	}
	return Read(ctx, Archive{f, size, *keys}, nil, pass(1))
}

// watched ends when ctx does, and tells how far it is.
type watched struct {
	r           io.Reader
	ctx         context.Context //nolint:containedctx // it lives as long as one call
	done, total int64
	told        Progress
}

func (w *watched) Read(p []byte) (int, error) {
	if w.ctx.Err() != nil {
		return 0, context.Cause(w.ctx)
	}
	n, err := w.r.Read(p)
	if w.done += int64(n); w.told != nil {
		w.told(w.done, w.total)
	}
	return n, err
}

// Taker gets what is in a backup. Rows and files that it does not read are read past.
type Taker interface {
	// Table gets a table: next returns its rows, and io.EOF after the last.
	Table(ctx context.Context, name string, columns []string, next func() ([]any, error)) error
	// File gets one file of a part.
	File(ctx context.Context, part string, f File) error
}

// Archive is a backup's file, and what opens it.
type Archive struct {
	File io.ReaderAt
	Size int64 // in bytes
	Keys Keys
}

// Read opens a backup, gives all that is in it to t (nil: nobody), and compares it with its manifest. What t was given counts only once
// Read has returned nil.
func Read(ctx context.Context, a Archive, t Taker, told Progress) (h Head, m Manifest, err error) {
	f, size := a.File, a.Size
	h, raw, err := readHead(io.NewSectionReader(f, 0, size))
	if err != nil {
		return h, m, err
	}
	at := int64(len(raw))
	if size-trailerBytes <= at {
		return h, m, broken(errors.New("it was cut off"))
	}
	opened, err := a.Keys.open(&watched{r: io.NewSectionReader(f, at, size-trailerBytes-at), ctx: ctx, total: size, told: told}, h.Sealed)
	if err != nil {
		return h, m, err
	}
	packed, err := zstd.NewReader(opened, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(8<<20))
	if err != nil {
		return h, m, broken(err)
	}
	defer packed.Close()
	r := &reading{ctx: ctx, tar: tar.NewReader(packed), taker: t}
	err = r.all(raw[len(magic):])
	if err == nil {
		_, err = io.Copy(io.Discard, packed) // to the end of the stream, which says that it is one
		err = r.damage(err)
	}
	return h, r.manifest, err
}

// reading is a backup that is being read.
type reading struct {
	ctx      context.Context //nolint:containedctx // it lives as long as one call
	tar      *tar.Reader
	taker    Taker
	next     *tar.Header // was read already; nil: none
	tables   []Table
	parts    []Part
	part     *part
	manifest Manifest
}

// damage is err of what was read: damage, but where somebody has ended the reading.
func (r *reading) damage(err error) error {
	if err == nil || r.ctx.Err() != nil {
		return err
	}
	if _, ours := errors.AsType[*Error](err); ours {
		return err
	}
	return broken(err)
}

func (r *reading) entry() (*tar.Header, error) {
	if h := r.next; h != nil {
		r.next = nil
		return h, nil
	}
	h, err := r.tar.Next()
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, r.damage(err)
	}
	return h, err
}

// text is a whole entry.
func (r *reading) text(h *tar.Header) ([]byte, error) {
	if h.Size > longestEntry {
		return nil, broken(fmt.Errorf("%s is too long", h.Name))
	}
	out, err := io.ReadAll(r.tar)
	return out, r.damage(err)
}

// all reads to the end of the tar.
func (r *reading) all(head []byte) error {
	h, err := r.entry()
	if err != nil || h.Name != headName {
		return cmpErr(err, broken(errors.New("it does not begin with its head")))
	}
	text, err := r.text(h)
	if err != nil {
		return err
	}
	if !bytes.Equal(text, head) {
		return broken(errors.New("what it says of itself outside is not what it says inside"))
	}
	for {
		h, err := r.entry()
		switch {
		case errors.Is(err, io.EOF):
			return broken(errors.New("it ends before its manifest"))
		case err != nil:
			return err
		case h.Name == manifestName:
			return r.compare(h)
		case strings.HasPrefix(h.Name, rowsDir):
			err = r.table(h)
		case strings.HasPrefix(h.Name, filesDir):
			err = r.file(h)
		default:
			err = broken(fmt.Errorf("%q is of no known kind", h.Name))
		}
		if err != nil {
			return err
		}
	}
}

func cmpErr(err, otherwise error) error {
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return otherwise
}

// compare reads the manifest, which is last, and compares what there was.
func (r *reading) compare(h *tar.Header) error {
	r.endPart()
	text, err := r.text(h)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &r.manifest); err != nil {
		return broken(fmt.Errorf("its manifest: %w", err))
	}
	for i := range r.manifest.Tables {
		if i < len(r.tables) {
			r.tables[i].Sum = r.manifest.Tables[i].Sum // the database's to compare
		}
	}
	if !slices.Equal(r.manifest.Tables, r.tables) || !slices.Equal(r.manifest.Parts, r.parts) {
		return broken(errors.New("what is in it is not what its manifest says"))
	}
	if _, err := r.tar.Next(); !errors.Is(err, io.EOF) {
		return cmpErr(r.damage(err), broken(errors.New("there is something behind its manifest")))
	}
	return nil
}

// table gives the rows of one table on, over all of its entries.
func (r *reading) table(h *tar.Header) error {
	name, _, _ := strings.Cut(strings.TrimPrefix(h.Name, rowsDir), "/")
	t := &tableReading{reading: r, name: name, sum: sha256.New()}
	if err := t.open(h); err != nil {
		return err
	}
	var err error
	if r.taker != nil {
		err = r.taker.Table(r.ctx, name, t.columns, t.row)
	}
	for err == nil {
		_, err = t.row() // what was not read, and the end
	}
	if !errors.Is(err, io.EOF) {
		return err
	}
	r.tables = append(r.tables, Table{Name: name, Rows: t.rows, Bytes: t.bytes, SHA256: fmt.Sprintf("%x", t.sum.Sum(nil))})
	return nil
}

type tableReading struct {
	*reading
	name    string
	columns []string
	lines   *bufio.Scanner
	sum     hash.Hash
	rows    int64
	bytes   int64
	ended   error
}

// open begins an entry.
func (t *tableReading) open(h *tar.Header) error {
	text, err := t.text(h)
	if err != nil {
		return err
	}
	t.sum.Write(text)
	t.bytes += int64(len(text))
	t.lines = bufio.NewScanner(bytes.NewReader(text))
	t.lines.Buffer(nil, longestEntry)
	var columns []string
	if !t.lines.Scan() || json.Unmarshal(t.lines.Bytes(), &columns) != nil || t.columns != nil && !slices.Equal(columns, t.columns) {
		return broken(fmt.Errorf("the columns of table %s", t.name))
	}
	t.columns = columns
	return nil
}

func (t *tableReading) row() ([]any, error) {
	for t.ended == nil {
		if t.lines.Scan() {
			row, err := parseLine(t.lines.Bytes())
			if err != nil || len(row) != len(t.columns) {
				t.ended = broken(fmt.Errorf("row %d of table %s", t.rows+1, t.name))
				break
			}
			t.rows++
			return row, nil
		}
		h, err := t.entry()
		switch {
		case err == nil && strings.HasPrefix(h.Name, rowsDir+t.name+"/"):
			t.ended = t.open(h)
		case err == nil:
			t.next, t.ended = h, io.EOF
		case errors.Is(err, io.EOF):
			t.ended = broken(errors.New("it ends before its manifest"))
		default:
			t.ended = err
		}
	}
	return nil, t.ended
}

// file gives one file on.
func (r *reading) file(h *tar.Header) error {
	name, below, ok := strings.Cut(strings.TrimPrefix(h.Name, filesDir), "/")
	f := File{Name: strings.TrimSuffix(below, "/"), Mode: fs.FileMode(h.Mode).Perm(), Time: h.ModTime, Size: h.Size, Link: h.Linkname, UID: h.Uid, GID: h.Gid}
	switch h.Typeflag {
	case tar.TypeReg:
	case tar.TypeLink:
		f.Link, f.Blob = "", h.Linkname
	case tar.TypeDir:
		f.Mode |= fs.ModeDir
	case tar.TypeSymlink:
		f.Mode |= fs.ModeSymlink
	default:
		ok = false
	}
	if !ok || !nameable(f.Name) {
		return broken(fmt.Errorf("%q is no file's name", h.Name))
	}
	if r.part == nil || r.part.Name != name {
		r.endPart()
		r.part = newPart(name)
	}
	r.part.add(h)
	body := io.TeeReader(r.tar, r.part.sum)
	f.Body = body
	if r.taker != nil {
		if err := r.taker.File(r.ctx, name, f); err != nil {
			return err
		}
	}
	_, err := io.Copy(io.Discard, body)
	return r.damage(err)
}

func (r *reading) endPart() {
	if r.part != nil {
		r.parts = append(r.parts, r.part.end())
		r.part = nil
	}
}
