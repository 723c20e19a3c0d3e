package ssh

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	xssh "golang.org/x/crypto/ssh"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/pid1"
)

// forwardPort connects a channel with a port of the session.
func (c *connection) forwardPort(ch xssh.NewChannel) {
	var wish struct {
		Host       string
		Port       uint32
		OriginHost string
		OriginPort uint32
	}
	if err := xssh.Unmarshal(ch.ExtraData(), &wish); err != nil {
		_ = ch.Reject(xssh.ConnectionFailed, "the request cannot be read")
		return
	}
	s, err := c.current()
	if err == nil && !within(s, wish.Host) {
		_ = ch.Reject(xssh.Prohibited, fmt.Sprintf("only the session's own ports are forwarded: write localhost in place of %s", clip(wish.Host)))
		return
	}
	var conn net.Conn
	if err == nil {
		conn, err = c.world.Sessions.Dial(c.ctx, s.Project, s.ID, int(wish.Port))
	}
	if err != nil {
		_ = ch.Reject(xssh.ConnectionFailed, withHint(err))
		return
	}
	defer conn.Close()
	channel, requests, err := ch.Accept()
	if err != nil {
		return
	}
	go xssh.DiscardRequests(requests)
	c.join(channel, conn)
}

// within reports whether a host is the session itself.
func within(s sessions.Session, host string) bool {
	host = strings.TrimSuffix(strings.ToLower(strings.Trim(host, "[]")), ".")
	if ip := net.ParseIP(host); ip != nil {
		own, _, err := net.SplitHostPort(s.Address)
		if err != nil {
			own = s.Address
		}
		return ip.IsLoopback() || ip.IsUnspecified() || ip.Equal(net.ParseIP(own))
	}
	return host == "" || host == "localhost" || host == "*" || host == strings.ToLower(s.Name)
}

// join copies both ways, each to its end.
func (c *connection) join(channel xssh.Channel, conn net.Conn) {
	defer channel.Close()
	stop := make(chan struct{})
	defer close(stop)
	go func() { // whoever ends the connection does not wait for what is forwarded
		select {
		case <-c.ctx.Done():
			_ = conn.Close()
			_ = channel.Close()
		case <-stop:
		}
	}()
	up := make(chan struct{})
	go func() {
		defer close(up)
		_, err := io.Copy(conn, channel)
		half, ok := conn.(interface{ CloseWrite() error })
		if err != nil || !ok || half.CloseWrite() != nil {
			_ = conn.Close()
		}
	}()
	_, err := io.Copy(channel, conn)
	_ = channel.CloseWrite()
	if err != nil {
		return
	}
	<-up
}

// forwardSocket connects a channel with a unix socket of the session, by way of a program in it: whose sockets may be used
// is decided there.
func (c *connection) forwardSocket(ch xssh.NewChannel) {
	var wish struct {
		Path     string
		Reserved string
		Unused   uint32
	}
	if err := xssh.Unmarshal(ch.ExtraData(), &wish); err != nil || !strings.HasPrefix(wish.Path, "/") || strings.ContainsRune(wish.Path, 0) {
		_ = ch.Reject(xssh.ConnectionFailed, "a path of a socket is wanted, from the root")
		return
	}
	if _, err := c.current(); err != nil {
		_ = ch.Reject(xssh.ConnectionFailed, withHint(err))
		return
	}
	channel, requests, err := ch.Accept()
	if err != nil {
		return
	}
	defer channel.Close()
	r := newRun(c, channel)
	defer r.cancel(nil)
	go func() {
		xssh.DiscardRequests(requests)
		r.gone(true)
	}()
	// What went wrong is seen as a socket that closes at once.
	_, _ = r.exec(sessions.ExecSpec{Argv: []string{pid1.PathInit, "connect", wish.Path}, Stdin: channel, Stdout: channel})
	_ = channel.CloseWrite()
}

// withHint is an error in one line.
func withHint(err error) string {
	text := err.Error()
	if h, ok := errors.AsType[interface {
		error
		Hint() string
	}](err); ok && h.Hint() != "" {
		text += " (" + h.Hint() + ")"
	}
	return plain(text)
}

// variables are what programs expect of a server of SSH.
func (c *connection) variables() map[string]string {
	here, there := c.crypt.LocalAddr().String(), c.crypt.RemoteAddr().String()
	hereHost, herePort, err := net.SplitHostPort(here)
	thereHost, therePort, err2 := net.SplitHostPort(there)
	if cmp.Or(err, err2) != nil {
		return nil
	}
	if _, err := strconv.Atoi(therePort); err != nil {
		return nil
	}
	return map[string]string{
		"SSH_CONNECTION": strings.Join([]string{thereHost, therePort, hereHost, herePort}, " "),
		"SSH_CLIENT":     strings.Join([]string{thereHost, therePort, herePort}, " "),
	}
}
