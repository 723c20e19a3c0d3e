package backup

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
)

// partBytes is about how much of a table is in one entry, in bytes: it is in memory until it is written.
const partBytes = 1 << 20

// Names in the tar.
const (
	headName     = "backup.json"
	manifestName = "manifest.json"
	rowsDir      = "rows/"
	filesDir     = "files/"
)

// Writer writes one backup. It is used from one goroutine.
type Writer struct {
	head     Head
	out      io.Writer // with the sum
	sum      hash.Hash
	sealed   io.WriteCloser
	packed   *zstd.Encoder
	tar      *tar.Writer
	manifest Manifest
	part     *part
}

// part is one of the files' that is being written, or read.
type part struct {
	Part
	sum hash.Hash
}

func newPart(name string) *part { return &part{Part{Name: name}, sha256.New()} }

// add counts an entry. Its contents go through content.
func (p *part) add(h *tar.Header) {
	p.Files++
	p.Bytes += h.Size
	for _, text := range []string{h.Name, string(h.Typeflag), h.Linkname} {
		_ = binary.Write(p.sum, binary.BigEndian, int64(len(text)))
		_, _ = io.WriteString(p.sum, text)
	}
	_ = binary.Write(p.sum, binary.BigEndian, h.Size)
}

func (p *part) end() Part {
	out := p.Part
	out.SHA256 = hex.EncodeToString(p.sum.Sum(nil))
	return out
}

// NewWriter begins a backup. What is written to w is of use once Close has returned nil.
func NewWriter(w io.Writer, h Head, s Seal) (*Writer, error) {
	recipients, kind, err := s.recipients()
	if err != nil {
		return nil, err
	}
	h.MadeAt, h.Sealed = h.MadeAt.UTC().Truncate(time.Millisecond), kind
	text, err := h.text()
	if err != nil {
		return nil, err
	}
	b := &Writer{head: h, sum: sha256.New()}
	b.out = io.MultiWriter(w, b.sum)
	if _, err := b.out.Write(text); err != nil {
		return nil, err
	}
	if b.sealed, err = age.Encrypt(b.out, recipients...); err != nil {
		return nil, fmt.Errorf("sealing the backup: %w", err)
	}
	if b.packed, err = zstd.NewWriter(b.sealed, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20)); err != nil {
		return nil, fmt.Errorf("packing the backup: %w", err)
	}
	b.tar = tar.NewWriter(b.packed)
	return b, b.entry(headName, text[len(magic):])
}

// Head is that of the backup.
func (b *Writer) Head() Head { return b.head }

func (b *Writer) entry(name string, text []byte) error {
	if err := b.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: int64(len(text)), ModTime: b.head.MadeAt, Format: tar.FormatPAX}); err != nil {
		return err
	}
	_, err := b.tar.Write(text)
	return err
}

// Table writes a table: each calls put for each row, of values as put takes them (int64, string, bool, float64, nil), and returns a
// sum of them all.
func (b *Writer) Table(name string, columns []string, each func(put func(row []any) error) (sum string, err error)) error {
	t, n, sum := Table{Name: name}, 0, sha256.New()
	var buf bytes.Buffer
	begin := func() error {
		buf.Reset()
		return json.NewEncoder(&buf).Encode(columns)
	}
	flush := func() error {
		n++
		sum.Write(buf.Bytes())
		t.Bytes += int64(buf.Len())
		return b.entry(fmt.Sprintf("%s%s/%06d", rowsDir, name, n), buf.Bytes())
	}
	if err := begin(); err != nil {
		return err
	}
	var line []byte
	var err error
	t.Sum, err = each(func(row []any) error {
		if line, err = appendLine(line[:0], row); err != nil {
			return fmt.Errorf("table %s: %w", name, err)
		}
		buf.Write(line)
		t.Rows++
		if buf.Len() < partBytes {
			return nil
		}
		return errors.Join(flush(), begin())
	})
	if err != nil {
		return err
	}
	if err := flush(); err != nil {
		return err
	}
	t.SHA256 = hex.EncodeToString(sum.Sum(nil))
	b.manifest.Tables = append(b.manifest.Tables, t)
	return nil
}

// File is one of a part: a file, a directory or a symbolic link.
type File struct {
	Name string // below the part, with slashes
	Mode fs.FileMode
	Time time.Time
	Size int64  // of a file
	Link string // where a symbolic link leads
	Blob string // of a file: the SHA-256 of a file of the models, which has the same contents; then there is no Body
	UID  int
	GID  int
	Body io.Reader // of a file: what is there beyond Size is left out, what is missing is filled with zeros, and said
}

// nameable tells whether a backup may have a file of a name: one below its part, written the one way. It need not be UTF-8: on the disk
// names are bytes.
func nameable(name string) bool {
	return filepath.IsLocal(name) && path.Clean(name) == name && name != "." && !strings.Contains(name, "\x00")
}

// Put writes one file of a part. The files of one part come one after the other.
func (b *Writer) Put(name string, f File) error {
	if !nameable(f.Name) || !nameable(name) || strings.Contains(name, "/") {
		return fmt.Errorf("%.200q of %.60q is no file's name", f.Name, name)
	}
	if b.part == nil || b.part.Name != name {
		b.endPart()
		b.part = newPart(name)
	}
	h := &tar.Header{Name: filesDir + name + "/" + f.Name, Mode: int64(f.Mode.Perm()), ModTime: f.Time, Uid: f.UID, Gid: f.GID, Format: tar.FormatPAX}
	switch {
	case f.Mode.IsDir():
		h.Typeflag, h.Name = tar.TypeDir, h.Name+"/"
	case f.Mode&fs.ModeSymlink != 0:
		h.Typeflag, h.Linkname = tar.TypeSymlink, f.Link
	case f.Mode.IsRegular() && f.Blob != "":
		h.Typeflag, h.Linkname = tar.TypeLink, f.Blob
	case f.Mode.IsRegular():
		h.Typeflag, h.Size = tar.TypeReg, f.Size
	default:
		return fmt.Errorf("%s is neither file nor directory nor link", f.Name)
	}
	b.part.add(h)
	if err := b.tar.WriteHeader(h); err != nil {
		return err
	}
	if h.Size == 0 {
		return nil
	}
	n, err := io.Copy(io.MultiWriter(b.tar, b.part.sum), io.LimitReader(f.Body, h.Size))
	if err != nil {
		return err
	}
	if n < h.Size {
		b.manifest.Torn = append(b.manifest.Torn, name+"/"+f.Name)
		_, err = io.CopyN(io.MultiWriter(b.tar, b.part.sum), zeros{}, h.Size-n)
	}
	return err
}

// mostLeft is how many files that are left out are named.
const mostLeft = 1000

// Leave says of a file of a part that it is left out, and why.
func (b *Writer) Leave(part, name string, why error) {
	b.manifest.LeftOut++
	if len(b.manifest.Left) < mostLeft {
		b.manifest.Left = append(b.manifest.Left, fmt.Sprintf("%s/%s: %v", part, name, why))
	}
}

// zeros is a file without an end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func (b *Writer) endPart() {
	if b.part != nil {
		b.manifest.Parts = append(b.manifest.Parts, b.part.end())
		b.part = nil
	}
}

// Close writes what is there to be compared, and ends the file.
func (b *Writer) Close(models []Model) (Manifest, error) {
	b.endPart()
	b.manifest.Models = models
	text, err := json.Marshal(b.manifest)
	if err == nil {
		err = b.entry(manifestName, text)
	}
	if err == nil {
		err = b.tar.Close()
	}
	if err == nil {
		err = b.packed.Close()
	}
	if err == nil {
		err = b.sealed.Close()
	}
	if err == nil {
		_, err = b.out.Write(trailerOf(b.sum.Sum(nil)))
	}
	return b.manifest, err
}
