package folders

import (
	"errors"
	"io"
)

// pieceSize is how much is read, written and summed at a time.
const pieceSize = 256 << 10

// piece is the memory of one step of a copy.
type piece [pieceSize]byte

// pour copies all of r to write, and into sum beside that: summing takes as long as writing. What sum has seen when it
// returns is what was written.
func (fo *Keeper) pour(write func(p []byte) error, r io.Reader, sum io.Writer) (written int64, err error) {
	first, _ := fo.pieces.Get().(*piece)
	if first == nil {
		first = &piece{}
	}
	defer fo.pieces.Put(first)
	n, err := fill(r, first[:])
	if n > 0 {
		if failed := write(first[:n]); failed != nil {
			return 0, failed
		}
		_, _ = sum.Write(first[:n])
	}
	if err != nil {
		return int64(n), ended(err)
	}
	// More than one piece: from here on two hands.
	free, full := make(chan *piece, 2), make(chan []byte, 2)
	for range cap(free) {
		p, _ := fo.pieces.Get().(*piece)
		if p == nil {
			p = &piece{}
		}
		free <- p
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for p := range full {
			_, _ = sum.Write(p) // hashes do not fail
			free <- (*piece)(p[:pieceSize])
		}
	}()
	written = int64(n)
	for err == nil {
		p := <-free
		n, err = fill(r, p[:])
		if n > 0 {
			if failed := write(p[:n]); failed != nil {
				n, err = 0, failed
			}
		}
		written += int64(n)
		if n > 0 {
			full <- p[:n]
		} else {
			free <- p
		}
	}
	close(full)
	<-done
	for range cap(free) {
		fo.pieces.Put(<-free)
	}
	return written, ended(err)
}

// fill reads until p is full, r ends, or it fails.
func fill(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var m int
		m, err = r.Read(p[n:])
		n += m
	}
	return n, err
}

func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
