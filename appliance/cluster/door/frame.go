package door

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/palisade-run/palisade/sessions"
)

// What is said of a command that runs on another box: a byte that says what it is, the length of what follows in four, and that.
// A kind that is not known is passed over: it is of a later version.
const (
	// From who asks for the command.
	kindCommand = 'q' // JSON, first of all
	kindInput   = 'i' // of its stdin; no more ahead than was credited
	kindEnd     = 'e' // its stdin is over
	kindWindow  = 'w' // rows and columns, two bytes each
	kindSignal  = 's' // a byte
	kindKill    = 'k'
	// From where it runs.
	kindCredit = 'c' // four bytes: so many more of stdin may come
	kindOut    = 'o'
	kindErr    = 'x'
	kindExit   = 'z' // JSON: it is over
	kindFault  = 'f' // JSON: it could not be run, or was lost
)

// Bounds of frames.
const (
	mostFrame  = 1 << 20   // bytes
	mostPiece  = 32 << 10  // bytes of stdin, stdout or stderr in one
	aheadInput = 256 << 10 // bytes of stdin that nobody has read yet
)

var errFrame = errors.New("what came through the door is none of a command's frames")

// frames writes them, from several goroutines.
type frames struct {
	mu sync.Mutex
	w  io.Writer
	b  []byte
}

func (f *frames) write(kind byte, body []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.b = binary.BigEndian.AppendUint32(append(f.b[:0], kind), uint32(len(body)))
	f.b = append(f.b, body...)
	if _, err := f.w.Write(f.b); err != nil {
		return fmt.Errorf("telling another box of a command: %w", err)
	}
	return nil
}

// stream is a writer whose words are frames of one kind.
type stream struct {
	to   *frames
	kind byte
}

// Write implements io.Writer.
func (s stream) Write(p []byte) (int, error) {
	done := 0
	for done < len(p) {
		n := min(len(p)-done, mostPiece)
		if err := s.to.write(s.kind, p[done:done+n]); err != nil {
			return done, err
		}
		done += n
	}
	return done, nil
}

// frameReader reads them.
type frameReader struct {
	r      io.Reader
	buffer []byte
}

// next returns the next one. Its body is good until it is called again.
func (f *frameReader) next() (kind byte, body []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(f.r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n > mostFrame {
		return 0, nil, errFrame
	}
	if int(n) > cap(f.buffer) {
		f.buffer = make([]byte, n)
	}
	body = f.buffer[:n]
	if _, err := io.ReadFull(f.r, body); err != nil {
		return 0, nil, err
	}
	return head[0], body, nil
}

func windowBody(w sessions.Window) []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, w.Rows), w.Columns)
}

func readWindow(body []byte) (sessions.Window, error) {
	if len(body) != 4 {
		return sessions.Window{}, errFrame
	}
	return sessions.Window{Rows: binary.BigEndian.Uint16(body), Columns: binary.BigEndian.Uint16(body[2:])}, nil
}

func creditBody(n int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }

func readCredit(body []byte) (int, error) {
	if len(body) != 4 {
		return 0, errFrame
	}
	n := binary.BigEndian.Uint32(body)
	if n > aheadInput {
		return 0, errFrame
	}
	return int(n), nil
}
