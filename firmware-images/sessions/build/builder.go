package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/catalog/bytesize"
	sessionimages "github.com/palisade-run/palisade/firmware-images/sessions"
)

// recipe is to be raised when anything in this package changes what comes out.
const recipe = 1

// atOnce is how many images are put together side by side: what takes the time, unpacking and setting up packages, is done
// by one process for each.
const atOnce = 2

// room is how much must be free on the disk before a build is begun.
const room = 6 << 30

// builder keeps archives in a directory:
//
//	NAME.oci.tar   the archive, whole or not there
//	NAME.json      what it was made of: made
//	NAME.log       what the programs said that made it
//	NAME.lock      held by who builds it
//	work/          roots under construction; emptied by who made it
type builder struct {
	dir     string
	force   bool
	errs    *lines
	started time.Time
}

// made says what an archive is.
type made struct {
	Key    string    `json:"key"`    // of all that it was made from but the packages' versions
	Digest string    `json:"digest"` // of its manifest
	Size   int64     `json:"size"`   // of the archive, bytes
	At     time.Time `json:"at"`
}

func (b *builder) archive(name string) string { return filepath.Join(b.dir, name+".oci.tar") }

// found is what there is of an image, and whether its definition is still the one that it was made by.
func (b *builder) found(name, key string) (made, bool) {
	var m made
	text, err := os.ReadFile(filepath.Join(b.dir, name+".json"))
	if err != nil || json.Unmarshal(text, &m) != nil {
		return made{}, false
	}
	info, err := os.Stat(b.archive(name))
	return m, err == nil && info.Size() == m.Size && m.Key == key
}

func keyOf(chain []sessionimages.Definition) (string, error) {
	digest, err := sessionimages.Digest(chain)
	return fmt.Sprintf("%d-%s-%.40s", recipe, runtime.GOARCH, digest), err
}

func (b *builder) list(out io.Writer, names []string) error {
	for _, name := range names {
		chain, err := sessionimages.Load(name)
		if err != nil {
			return err
		}
		key, err := keyOf(chain)
		if err != nil {
			return err
		}
		state := "not built"
		if m, ok := b.found(name, key); ok {
			state = fmt.Sprintf("%s, built %s", bytesize.Format(m.Size), m.At.Format(time.DateOnly))
		} else if m.Key != "" {
			state = "to be built again: its definition has changed"
		}
		d := chain[len(chain)-1]
		fmt.Fprintf(out, "%-22s %-44s %s\n", sessionimages.Prefix+name, state, d.Summary)
	}
	return nil
}

// find prints the archives of what is asked for, all of names where nothing is; it fails where one is missing or old.
func (b *builder) find(out io.Writer, names, asked []string) error {
	for _, name := range names {
		if len(asked) > 0 && !slices.Contains(asked, name) && !slices.Contains(asked, sessionimages.Prefix+name) {
			continue
		}
		chain, err := sessionimages.Load(name)
		if err != nil {
			return err
		}
		key, err := keyOf(chain)
		if err != nil {
			return err
		}
		if _, ok := b.found(name, key); !ok {
			return &hintError{fmt.Errorf("%s%s is not built, or by an older definition", sessionimages.Prefix, name), "make images ARGS=" + name}
		}
		fmt.Fprintln(out, b.archive(name))
	}
	return nil
}

// all builds what is missing of names, in which each stands after the one that it adds to, and marks the archives.
func (b *builder) all(ctx context.Context, out io.Writer, names []string) error {
	if err := os.MkdirAll(filepath.Join(b.dir, "work"), 0o755); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := map[string]chan struct{}{}
	for _, name := range names {
		done[name] = make(chan struct{})
	}
	slots := make(chan struct{}, atOnce)
	var work sync.WaitGroup
	for _, name := range names {
		work.Go(func() {
			defer close(done[name])
			if err := b.one(ctx, name, done, slots); err != nil {
				cancel(fmt.Errorf("%s: %w", name, err)) // the first one counts
			}
		})
	}
	work.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	for _, name := range names {
		fmt.Fprintln(out, b.archive(name))
	}
	return nil
}

// one builds an image when the one that it adds to is there.
func (b *builder) one(ctx context.Context, name string, done map[string]chan struct{}, slots chan struct{}) error {
	chain, err := sessionimages.Load(name)
	if err != nil {
		return err
	}
	if from := chain[len(chain)-1].From; from != "" {
		<-done[from]
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	key, err := keyOf(chain)
	if err != nil {
		return err
	}
	if _, ok := b.found(name, key); ok && !b.force {
		return nil
	}
	slots <- struct{}{}
	defer func() { <-slots }()
	release, err := b.lock(ctx, name)
	if err != nil {
		return err
	}
	defer release()
	// Who held the lock before may have built it; with force only this program's own result will do.
	if m, ok := b.found(name, key); ok && (!b.force || m.At.After(b.started)) {
		return nil
	}
	return b.build(ctx, chain, key)
}

// lock waits until nobody else builds the image.
func (b *builder) lock(ctx context.Context, name string) (release func(), err error) {
	f, err := os.OpenFile(filepath.Join(b.dir, name+".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	said := time.Time{}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errors.Join(fmt.Errorf("locking %s: %w", f.Name(), err), f.Close())
		}
		if time.Since(said) > 30*time.Second {
			b.errs.say("%s: another build of it is under way; waiting", name)
			said = time.Now()
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), f.Close())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (b *builder) build(ctx context.Context, chain []sessionimages.Definition, key string) (err error) {
	d := chain[len(chain)-1]
	if err := b.wantRoom(); err != nil {
		return err
	}
	begun := time.Now()
	b.errs.say("%s: building (its log: %s)", d.Name, b.log(d.Name))
	work, err := os.MkdirTemp(filepath.Join(b.dir, "work"), d.Name+"-")
	if err != nil {
		return err
	}
	// Whoever sets up packages there without being root must be let through.
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	if err := os.Chmod(work, 0o755); err != nil {
		return err
	}
	log, err := os.Create(b.log(d.Name))
	if err != nil {
		return err
	}
	defer log.Close()
	r := &rooter{chain: chain, work: work, log: log, say: func(what string) { b.errs.say("%s: %s", d.Name, what) }}
	image, err := r.image(ctx, b.archive)
	if err != nil {
		return b.explain(ctx, d.Name, err)
	}
	part := filepath.Join(work, "image.oci.tar")
	if err := image.write(part); err != nil {
		return err
	}
	m := made{Key: key, Digest: image.digest, At: time.Now().UTC()}
	if m.Size, err = b.keep(part, d.Name, m); err != nil {
		return err
	}
	b.errs.say("%s: %s in %s, %s", d.Name, bytesize.Format(m.Size), time.Since(begun).Round(time.Second), m.Digest)
	return nil
}

func (b *builder) log(name string) string { return filepath.Join(b.dir, name+".log") }

// keep puts an archive where it is looked for, and then what it was made of: one without the other counts as none.
func (b *builder) keep(part, name string, m made) (size int64, err error) {
	info, err := os.Stat(part)
	if err != nil {
		return 0, err
	}
	m.Size = info.Size()
	text, err := json.Marshal(m)
	if err != nil {
		return 0, err
	}
	note := filepath.Join(b.dir, name+".json")
	if err := os.Remove(note); err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, err
	}
	if err := os.Rename(part, b.archive(name)); err != nil {
		return 0, err
	}
	if err := os.WriteFile(note+".part", text, 0o644); err != nil {
		return 0, err
	}
	return m.Size, os.Rename(note+".part", note)
}

func (b *builder) wantRoom() error {
	var s unix.Statfs_t
	if err := unix.Statfs(b.dir, &s); err != nil {
		return err
	}
	if free := int64(s.Bavail) * s.Bsize; free < room {
		return &hintError{
			fmt.Errorf("%s are free at %s, and a build takes up to %s for a while", bytesize.Format(free), b.dir, bytesize.Format(room)),
			"make room there, or set PALISADE_CACHE to a directory of a larger disk",
		}
	}
	return nil
}

// explain adds the last of what the programs said.
func (b *builder) explain(ctx context.Context, name string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	text, readErr := os.ReadFile(b.log(name))
	if readErr != nil {
		return err
	}
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return fmt.Errorf("%w\n%s", err, strings.Join(all[max(0, len(all)-12):], "\n"))
}
