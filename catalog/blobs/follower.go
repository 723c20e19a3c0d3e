package blobs

import (
	"context"
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"
)

// follower hashes a file that comes, from its beginning to where it is here without a gap, beside those who write it: from what
// they give it, else from the file.
type follower struct {
	file io.ReaderAt
	more chan struct{} // of size 1: reach or turn have changed
	quit chan struct{}
	done sync.WaitGroup
	hash hash.Hash // of the goroutine alone

	mu     sync.Mutex
	upTo   int64 // what may be read
	hashed int64
	turn   int // of the file: grows when it begins anew
	ran    int // turn that the goroutine has heard of
	ended  bool
	given  []chunk // by offset, at most mostGiven: what is here and in memory still
	at     int64
	state  []byte        // of the hash at at: from where it can go on
	err    error         // that ended it
	news   chan struct{} // closed when hashed or err change; for those who wait
}

// chunk is bytes of a file. back is called when they are no longer needed.
type chunk struct {
	data   []byte
	offset int64
	back   func()
}

const (
	mostGiven  = 8
	hashBuffer = 1 << 20
	markEvery  = 64 << 20 // bytes that are hashed again at most after a crash
)

// follow goes on from a state; an unusable one is taken for none.
func follow(file io.ReaderAt, hashed int64, state []byte) *follower {
	f := &follower{file: file, more: make(chan struct{}, 1), quit: make(chan struct{}), hash: sha256.New(), news: make(chan struct{})}
	if u, is := f.hash.(encoding.BinaryUnmarshaler); hashed > 0 && is && u.UnmarshalBinary(state) == nil {
		f.hashed, f.at, f.state = hashed, hashed, state
	} else {
		f.hash.Reset()
	}
	f.done.Go(f.run)
	return f
}

// reach says how much may be hashed.
func (f *follower) reach(end int64) {
	f.mu.Lock()
	grown := end > f.upTo
	f.upTo = max(f.upTo, end)
	f.mu.Unlock()
	if grown {
		f.poke()
	}
}

// give is bytes that are here, behind all that were given before. taken says that back is called once they are not needed.
func (f *follower) give(c chunk) (taken bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	taken = len(f.given) < mostGiven && c.offset >= f.hashed && !f.ended && (len(f.given) == 0 || f.given[len(f.given)-1].offset < c.offset)
	if taken {
		f.given = append(f.given, c)
	}
	return taken
}

// room waits until there is room for more, or there will be none: who brings bytes faster than they are hashed would have them
// read again from the file, which takes longer than to wait. All that is given is without a gap, so that it is hashed soon.
func (f *follower) room() {
	for {
		f.mu.Lock()
		full, news := len(f.given) >= mostGiven && f.err == nil && !f.ended, f.news
		f.mu.Unlock()
		if !full {
			return
		}
		select {
		case <-news:
		case <-f.quit:
			return
		}
	}
}

// next is what is hashed next: bytes in memory, or how many are to be read. The caller holds mu.
func (f *follower) next() (c chunk, read int64) {
	for len(f.given) > 0 && f.given[0].offset < f.hashed {
		f.given[0].back() // read from the file before it was given
		f.given = f.given[1:]
	}
	read = min(f.upTo-f.hashed, hashBuffer)
	switch {
	case len(f.given) == 0 || read <= 0:
		return chunk{}, read
	case f.given[0].offset > f.hashed:
		return chunk{}, min(read, f.given[0].offset-f.hashed)
	}
	c, f.given = f.given[0], f.given[1:]
	return c, 0
}

// drop gives back all that was given. The caller holds mu.
func (f *follower) drop() {
	for _, c := range f.given {
		c.back()
	}
	f.given = nil
}

func (f *follower) poke() {
	select {
	case f.more <- struct{}{}:
	default:
	}
}

// reset begins anew.
func (f *follower) reset() {
	f.mu.Lock()
	f.turn++
	f.drop()
	f.upTo, f.hashed, f.at, f.state, f.err = 0, 0, 0, nil, nil
	f.mu.Unlock()
	f.poke()
}

// mark is the last place that hashing can go on from.
func (f *follower) mark() (hashed int64, state []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.at, f.state
}

func (f *follower) run() {
	buffer, turn := make([]byte, hashBuffer), 0
	for {
		f.mu.Lock()
		if f.turn != turn {
			turn, f.ran = f.turn, f.turn
			f.hash.Reset()
			f.tell()
		}
		at, broken := f.hashed, f.err != nil
		var c chunk
		var read int64
		if !broken {
			c, read = f.next()
		}
		f.mu.Unlock()
		select {
		case <-f.quit:
			if c.back != nil {
				c.back()
			}
			return
		default:
		}
		switch {
		case c.back != nil:
			_, _ = f.hash.Write(c.data) // never fails
			c.back()
			f.advance(turn, int64(len(c.data)), nil)
		case read > 0:
			n, err := f.file.ReadAt(buffer[:read], at)
			_, _ = f.hash.Write(buffer[:n])
			if n > 0 && errors.Is(err, io.EOF) {
				err = nil
			}
			f.advance(turn, int64(n), err)
		default:
			select {
			case <-f.more:
			case <-f.quit:
				return
			}
		}
	}
}

func (f *follower) advance(turn int, n int64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.turn != turn {
		return // run begins anew
	}
	f.hashed += n
	if f.hashed-f.at >= markEvery {
		f.remember()
	}
	if err != nil {
		f.err = fmt.Errorf("reading back what came: %w", err)
	}
	f.tell()
}

// tell wakes those who wait. The caller holds mu.
func (f *follower) tell() {
	close(f.news)
	f.news = make(chan struct{})
}

// remember notes a place to go on from. The caller holds mu and has the hash.
func (f *follower) remember() {
	if m, is := f.hash.(encoding.BinaryMarshaler); is {
		if state, err := m.MarshalBinary(); err == nil && f.hashed > 0 {
			f.at, f.state = f.hashed, state
		}
	}
}

// sum waits until size bytes are hashed, and is their checksum.
func (f *follower) sum(ctx context.Context, size int64) (string, error) {
	for {
		f.mu.Lock()
		hashed, err, news := f.hashed, f.err, f.news
		heard := f.ran == f.turn
		f.mu.Unlock()
		switch {
		case err != nil:
			return "", err
		case hashed == size && heard:
			return hex.EncodeToString(f.hash.Sum(nil)), nil // the goroutine waits: nothing is left to be hashed
		}
		select {
		case <-news:
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}

// end stops hashing. mark is then where it stopped.
func (f *follower) end() {
	close(f.quit)
	f.done.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
	f.drop()
	f.remember()
}
