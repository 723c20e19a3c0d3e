package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	xssh "golang.org/x/crypto/ssh"

	"github.com/palisade-run/palisade/appliance/ssh/authorized"
)

// mostTries is how many keys one connection may show: an agent shows all that it has.
const mostTries = 10

// login is somebody at the door. Its methods are called by one goroutine.
type login struct {
	server *Server
	world  *World
	from   string
	user   string
	key    authorized.Key // with which it came in
	shown  []string       // fingerprints of wrong keys
}

// errUnknownKey is told to nobody: a client sees only which methods are left.
var errUnknownKey = errors.New("the key is not known here")

// config is what the handshake goes by. Only public keys count, and they count alone: whether the session exists is said
// later, to who may know.
func (l *login) config() *xssh.ServerConfig {
	c := &xssh.ServerConfig{
		ServerVersion: "SSH-2.0-Palisade", MaxAuthTries: mostTries,
		PublicKeyAuthAlgorithms: []string{
			xssh.KeyAlgoED25519, xssh.KeyAlgoSKED25519, xssh.KeyAlgoSKECDSA256, xssh.KeyAlgoECDSA256, xssh.KeyAlgoECDSA384, xssh.KeyAlgoECDSA521,
			xssh.KeyAlgoRSASHA512, xssh.KeyAlgoRSASHA256,
		},
		PublicKeyCallback: l.show,
		VerifiedPublicKeyCallback: func(_ xssh.ConnMetadata, public xssh.PublicKey, p *xssh.Permissions, _ string) (*xssh.Permissions, error) {
			return p, l.comeIn(public)
		},
	}
	c.AddHostKey(l.server.host)
	return c
}

// show is asked for each key, before it is known whether its owner has it.
func (l *login) show(meta xssh.ConnMetadata, public xssh.PublicKey) (*xssh.Permissions, error) {
	l.user = meta.User()
	if _, known := l.world.find(public); known {
		return &xssh.Permissions{}, nil
	}
	l.shown = append(l.shown, xssh.FingerprintSHA256(public))
	time.Sleep(l.server.door.failed(l.from, time.Now())) // bounded, as are those who may wait here
	return nil, errUnknownKey
}

// comeIn is called once the owner has shown that the key is theirs. It may have been removed since it was looked at.
func (l *login) comeIn(public xssh.PublicKey) error {
	key, known := l.world.find(public)
	if !known {
		return errUnknownKey
	}
	l.key = key
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := l.world.Keys.Used(ctx, key.ID); err != nil {
		l.server.log.Warn("that an SSH key was used could not be kept", "error", err)
	}
	return nil
}

// refused notes who was not let in. Who only looked whether something answers is not worth a line.
func (l *login) refused(err error) {
	if len(l.shown) == 0 {
		if !errors.Is(err, io.EOF) && !isTimeout(err) {
			l.server.log.Debug("an SSH connection came to nothing", "address", l.from, "error", err)
		}
		return
	}
	l.server.log.Warn("somebody was not let in by SSH", "address", l.from, "user", clip(l.user), "keys", l.shown[:min(len(l.shown), 5)], "tries", len(l.shown))
}

func isTimeout(err error) bool {
	ne, ok := errors.AsType[net.Error](err)
	return ok && ne.Timeout()
}

// clip keeps what a stranger says short.
func clip(s string) string {
	const most = 80
	if len(s) > most {
		return fmt.Sprintf("%.*q...", most, s)
	}
	return s
}
