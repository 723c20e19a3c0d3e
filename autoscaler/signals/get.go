package signals

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// getter asks for one page again and again, over a connection that it keeps. It is a client of its own because there is
// one for each route: net/http's holds two goroutines and two buffers for each idle connection. It follows no redirect,
// asks for no compression, and reads no more than its bounds. It is used by one goroutine at a time.
type getter struct {
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	address string // host:port
	host    string // as the head says it
	conn    net.Conn
}

// room is what reading takes; it is lent for one scrape.
type room struct {
	reader *bufio.Reader
	line   []byte
}

func newRoom() *room {
	return &room{reader: bufio.NewReaderSize(nil, 16<<10), line: make([]byte, longestLine)}
}

// errNoPage is an answer that is none of metrics.
var errNoPage = errors.New("no page of metrics")

// noPage is such an answer, in words.
type noPage string

func (e noPage) Error() string        { return string(e) }
func (e noPage) Is(target error) bool { return target == errNoPage }

// split gives what a getter needs of a URL.
func split(raw string) (address, host, path string, err error) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", "", "", fmt.Errorf("reading the address of a page: %w", err)
	}
	if u.Scheme != "http" || u.Hostname() == "" {
		return "", "", "", fmt.Errorf("%q is not http://HOST:PORT/PATH", raw)
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	path = u.RequestURI()
	return net.JoinHostPort(u.Hostname(), port), u.Host, path, nil
}

// get reads a page into p. ctx has the time by which all of it must be there.
func (g *getter) get(ctx context.Context, path string, p *page, r *room) error {
	for {
		kept := g.conn != nil
		err := g.try(ctx, path, p, r)
		if !(kept && errors.Is(err, errGone)) {
			return err
		}
	}
}

// errGone is a connection that ended before it answered: a kept one may have, at any time.
var errGone = errors.New("closed the connection without an answer")

func (g *getter) try(ctx context.Context, path string, p *page, r *room) (err error) {
	if g.conn == nil {
		if g.conn, err = g.dial(ctx, "tcp", g.address); err != nil {
			g.conn = nil
			return err
		}
	}
	conn, keep := g.conn, false
	if until, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(until); err != nil {
			return errors.Join(errGone, g.close())
		}
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer func() {
		if !stop() || !keep {
			_ = g.close()
		}
	}()
	if _, err := io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: "+g.host+"\r\nUser-Agent: palisade\r\n"+
		"Accept: text/plain;version=0.0.4, */*;q=0.1\r\nAccept-Encoding: identity\r\n\r\n"); err != nil {
		return gone(err)
	}
	limited := &io.LimitedReader{R: conn, N: mostBytes + 1}
	r.reader.Reset(limited)
	defer r.reader.Reset(nil)
	if _, err := r.reader.Peek(1); err != nil {
		return gone(err)
	}
	keep, err = answer(r, p, limited)
	return err
}

func gone(err error) error {
	if timedOut(err) {
		return err
	}
	return fmt.Errorf("%w: %w", errGone, err)
}

func timedOut(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout() || errors.Is(err, context.DeadlineExceeded)
}

func (g *getter) close() error {
	if g.conn == nil {
		return nil
	}
	err := g.conn.Close()
	g.conn = nil
	return err
}

// answer reads a head and a page, and reports whether the connection may be used again.
func answer(r *room, p *page, limited *io.LimitedReader) (keep bool, err error) {
	var head *http.Response
	for range 5 { // one and what went before it: 100, 103
		if head, err = http.ReadResponse(r.reader, nil); err != nil || head.StatusCode >= 200 {
			break
		}
	}
	switch {
	case limited.N <= 0:
		return false, errTooLarge
	case err != nil && timedOut(err):
		return false, err
	case err != nil:
		return false, noPage("its answer is not HTTP: " + plain(err.Error()))
	}
	defer head.Body.Close()
	if err := refuse(head); err != nil {
		return false, err
	}
	if err = p.read(head.Body, r.line); err != nil {
		switch {
		case limited.N <= 0:
			return false, errTooLarge
		case errors.Is(err, errTooMany) || timedOut(err):
			return false, err
		}
		return false, errors.New("its page broke off")
	}
	if limited.N <= 0 {
		return false, errTooLarge
	}
	if p.bad > p.good {
		return false, noPage(fmt.Sprintf("its page is none of metrics: it has %q", p.firstBad))
	}
	if !p.closed && strings.Contains(head.Header.Get("Content-Type"), "openmetrics") {
		return false, errors.New("its page broke off: there is no # EOF")
	}
	return !head.Close && r.reader.Buffered() == 0, nil
}

// refuse says what is wrong with an answer, by its head.
func refuse(head *http.Response) error {
	switch {
	case head.StatusCode >= 300 && head.StatusCode < 400:
		return noPage("it redirects to " + plain(head.Header.Get("Location")) + ", and redirects are not followed")
	case head.StatusCode != http.StatusOK:
		first, _ := io.ReadAll(io.LimitReader(head.Body, 512))
		said := fmt.Sprintf("it answered %d", head.StatusCode)
		if words := plain(string(first)); words != "" {
			said += ": " + words
		}
		return noPage(said)
	}
	if enc := head.Header.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		return noPage("its page is packed (" + plain(enc) + ") although it was asked not to")
	}
	if kind, _, err := mime.ParseMediaType(head.Header.Get("Content-Type")); err == nil && (kind == "text/html" || kind == "application/json") {
		return noPage("it answered with " + kind + ", which is no page of metrics")
	}
	return nil
}

// plain is what an engine said, fit for one line.
func plain(s string) string {
	s = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, " "))), " ")
	if r := []rune(s); len(r) > 160 {
		return string(r[:157]) + "..."
	}
	return s
}
