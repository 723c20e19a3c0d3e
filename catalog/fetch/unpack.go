package fetch

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/palisade-run/palisade/catalog/blobs"
)

// Bounds of files that hold others.
const (
	mostGrowth = 64       // times its size: weights are hardly to be packed
	freeGrowth = 1 << 30  // bytes that are always allowed
	mostWindow = 32 << 20 // bytes that unpacking may look back; zstd takes so much memory
)

func unpackedKey(f File) string { return "unpacked:" + f.Unpack + ":" + f.SHA256 }

// unpacked brings a file that holds others, and puts those into the store. It does not stay itself: that it was there is noted.
func (j *job) unpacked(ctx context.Context, f File) error {
	// Whoever comes second waits here, and finds what the first one has noted.
	turn, err := j.store.Part(ctx, "unpack:"+keyOf(j.in, f).part, -1)
	if err != nil {
		return err
	}
	defer func() { _ = turn.Discard() }() // nothing is in it
	if n, is := j.store.Noted(ctx, unpackedKey(f)); is && f.SHA256 != "" {
		j.state.finish(f.Name, f.Bytes, true)
		j.add(entriesOf(n)...)
		return nil
	}
	e, err := j.file(ctx, f)
	if err != nil {
		return err
	}
	f.SHA256 = e.SHA256
	j.state.say("unpacking " + f.Name)
	n, err := j.unpack(ctx, f, e.Bytes)
	if err != nil {
		return errors.Join(err, j.refuse(f, n, err))
	}
	if err := j.store.Note(unpackedKey(f), n); err != nil {
		return err
	}
	j.store.Release(f.SHA256)
	j.add(entriesOf(n)...)
	return j.store.Drop(f.SHA256)
}

// refuse lets go of an archive that is no good, which may be large, and of what was taken out of it.
func (j *job) refuse(f File, n blobs.Noted, why error) error {
	if !errors.Is(why, ErrRefused) && !errors.Is(why, ErrTooLong) {
		return nil
	}
	for _, o := range n.Files {
		j.store.Release(o.SHA256)
	}
	j.store.Release(f.SHA256)
	return j.store.Drop(f.SHA256)
}

func entriesOf(n blobs.Noted) (out []Entry) {
	for _, f := range n.Files {
		out = append(out, Entry{Name: f.Name, Bytes: f.Bytes, SHA256: f.SHA256, Run: f.Run})
	}
	return out
}

func (j *job) unpack(ctx context.Context, f File, bytes int64) (out blobs.Noted, err error) {
	file, err := j.store.Open(f.SHA256)
	if err != nil {
		return out, err
	}
	defer file.Close()
	plain, end, err := unpacker(f.Unpack, file)
	if err != nil {
		return out, Say(ErrRefused, "", "it is not packed as it says (%s): %v", f.Unpack, err)
	}
	defer end()
	most := bytes*mostGrowth + freeGrowth
	free, err := j.store.Free()
	if err != nil {
		return out, err
	}
	room := free - j.options.Keep
	limited := &cut{r: plain, left: most, err: Say(ErrTooLong, "", "it holds more than %d bytes, %d times its own size", most, mostGrowth)}
	if room < most {
		limited.left, limited.err = room, Say(ErrNoSpace, "palisade model gc removes what no model needs", "the disk has no room for what it holds")
	}
	names, held, at := []File{}, limited.left, map[string]int{}
	for archive := tar.NewReader(limited); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return out, packedWrong(err)
		}
		name, is, err := packedName(h)
		if err != nil {
			return out, err
		}
		if !is {
			continue
		}
		if names = append(names, File{Name: name}); len(names) > mostFiles {
			return out, Say(ErrRefused, "", "it holds more than %d files", mostFiles)
		}
		// What is read of an archive says nothing of a file with holes, which are zeros here.
		if held -= h.Size; held < 0 {
			return out, limited.err
		}
		sum, n, err := j.store.Add(ctx, archive, "")
		if err != nil {
			return out, packedWrong(err)
		}
		// A name that is there twice: the later one counts, as for tar.
		found := blobs.NotedFile{Name: name, SHA256: sum, Bytes: n, Run: h.Mode&0o111 != 0}
		if i, twice := at[name]; twice {
			out.Files[i] = found
			continue
		}
		at[name] = len(out.Files)
		out.Files = append(out.Files, found)
	}
	if len(out.Files) == 0 {
		return out, Say(ErrNotFound, "", "it holds no files")
	}
	return out, nil
}

// packedName is the name of an entry that is a file; is is false where it is none that is needed.
func packedName(h *tar.Header) (name string, is bool, err error) {
	name = strings.TrimPrefix(path.Clean("/"+h.Name), "/")
	switch {
	case h.Typeflag == tar.TypeXGlobalHeader:
		return "", false, nil
	case slices.Contains(strings.Split(h.Name, "/"), "..") || strings.HasPrefix(h.Name, "/"):
		return "", false, Say(ErrRefused, "", "it holds %q, which leads out of its folder", h.Name)
	case h.Typeflag == tar.TypeDir:
		return "", false, nil
	case h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeGNUSparse:
		return "", false, Say(ErrRefused, "", "it holds %q, which is no plain file: links and devices are not taken", h.Name)
	}
	_, err = Sorted([]File{{Name: name}})
	return name, true, err
}

// packedWrong is an error of a file that holds others: what was unpacked was checked before, so to fetch it again does not help.
func packedWrong(err error) error {
	for _, kind := range []error{ErrTooLong, ErrNoSpace, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, kind) {
			return err
		}
	}
	return fmt.Errorf("unpacking it: %w", errors.Join(err, ErrRefused))
}

func unpacker(kind string, r io.Reader) (plain io.Reader, end func(), err error) {
	switch kind {
	case "tar":
		return r, func() {}, nil
	case "tar+gzip":
		z, err := gzip.NewReader(r)
		return z, func() {}, err
	case "tar+zstd":
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(mostWindow))
		if err != nil {
			return nil, nil, err
		}
		return z, z.Close, nil
	}
	return nil, nil, fmt.Errorf("%q is not known", kind)
}
