package process

import (
	"io"
	"os"
	"sync"
	"time"

	"github.com/palisade-run/palisade/sessions"
)

// stdio connects a command's three descriptors with what an ExecSpec gives for them.
type stdio struct {
	theirs  [3]*os.File
	ours    []io.Closer
	output  []*os.File // our ends of its output
	copying sync.WaitGroup
}

func openStdio(cmd sessions.ExecSpec) (_ *stdio, err error) {
	s := &stdio{}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if err := s.input(cmd.Stdin); err != nil {
		return nil, err
	}
	for i, w := range []io.Writer{1: cmd.Stdout, 2: cmd.Stderr} {
		if i == 0 {
			continue
		}
		if i == 2 && w != nil && w == cmd.Stdout { // so that what it writes stays in order
			s.theirs[2] = s.theirs[1]
			continue
		}
		if err := s.outputTo(i, w); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *stdio) null(i int) (err error) {
	s.theirs[i], err = os.OpenFile(os.DevNull, os.O_RDWR, 0)
	return err
}

func (s *stdio) input(r io.Reader) error {
	if r == nil {
		return s.null(0)
	}
	pr, pw, err := os.Pipe()
	if err != nil {
		return err
	}
	s.theirs[0] = pr
	s.ours = append(s.ours, pw)
	go func() { // ends with r, or with the pipe
		_, _ = io.Copy(pw, r)
		pw.Close()
	}()
	return nil
}

func (s *stdio) outputTo(i int, w io.Writer) error {
	if w == nil {
		return s.null(i)
	}
	pr, pw, err := os.Pipe()
	if err != nil {
		return err
	}
	s.theirs[i] = pw
	s.output = append(s.output, pr)
	s.copying.Go(func() { _, _ = io.Copy(w, pr) })
	return nil
}

// finish takes in what the command has written before it ended. What it left running in the background
// may hold on to its output: that is waited for no longer than a moment.
func (s *stdio) finish() {
	for _, f := range s.theirs {
		f.Close()
	}
	for _, f := range s.output {
		_ = f.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
	}
	s.copying.Wait()
}

func (s *stdio) close() {
	for _, f := range s.theirs {
		if f != nil {
			f.Close()
		}
	}
	for _, c := range s.ours {
		c.Close()
	}
	for _, f := range s.output {
		f.Close()
	}
}
