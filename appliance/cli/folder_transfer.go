package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/catalog/bytesize"
)

// atOnce is how many files are under way: while one waits for the disk, another uses the line.
const atOnce = 4

// Each small file is waited for until it is on the disk, where several come at once as fast as one.
const (
	smallAtOnce = 8
	smallFile   = 1 << 20
)

func hands(jobs []copyJob) int {
	if slices.ContainsFunc(jobs, func(j copyJob) bool { return j.size > smallFile }) {
		return atOnce
	}
	return smallAtOnce
}

// transfer is one run of cp. What is shown is written under mu, for several files go at once.
type transfer struct {
	*app
	client *api.Client
	begin  time.Time
	roots  []*os.Root // that are open

	mu      sync.Mutex
	show    *meter
	files   int   // done
	bytes   int64 // of these
	skipped int   // there already
	total   int64
	partial map[string]int64 // of files under way
	shown   time.Time
}

// copyJob is one file to copy.
type copyJob struct {
	name string
	size int64
	do   func(ctx context.Context, tell api.Progress) error
}

// all does the jobs, some at once. The first that fails ends the others.
func (t *transfer) all(ctx context.Context, jobs []copyJob) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	t.partial = map[string]int64{}
	for _, j := range jobs {
		t.total += j.size
	}
	next := make(chan copyJob)
	var workers sync.WaitGroup
	for range min(hands(jobs), len(jobs)) {
		workers.Go(func() {
			for j := range next {
				if err := t.one(ctx, j, len(jobs)); err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, j := range jobs {
		select {
		case next <- j:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(next)
	workers.Wait()
	return context.Cause(ctx)
}

func (t *transfer) one(ctx context.Context, j copyJob, of int) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	err := j.do(ctx, func(done, _ int64) { t.tell(j.name, done, of) })
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.partial, j.name)
	if err == nil {
		t.files++
		t.bytes += j.size
	}
	return err
}

// tell shows how far all of it is.
func (t *transfer) tell(name string, done int64, of int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.partial[name] = done
	now := t.now()
	if now.Sub(t.shown) < redrawEvery {
		return
	}
	t.shown = now
	sum := t.bytes
	for _, n := range t.partial {
		sum += n
	}
	text := oneLine(name)
	switch {
	case of > 1 && t.show.show.live:
		text = fmt.Sprintf("file %d of %d", t.files+1, of)
	case of > 1:
		text = plural(of, "file") // where nothing is rewritten in place, another text would be another line
	}
	t.show.set(text, sum, t.total)
}

// say prints a line that stays.
func (t *transfer) say(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.show.clear()
	t.show.show.line(t.now(), text)
}

func (t *transfer) skip() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.skipped++
}

// summary says what was done.
func (t *transfer) summary() error {
	took := t.now().Sub(t.begin)
	text := fmt.Sprintf("%s, %s in %s", plural(t.files, "file"), bytesize.Format(t.bytes), elapsed(took))
	if took > time.Second && t.bytes > 0 {
		text += fmt.Sprintf(", %s/s", bytesize.Format(int64(float64(t.bytes)/took.Seconds())))
	}
	if t.skipped > 0 {
		text += fmt.Sprintf("; %d there already", t.skipped)
	}
	t.notef("%s", text)
	return t.app.show(result{
		quiet: []string{}, json: map[string]any{"files": t.files, "bytes": t.bytes, "skipped": t.skipped}, text: func() error { return nil },
	})
}

// downJob fetches one file: beside its place first, and there only when it is whole. What is there of it from before, of the
// same file, is gone on with.
func (t *transfer) downJob(folder string, source api.Entry, root *os.Root, name string) copyJob {
	return copyJob{name: name, size: source.Size, do: func(ctx context.Context, tell api.Progress) error {
		for again := range 2 {
			err := t.fetch(ctx, remoteFile{folder, source}, root, name, tell)
			if !errors.Is(err, api.ErrFileChanged) || again > 0 {
				return err
			}
			// It is another one than was listed: that one is wanted.
			if source = t.entry(ctx, copyPlace{folder, source.Path}); source.ETag == "" {
				return err
			}
		}
		return nil
	}}
}

// remoteFile is a file as a folder has it.
type remoteFile struct {
	folder string
	api.Entry
}

func (t *transfer) fetch(ctx context.Context, source remoteFile, root *os.Root, name string, tell api.Progress) error {
	dir := filepath.Dir(name)
	if err := mkdirIn(root, dir); err != nil {
		return err
	}
	part, begin := partNames(name, source.ETag)
	if source.Size > keepFrom { // smaller ones leave no parts
		sweepParts(root, dir, begin, filepath.Base(part))
	}
	mode := fs.FileMode(0o644)
	if source.Executable {
		mode = 0o755
	}
	file, err := root.OpenFile(part, os.O_CREATE|os.O_RDWR, mode)
	if err != nil {
		return err
	}
	done, err := t.rest(ctx, source, file, tell)
	if err == nil {
		err = file.Truncate(done)
	}
	if err = errors.Join(err, file.Close()); err != nil {
		if source.Size <= keepFrom {
			_ = root.Remove(part)
		}
		return err
	}
	if !source.ModTime.IsZero() {
		if err := root.Chtimes(part, time.Time{}, source.ModTime); err != nil {
			return err
		}
	}
	return root.Rename(part, name)
}

// rest fetches what is missing of a file. Of a part from before, only as much counts as is known to be right: the last bytes
// of it may have come without anybody having compared them.
func (t *transfer) rest(ctx context.Context, source remoteFile, file *os.File, tell api.Progress) (int64, error) {
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	have := int64(0)
	if source.ETag != "" {
		have = max(0, min(info.Size(), source.Size)-1) / keepFrom * keepFrom
	}
	return t.client.Download(ctx, source.folder, api.Download{Path: source.Path, Offset: have, ETag: source.ETag, To: file}, tell)
}

// keepFrom is the step in which what was downloaded before is taken as it is. Whole steps of a file are compared before more
// comes.
const keepFrom = 32 << 20

// partNames is where a file lies while it comes, and how the names of its parts begin, of this and of what it was before.
func partNames(name, etag string) (part, begin string) {
	sum := sha256.Sum256([]byte(filepath.Base(name)))
	begin = ".palisade-part-" + hex.EncodeToString(sum[:6]) + "-"
	return filepath.Join(filepath.Dir(name), begin+strings.Trim(etag, `"`)), begin
}

// sweepParts removes parts of what the file was before.
func sweepParts(root *os.Root, dir, begin, but string) {
	d, err := root.Open(dir)
	if err != nil {
		return
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1)
	for _, n := range names {
		if strings.HasPrefix(n, begin) && n != but {
			_ = root.Remove(filepath.Join(dir, n))
		}
	}
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
