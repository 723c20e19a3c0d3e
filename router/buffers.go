package router

import "sync"

// buffer is a piece of memory that is used again.
type buffer struct {
	bytes []byte
	class int
}

// sizes of buffers: most requests and events; bodies with some history; and what a body that is kept
// whole may take with its head.
var bufferSizes = [...]int{8 << 10, 64 << 10, 256 << 10, replayLimit + 128<<10}

// buffers gives out memory by size. Nothing is cleared: who takes one writes before reading.
type buffers struct{ pools [len(bufferSizes)]sync.Pool }

// small is for a head, an event, or the answer to a short question.
func (b *buffers) small() *buffer { return b.get(0) }

// get gives one of at least n bytes, nil where n is more than there are.
func (b *buffers) get(n int) *buffer {
	for class, size := range bufferSizes {
		if n > size {
			continue
		}
		if have, ok := b.pools[class].Get().(*buffer); ok {
			return have
		}
		return &buffer{bytes: make([]byte, size), class: class}
	}
	return nil
}

// put takes one back; nil is none.
func (b *buffers) put(have *buffer) {
	if have != nil {
		b.pools[have.class].Put(have)
	}
}
