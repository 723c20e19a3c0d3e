package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
)

// epoch is the time of all that came to be while an image was put together. What packages brought keeps its own: compiled
// Python is held to its source's.
var epoch = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

// layer is one layer of an image, in a file.
type layer struct {
	file   string
	diffID string // sha256: of what it has when it is not compressed
	digest string // sha256: of the file
	size   int64  // of the file, bytes
}

// mark tells two entries of a root apart: everything of an entry that ends up in a layer, summed.
type mark [sha256.Size]byte

// marks are those of a root, by path.
type marks map[string]mark

// entry is one of a root as it goes into a layer.
type entry struct {
	header *tar.Header
	body   io.Reader
}

// path is the entry's, without a slash at either end.
func (e entry) path() string { return strings.Trim(e.header.Name, "/") }

// layerWriter writes entries into a compressed archive and sums it up.
type layerWriter struct {
	file    *os.File
	plain   hash.Hash
	packed  hash.Hash
	size    int64
	zstd    *zstd.Encoder
	archive *tar.Writer
}

// Write counts and sums what is written to the file.
func (w *layerWriter) Write(p []byte) (int, error) {
	n, err := w.file.Write(p)
	w.packed.Write(p[:n])
	w.size += int64(n)
	return n, err
}

func newLayerWriter(file string) (*layerWriter, error) {
	f, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	w := &layerWriter{file: f, plain: sha256.New(), packed: sha256.New()}
	// Its level decides what comes out; how many cores it may use does not.
	if w.zstd, err = zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedDefault)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	w.archive = tar.NewWriter(io.MultiWriter(w.zstd, w.plain))
	return w, nil
}

func (w *layerWriter) add(e entry) error {
	if err := w.archive.WriteHeader(e.header); err != nil {
		return fmt.Errorf("%s: %w", e.header.Name, err)
	}
	if e.body == nil {
		return nil
	}
	if _, err := io.Copy(w.archive, e.body); err != nil {
		return fmt.Errorf("%s: %w", e.header.Name, err)
	}
	return nil
}

func (w *layerWriter) close() (layer, error) {
	if err := errors.Join(w.archive.Close(), w.zstd.Close(), w.file.Close()); err != nil {
		return layer{}, err
	}
	sum := func(h hash.Hash) string { return "sha256:" + hex.EncodeToString(h.Sum(nil)) }
	return layer{file: w.file.Name(), diffID: sum(w.plain), digest: sum(w.packed), size: w.size}, nil
}

// writeLayer writes what a root has beyond what lies below it, and what it lacks of that as whiteouts. Nothing of when
// and where it was built is left: two runs over the same packages write the same bytes. Whatever is not older than started
// came to be in the build.
func writeLayer(file string, root io.Reader, below marks, started time.Time) (layer, error) {
	w, err := newLayerWriter(file)
	if err != nil {
		return layer{}, err
	}
	err = difference(root, below, started, w.add)
	l, closing := w.close()
	return l, errors.Join(err, closing)
}

// difference calls add with all of a root that is not below it just so, in the root's order, and then with whiteouts for
// what is below and not in it.
func difference(root io.Reader, below marks, started time.Time, add func(entry) error) error {
	left := maps.Clone(below)
	changed := map[string]bool{} // what is no directory: hard links may lead there, and nothing is below it any more
	for r := tar.NewReader(root); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("reading the root: %w", err)
		}
		e, ok, err := normal(h, r, started)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		was, known := left[e.path()]
		delete(left, e.path())
		if known {
			same, err := compare(&e, was)
			if err != nil {
				return err
			}
			// A link to a file that is another one now would still lead to the old one.
			if same && !(h.Typeflag == tar.TypeLink && changed[strings.Trim(e.header.Linkname, "/")]) {
				continue
			}
		}
		changed[e.path()] = h.Typeflag != tar.TypeDir
		if err := add(e); err != nil {
			return err
		}
	}
	return whiteouts(left, changed, add)
}

// compare reports whether an entry is as it was; its body can still be read afterwards.
func compare(e *entry, was mark) (bool, error) {
	var body []byte
	if e.body != nil {
		var err error
		if body, err = io.ReadAll(e.body); err != nil {
			return false, err
		}
		e.body = bytes.NewReader(body)
	}
	return sum(e.header, bytes.NewReader(body)) == was, nil
}

// sum is the mark of an entry.
func sum(h *tar.Header, body io.Reader) mark {
	s := sha256.New()
	fmt.Fprintf(s, "%c %s %s %d %o %d %d %d\n", h.Typeflag, strings.Trim(h.Name, "/"), h.Linkname, h.Size, h.Mode, h.Uid, h.Gid, h.ModTime.Unix())
	for _, name := range slices.Sorted(maps.Keys(h.PAXRecords)) {
		if strings.HasPrefix(name, xattr) {
			fmt.Fprintf(s, "%s %q\n", name, h.PAXRecords[name])
		}
	}
	_, _ = io.Copy(s, body) // what fails to read has another sum, and fails where it is written
	return mark(s.Sum(nil))
}

// whiteouts removes, in a layer, what is below it. What goes with its directory needs none of its own.
func whiteouts(gone marks, files map[string]bool, add func(entry) error) error {
	for _, name := range slices.Sorted(maps.Keys(gone)) {
		if withParent(gone, files, name) {
			continue
		}
		hidden := path.Join(path.Dir(name), ".wh."+path.Base(name))
		if err := add(entry{header: &tar.Header{Name: hidden, Typeflag: tar.TypeReg, Mode: 0o644, ModTime: epoch}}); err != nil {
			return err
		}
	}
	return nil
}

func withParent(gone marks, files map[string]bool, name string) bool {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if _, ok := gone[dir]; ok || files[dir] {
			return true
		}
	}
	return false
}

const xattr = "SCHILY.xattr."

// dropped is what no image needs: of the build alone, other at every build, or to be made by who uses it.
var dropped = regexp.MustCompile(`^(` + strings.Join([]string{
	`dev/.+`, `proc/.+`, `sys/.+`, `run/.+`, `tmp/.+`, `var/tmp/.+`, `build(/.*)?`,
	`var/log/.*[^/]`, `var/cache/(apt|man|fontconfig|ldconfig|debconf)/.+`, `var/lib/apt/lists/.+`, `var/lib/dpkg/[a-z]+-old`, `var/lib/dpkg/lock.*`,
	`etc/(passwd|group|shadow|gshadow|subuid|subgid)-`, `etc/\.pwd\.lock`, `etc/machine-id`, `var/lib/dbus/machine-id`, `etc/hostname`, `etc/resolv\.conf`,
	`etc/ssh/ssh_host_.+`, // a host's own keys: the same in every session they would be nobody's
	`etc/apt/apt\.conf\.d/99mmdebstrap`, `root/\.(npm|cache|config)(/.*)?`,
}, "|") + `)$`)

// normal is an entry of a root as every build makes it; not ok: it is left out.
func normal(h *tar.Header, body io.Reader, started time.Time) (e entry, ok bool, err error) {
	name := strings.Trim(strings.TrimPrefix(h.Name, "."), "/")
	if name == "" || dropped.MatchString(name) {
		return entry{}, false, nil
	}
	out := &tar.Header{
		Typeflag: h.Typeflag, Name: name, Linkname: h.Linkname, Mode: h.Mode, Uid: h.Uid, Gid: h.Gid, Size: h.Size,
		ModTime: h.ModTime.Truncate(time.Second), Devmajor: h.Devmajor, Devminor: h.Devminor,
	}
	if !h.ModTime.Before(started.Truncate(time.Second)) {
		out.ModTime = epoch
	}
	if h.Typeflag == tar.TypeDir {
		out.Name += "/"
		out.ModTime = epoch // that of the last change in it, whichever package made it
	}
	if h.Typeflag == tar.TypeLink {
		out.Linkname = strings.Trim(strings.TrimPrefix(h.Linkname, "."), "/")
	}
	for key, value := range h.PAXRecords {
		if strings.HasPrefix(key, xattr) {
			if out.PAXRecords == nil {
				out.PAXRecords = map[string]string{}
			}
			out.PAXRecords[key] = value
		}
	}
	e = entry{header: out}
	if h.Typeflag != tar.TypeReg {
		return e, true, nil
	}
	e.body = body
	if name == "etc/shadow" {
		text, err := io.ReadAll(body)
		if err != nil {
			return entry{}, false, err
		}
		text = undated(text)
		out.Size, e.body = int64(len(text)), bytes.NewReader(text)
	}
	return e, true, nil
}

var passwordSet = regexp.MustCompile(`(?m)^([^:]*:[^:]*):\d+:`)

// undated is /etc/shadow without the day on which passwords were set: it is that of the build.
func undated(shadow []byte) []byte {
	return passwordSet.ReplaceAll(shadow, fmt.Appendf(nil, "${1}:%d:", epoch.Unix()/86400))
}

// marksOf reads a layer's marks into all, over those of the layers below it.
func marksOf(file string, all marks) (diffID string, err error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	z, err := zstd.NewReader(f)
	if err != nil {
		return "", err
	}
	defer z.Close()
	plain := sha256.New()
	whole := io.TeeReader(z, plain)
	for r := tar.NewReader(whole); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", err
		}
		name := strings.Trim(h.Name, "/")
		if hidden, is := strings.CutPrefix(path.Base(name), ".wh."); is {
			all.remove(path.Join(path.Dir(name), hidden))
			continue
		}
		if h.Typeflag != tar.TypeDir {
			all.remove(name) // with what was below it, where it was a directory
		}
		all[name] = sum(h, r)
	}
	_, err = io.Copy(io.Discard, whole) // what stands after an archive's end is summed as well
	return "sha256:" + hex.EncodeToString(plain.Sum(nil)), err
}

func (p marks) remove(name string) {
	maps.DeleteFunc(p, func(path string, _ mark) bool { return path == name || strings.HasPrefix(path, name+"/") })
}
