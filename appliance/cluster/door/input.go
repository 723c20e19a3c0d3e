package door

import (
	"io"
	"sync"
)

// input is a command's stdin as it comes from another box: no more of it waits here than was credited, so whoever reads frames
// never waits for the command.
type input struct {
	credit func(n int) // so many bytes were read

	mu     sync.Mutex
	some   sync.Cond
	bytes  []byte
	unsaid int // bytes that were read and not credited yet
	over   error
}

func newInput(credit func(n int)) *input {
	in := &input{credit: credit}
	in.some.L = &in.mu
	return in
}

// put takes what has come. errFrame where it is more than may.
func (in *input) put(p []byte) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.bytes)+in.unsaid+len(p) > aheadInput {
		return errFrame
	}
	if in.over == nil {
		in.bytes = append(in.bytes, p...)
		in.some.Broadcast()
	}
	return nil
}

// end says that nothing more comes: io.EOF, or why not.
func (in *input) end(why error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.over == nil {
		in.over = why
		in.some.Broadcast()
	}
}

// Read implements io.Reader.
func (in *input) Read(p []byte) (int, error) {
	in.mu.Lock()
	for len(in.bytes) == 0 && in.over == nil {
		in.some.Wait()
	}
	n := copy(p, in.bytes)
	if n == 0 {
		defer in.mu.Unlock()
		return 0, in.over
	}
	in.bytes = in.bytes[n:]
	in.unsaid += n
	said := 0
	if in.unsaid >= aheadInput/4 || len(in.bytes) == 0 {
		said, in.unsaid = in.unsaid, 0
	}
	in.mu.Unlock()
	if said > 0 {
		in.credit(said)
	}
	return n, nil
}

var _ io.Reader = (*input)(nil)

// allowance is how much of stdin may be sent yet.
type allowance struct {
	mu   sync.Mutex
	more sync.Cond
	left int
	over bool
}

func newAllowance() *allowance {
	a := &allowance{left: aheadInput}
	a.more.L = &a.mu
	return a
}

// take waits until anything may be sent and returns how much of n may; 0: nothing any more.
func (a *allowance) take(n int) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.left == 0 && !a.over {
		a.more.Wait()
	}
	if a.over {
		return 0
	}
	n = min(n, a.left)
	a.left -= n
	return n
}

func (a *allowance) give(n int) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.left+n > aheadInput {
		return errFrame
	}
	a.left += n
	a.more.Broadcast()
	return nil
}

func (a *allowance) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.over = true
	a.more.Broadcast()
}
