package http1

import "errors"

// Error is a message that is refused. It is constant text: nothing of the message is repeated.
type Error struct {
	Status int // to answer with: 400, 431, 501 or 505
	Text   string
}

func (e *Error) Error() string { return e.Text }

func bad(text string) *Error { return &Error{400, text} }

// ErrIncomplete says that the head has not come to its end.
var ErrIncomplete = errors.New("the head is not complete")

// Why a message is refused.
var (
	errLine        = bad("the request line is not METHOD TARGET VERSION")
	errBareLF      = bad("a line of the head does not end with CR LF")
	errFold        = bad("a header is folded over two lines")
	errName        = bad("a header has no proper name")
	errValue       = bad("a header's value has a control character")
	errNoHost      = bad("the request has no Host")
	errTwoHosts    = bad("the request has more than one Host")
	errHost        = bad("the Host is malformed")
	errLength      = bad("the Content-Length is not one number")
	errBothLengths = bad("the message has both Content-Length and Transfer-Encoding")
	errOldChunked  = bad("HTTP/1.0 has no Transfer-Encoding")
	errConnection  = bad("the Connection names too many headers")
	errTrailerName = bad("a header may not come in the trailer")
	errChunk       = bad("a chunk is malformed")
	errTrailer     = bad("the trailer is too large or malformed")
	errStatusLine  = bad("the status line is malformed")
	errCoding      = &Error{501, "the Transfer-Encoding is not chunked alone"}
	errTooLarge    = &Error{431, "the head has more than 64 KiB or 256 headers"}
	errVersion     = &Error{505, "the version is not HTTP/1.0 or HTTP/1.1"}
)
