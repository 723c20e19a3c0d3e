package goods

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/folders"
	"github.com/palisade-run/palisade/sessions"
)

// What is looked at of a folder whose files nobody needs here.
const (
	wholeUntil  = 1 << 20   // bytes: files that are no larger are there
	tensorsHead = 100 << 20 // the longest head of safetensors
	ggufHead    = 32 << 20  // of a GGUF file: words and tensors are named in it
	mostGlimpse = 256 << 20 // bytes that are there of one folder, those of the uppermost directories first; the rest are holes
)

// Glimpse makes a directory of what is to be known of a folder of another box: its small files, the heads of files of weights,
// and the sizes of all. What this box has of the folder is taken as it is.
func (g *Goods) Glimpse(ctx context.Context, f folders.Folder) (string, error) {
	if err := checkID(f.ID); err != nil {
		return "", err
	}
	w := Want{ID: f.ID, Name: f.Name, Home: f.Home, Sealed: f.Sealed}
	if w.Sealed {
		if dir, is, err := g.shelf.find(ctx, w.ID, g.shelf.newest(w.ID)); err != nil || is {
			return dir, err
		}
	}
	p := g.newPeers(w)
	if err := p.learn(ctx, func(sessions.Progress) {}); err != nil {
		return "", err
	}
	name := w.ID + "@" + p.manifest.Version
	release, err := g.glimpses.turn(ctx, w.ID)
	if err != nil {
		return "", err
	}
	defer release()
	if dir, is, err := g.shelf.find(ctx, w.ID, p.manifest.Version); err != nil || is {
		return dir, err
	}
	dir := filepath.Join(g.Dir, glimpsesDir, name)
	if g.glimpses.has(name) {
		return dir, nil
	}
	aside, err := os.MkdirTemp(filepath.Join(g.Dir, glimpsesDir), making)
	if err != nil {
		return "", full(err)
	}
	bytes, err := p.glimpse(ctx, aside)
	if err != nil {
		return "", errors.Join(full(fmt.Errorf("looking what is in folder %s: %w", w.Name, err)), removeTree(aside))
	}
	if err := os.Rename(aside, dir); err != nil {
		return "", errors.Join(err, removeTree(aside))
	}
	for _, old := range g.glimpses.made(name, bytes) {
		if err := removeTree(filepath.Join(g.Dir, glimpsesDir, old)); err != nil {
			g.Log.Warn("what was looked at of another box's folder is left", "error", err)
		}
	}
	return dir, nil
}

// glimpse fills a directory, and says how much there is in it.
func (p *peers) glimpse(ctx context.Context, dir string) (bytes int64, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return 0, err
	}
	defer root.Close()
	for _, d := range p.manifest.Dirs {
		if err := root.MkdirAll(d, 0o755); err != nil {
			return 0, err
		}
	}
	for _, f := range uppermost(p.manifest.Files) {
		head, err := p.head(ctx, f, mostGlimpse-bytes)
		if err != nil {
			return 0, err
		}
		bytes += int64(len(head))
		if err := p.write(root, f, head); err != nil {
			return 0, err
		}
	}
	for _, l := range p.manifest.Links {
		if err := root.MkdirAll(path.Dir(l.Name), 0o755); err != nil {
			return 0, err
		}
		if err := root.Symlink(l.To, l.Name); err != nil {
			return 0, err
		}
	}
	return bytes, nil
}

// uppermost are files in the order of how deep they lie: what says of a model what it is lies beside its weights, or above them.
func uppermost(files []File) []File {
	files = slices.Clone(files)
	slices.SortStableFunc(files, func(a, b File) int { return strings.Count(a.Name, "/") - strings.Count(b.Name, "/") })
	return files
}

// write writes what is known of a file.
func (p *peers) write(root *os.Root, f File, head []byte) error {
	room, err := p.Blobs.Reserve(int64(len(head)), p.Keep)
	if err != nil {
		return err
	}
	defer room.Release()
	if err := root.MkdirAll(path.Dir(f.Name), 0o755); err != nil {
		return err
	}
	if err := root.WriteFile(f.Name, head, 0o644); err != nil {
		return err
	}
	if int64(len(head)) < f.Bytes { // the rest is a hole
		return truncate(root, f.Name, f.Bytes)
	}
	return nil
}

func truncate(root *os.Root, name string, size int64) error {
	file, err := root.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(file.Truncate(size), file.Close())
}

// head is the beginning of a file, as far as it says what the rest is; nothing where that is more than may come.
func (p *peers) head(ctx context.Context, f File, most int64) ([]byte, error) {
	switch {
	case min(f.Bytes, wholeUntil) > most:
	case f.Bytes <= wholeUntil:
		all, err := p.some(ctx, f, f.Bytes)
		if sum := sha256.Sum256(all); err == nil && hex.EncodeToString(sum[:]) != f.SHA256 {
			err = &fault{kind: fetch.ErrChecksum, text: f.Name + " is not what a box says that it is"}
		}
		return all, err
	case strings.HasSuffix(f.Name, ".gguf"):
		return p.some(ctx, f, min(f.Bytes, ggufHead, most))
	case strings.HasSuffix(f.Name, ".safetensors"):
		length, err := p.some(ctx, f, 8)
		if err != nil {
			return nil, err
		}
		n := binary.LittleEndian.Uint64(length)
		if n > tensorsHead || int64(n)+8 > f.Bytes || int64(n)+8 > most {
			return length, nil // it is damaged: who reads it says so
		}
		return p.some(ctx, f, int64(n)+8)
	}
	return nil, nil
}

// some are the first bytes of a file, from whoever gives them.
func (p *peers) some(ctx context.Context, f File, n int64) ([]byte, error) {
	if n == 0 {
		return nil, nil
	}
	var failed error
	for range tries {
		body, err := p.Open(ctx, fetch.Listing{}, fetch.File{Name: f.SHA256, Bytes: f.Bytes, SHA256: f.SHA256, At: f.Name}, 0, n)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		var b bytes.Buffer
		body = p.fetcher.Limit(ctx, body)
		_, err = io.CopyN(&b, body, n)
		if err = errors.Join(err, body.Close()); err == nil {
			return b.Bytes(), nil
		}
		failed = errors.Join(failed, err)
	}
	return nil, failed
}

// dropGlimpses forgets what was looked at: it is made anew when it is asked for.
func (g *Goods) dropGlimpses() error {
	dir := filepath.Join(g.Dir, glimpsesDir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("forgetting what was looked at of other boxes' folders: %w", err)
	}
	for _, e := range entries {
		err = errors.Join(err, removeTree(filepath.Join(dir, e.Name())))
	}
	return err
}
