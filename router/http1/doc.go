// Package http1 reads and writes the heads and the framing of HTTP/1.1 messages (RFC 9112) as bytes. It
// does no I/O, allocates nothing that it does not reuse, and is strict where leniency lets a request hide
// in another one: what two readers could read in two ways is refused. It knows neither addresses nor
// tokens nor routes.
package http1
