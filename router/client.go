package router

import (
	"context"
	"io"
	"time"

	"github.com/palisade-run/palisade/router/http1"
)

// client is the asking side of an exchange: our own small path, or net/http. Its methods are called from
// the goroutine of the exchange.
type client interface {
	// body reads the request's body, waiting so long for each piece of it.
	body(wait time.Duration) io.Reader
	// context ends when the client goes.
	context() context.Context
	// guard has c interrupted when the client goes, until it is called with nil.
	guard(c *engineConn)
	// left tells that the client has gone.
	left() bool

	// An answer is status, headers, begin, writes, end; nothing need go out before the first write.
	status(code int, reason []byte)
	header(name, value []byte)
	// begin ends the head. length is that of the body, -1 where it is not known; bodiless answers (to HEAD,
	// 204, 304) tell it though none follows.
	begin(length int64, bodiless bool)
	// write passes a piece of the body on. now: it must not wait for the next.
	write(p []byte, now bool) error
	end(trailer []http1.Field) error
	// interim passes on an answer before the answer.
	interim(res *http1.Response)
	// cut ends the answer so that nobody takes what came of it for the whole. It may not return.
	cut()
	// settle says that the request's bytes are not looked at any more.
	settle()
	// parts tells whether what is left of a stream is passed on by resume, which the client calls.
	parts() bool
	// drop says that what is left of the request's body will not be read for long.
	drop()
	// trailers are header lines that followed the request's body, and the empty line.
	trailers() []byte
	// duplex says that the answer may begin before the request's body has ended.
	duplex()
	// join answers an upgrade with the engine's 101 and makes one of both connections; it returns when both
	// sides have ended. rest is what the engine has said already.
	join(res *http1.Response, id []byte, c *engineConn, rest []byte) error
}
