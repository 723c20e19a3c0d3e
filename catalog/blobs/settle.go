package blobs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// A file is whole, and used, before the disk has all of it: to wait for that would make every install as slow as the disk.
// Its name stands in unsettledDir until it is there. What stands there with another boot was caught by a power failure, and is
// read before it is used.

// adopt makes a file a whole one. It is gone from where it was.
func (s *Store) adopt(from, sum string) error {
	to := s.path(sum)
	if _, is, err := s.Sure(context.Background(), sum); err != nil {
		return err
	} else if is {
		return os.Remove(from)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	// First the word that it is not sure, then the name: a journaling disk keeps that order. A full disk has no room for it; then
	// the part must be as it was.
	if err := os.WriteFile(filepath.Join(s.dir, unsettledDir, sum), []byte(s.boot), 0o600); err != nil {
		return err
	}
	if err := os.Chmod(from, 0o444); err != nil { // it may have names in several models: nobody writes into it
		return err
	}
	now := time.Now()
	if err := os.Chtimes(from, now, now); err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return nil
}

func (s *Store) readUnsettled() error {
	entries, err := os.ReadDir(filepath.Join(s.dir, unsettledDir))
	if err != nil {
		return fmt.Errorf("opening the store of files: %w", err)
	}
	for _, e := range entries {
		boot, err := os.ReadFile(filepath.Join(s.dir, unsettledDir, e.Name()))
		if err != nil {
			return fmt.Errorf("opening the store of files: %w", err)
		}
		if s.boot == "" || string(boot) != s.boot {
			s.suspects[e.Name()] = true
		}
	}
	if len(entries) > 0 {
		s.wake <- struct{}{}
	}
	return nil
}

// settle brings whole files to the disk, one after the other, while nothing waits for it.
func (s *Store) settle(ctx context.Context) {
	for {
		select {
		case <-s.wake:
		case <-ctx.Done():
			return
		}
		entries, err := os.ReadDir(filepath.Join(s.dir, unsettledDir))
		if err != nil {
			s.log.Error("looking which files of models are not on the disk yet", "error", err)
			continue
		}
		for _, e := range entries {
			err := s.settleOne(ctx, e.Name())
			switch {
			case err == nil || ctx.Err() != nil:
			case errors.Is(err, ErrCorrupt): // a model's folder may have it under another name
				s.log.Error("a power failure has damaged a file of a model: palisade model verify --repair finds which, and brings it again", "sha256", e.Name())
			default:
				s.log.Error("bringing a file of a model to the disk", "sha256", e.Name(), "error", err)
			}
		}
	}
}

func (s *Store) settleOne(ctx context.Context, sum string) error {
	mark := filepath.Join(s.dir, unsettledDir, sum)
	s.mu.Lock()
	suspect := s.suspects[sum]
	s.mu.Unlock()
	if suspect {
		if err := s.Verify(ctx, sum, nil); err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	if !Valid(sum) {
		return removeAll(mark)
	}
	file, err := os.Open(s.path(sum))
	if errors.Is(err, fs.ErrNotExist) {
		return removeAll(mark)
	}
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return errors.Join(context.Cause(ctx), file.Close())
	}
	// A slow disk takes minutes for a large file, and nothing ends that: a daemon that is being replaced does not wait for it.
	synced := make(chan error, 1)
	go func() { synced <- errors.Join(file.Sync(), syncDir(filepath.Dir(s.path(sum))), file.Close()) }()
	select {
	case err := <-synced:
		if err != nil {
			return err
		}
		return removeAll(mark)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func syncDir(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
