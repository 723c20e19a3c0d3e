package fetch

import (
	"context"
	"errors"
	"fmt"

	"github.com/palisade-run/palisade/catalog/blobs"
)

// file brings one file into the store.
//  1. What is here is not fetched: by its checksum, or by what was noted of the place.
//  2. Who comes second to a file that somebody fetches waits, and looks again.
//  3. A file that has changed at its place is looked up there, and fetched as it is now, once.
//  4. What has the wrong checksum is thrown away. Where some of it was of an earlier run, it is fetched anew, once.
func (j *job) file(ctx context.Context, f File) (Entry, error) {
	renewed := false
	for {
		e, err := j.attempt(ctx, f)
		if !errors.Is(err, ErrChanged) || renewed {
			return e, err
		}
		renewed = true
		if f, err = j.renew(ctx, f, err); err != nil { // 3
			return Entry{}, err
		}
	}
}

func (j *job) attempt(ctx context.Context, f File) (Entry, error) {
	key := keyOf(j.in, f)
	if e, is, err := j.reuse(ctx, f, key); is || err != nil { // 1
		return e, err
	}
	j.state.begin(f.Name, func() int64 { return j.store.Coming(key.part) })
	part, err := j.store.Part(ctx, key.part, f.Bytes)
	if err != nil {
		return Entry{}, err
	}
	defer part.Close()
	if e, is, err := j.reuse(ctx, f, key); is || err != nil { // 2
		return e, errors.Join(err, part.Discard())
	}
	if !key.validates && part.Here() > 0 {
		// It may be of another file: nothing says that it is not.
		if err := part.Reset(f.Bytes); err != nil {
			return Entry{}, err
		}
	}
	j.state.resumed(part.Here())
	sum, err := j.fill(ctx, part, f)
	if errors.Is(err, ErrChecksum) && part.Began() > 0 { // 4
		j.options.Log.Warn("a file that was gone on with has the wrong checksum, and is fetched anew", "file", f.Name)
		j.state.lost(part.Began())
		if err := part.Reset(f.Bytes); err != nil {
			return Entry{}, err
		}
		sum, err = j.fill(ctx, part, f)
	}
	if errors.Is(err, ErrChecksum) || errors.Is(err, ErrTooLong) || errors.Is(err, ErrChanged) {
		return Entry{}, errors.Join(err, part.Discard())
	}
	if err != nil {
		return Entry{}, err
	}
	e := Entry{Name: f.Name, Bytes: part.Size(), SHA256: sum, Run: f.Run}
	if f.SHA256 == "" && key.validates {
		if err := j.store.Note(key.part, blobs.Noted{Files: []blobs.NotedFile{{Name: f.Name, SHA256: sum, Bytes: e.Bytes}}}); err != nil {
			return Entry{}, err
		}
	}
	j.state.finish(f.Name, e.Bytes, false)
	return e, nil
}

// reuse takes a file that is here.
func (j *job) reuse(ctx context.Context, f File, key key) (Entry, bool, error) {
	sum, bytes, is, err := j.find(ctx, f, key)
	if err != nil || !is {
		return Entry{}, false, err
	}
	if f.Bytes >= 0 && f.Bytes != bytes {
		return Entry{}, false, Say(ErrChecksum, "", "the place says that it has %d bytes; the file with its checksum has %d", f.Bytes, bytes)
	}
	j.state.finish(f.Name, bytes, true)
	return Entry{Name: f.Name, Bytes: bytes, SHA256: sum, Run: f.Run}, true, nil
}

// fill brings what is missing, and makes the part whole.
func (j *job) fill(ctx context.Context, part *blobs.Part, f File) (string, error) {
	err := j.ranges(ctx, part, f)
	if errors.Is(err, ErrNoRange) {
		j.state.lost(part.Began())
		if err = part.Reset(f.Bytes); err == nil {
			err = j.whole(ctx, part, f)
		}
	}
	if err != nil {
		return "", err
	}
	if f.SHA256 == "" && f.Git != "" {
		if err := checkGit(ctx, part, f); err != nil {
			return "", err
		}
	}
	sum, err := part.Commit(ctx, f.SHA256)
	if errors.Is(err, ErrChecksum) {
		err = Say(ErrChecksum, "the file at its place is damaged, or is not the one that was meant: tell who keeps it", "it has the checksum %s, and should have %s", sum, f.SHA256)
	}
	return sum, err
}

// renew looks up a file that has changed.
func (j *job) renew(ctx context.Context, f File, changed error) (File, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.news == nil {
		news, err := j.from.List(ctx, j.in.Ref)
		if err != nil {
			return File{}, fmt.Errorf("looking what has changed: %w", err)
		}
		j.news = &news
	}
	if j.news.Revision != j.in.Revision {
		return File{}, Say(ErrChanged, "begin again, to get what is there now", "%s is at another revision now: %.12s, and was at %.12s", j.in.Ref.Where, j.news.Revision, j.in.Revision)
	}
	for _, now := range j.news.Files {
		if now.Name != f.Name {
			continue
		}
		if now.SHA256 == "" {
			now.SHA256 = f.SHA256 // it was pinned by somebody else
		}
		if f.SHA256 != "" && now.SHA256 != f.SHA256 {
			return File{}, changed
		}
		j.options.Log.Info("a file has changed while it was fetched, and is fetched anew", "file", f.Name)
		j.state.resize(f.Name, now.Bytes)
		return now, nil
	}
	return File{}, changed
}
