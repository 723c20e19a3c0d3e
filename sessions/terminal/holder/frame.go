package holder

import (
	"encoding/binary"
	"errors"
)

// Kind says what a frame is.
type Kind byte

// The kinds. Who reads one that it does not know passes over it: the other side may be of another version.
const (
	KindHello   Kind = 'h' // the first, each way: Hello
	KindInput   Kind = 'i' // to the holder: what is typed
	KindOutput  Kind = 'o' // from the holder: what is shown
	KindTaken   Kind = 't' // each way: Number; so many bytes of the other's were taken in
	KindWindow  Kind = 'w' // to the holder: Window
	KindExit    Kind = 'x' // from the holder, last: Number; the wait status of the shell
	KindFailure Kind = 'f' // from either program, last: a Failure's byte and a sentence
	KindSay     Kind = 's' // to the holder, in place of a Hello: words to be shown to all
)

// Failure says why there is no terminal.
type Failure byte

// The failures.
const (
	FailedNoShell Failure = 'n' // nothing can be started that a person could type to
	FailedTooMany Failure = 'm' // the session has as many as it may have, or too many watch this one
	FailedElse    Failure = '?'
)

const (
	// MaxFrame is how many bytes a frame has beside its head.
	MaxFrame = 16 << 10
	// Ahead is how much may be under way, each way, that the other side has not said to have taken in: what is typed
	// must show its effect soon, also behind a flood.
	Ahead = 64 << 10
	head  = 3
)

// ErrFrame says that the other side does not keep to what was agreed.
var ErrFrame = errors.New("what comes from the other side is none of the terminal's frames")

// AppendFrame appends a frame to b. The body has MaxFrame bytes at most.
func AppendFrame(b []byte, k Kind, body []byte) []byte {
	return append(binary.BigEndian.AppendUint16(append(b, byte(k)), uint16(len(body))), body...)
}

// Number is the body of a frame that is one number.
func Number(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

// ReadNumber is Number's reverse.
func ReadNumber(body []byte) (uint32, error) {
	if len(body) != 4 {
		return 0, ErrFrame
	}
	return binary.BigEndian.Uint32(body), nil
}

// Window is a terminal's size in characters; nothing where it is not known.
type Window struct{ Rows, Columns uint16 }

// Body is the window as a frame has it.
func (w Window) Body() []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, w.Rows), w.Columns)
}

// ReadWindow is Body's reverse. A body may be longer: a later version says more.
func ReadWindow(body []byte) (Window, error) {
	if len(body) < 4 {
		return Window{}, ErrFrame
	}
	return Window{binary.BigEndian.Uint16(body), binary.BigEndian.Uint16(body[2:])}, nil
}

// Parser takes frames from bytes that come in pieces. It keeps no more than one frame.
type Parser struct {
	// Take is called for each frame; body is its own until it returns. An error ends the parsing.
	Take func(k Kind, body []byte) error
	kept []byte
}

// Write implements io.Writer.
func (p *Parser) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		want := head - len(p.kept)
		if want <= 0 {
			size := int(binary.BigEndian.Uint16(p.kept[1:]))
			if size > MaxFrame {
				return n - len(b), ErrFrame
			}
			want = head + size - len(p.kept)
		}
		got := min(want, len(b))
		p.kept, b = append(p.kept, b[:got]...), b[got:]
		if len(p.kept) < head || len(p.kept) < head+int(binary.BigEndian.Uint16(p.kept[1:])) {
			continue
		}
		if err := p.Take(Kind(p.kept[0]), p.kept[head:]); err != nil {
			return n - len(b), err
		}
		p.kept = p.kept[:0]
	}
	return n, nil
}
