package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/user"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"
	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/appliance/admin/keys"
	"github.com/palisade-run/palisade/appliance/api"
)

// DefaultProject is the project of a caller that names none.
const DefaultProject = "default"

// Actor is who asks.
type Actor struct {
	Name string // a user of the box, or an API key's name
	Via  string // "socket" or "key"
	Key  string // id of the API key; "" over the socket
}

type contextKey int

const (
	actorKey contextKey = iota
	requestIDKey
)

// LocalPeer marks a connection's context as that of a user of this box who came over the unix socket: who may open
// the socket may do everything.
func LocalPeer(ctx context.Context, user string) context.Context {
	return context.WithValue(ctx, actorKey, Actor{Name: user, Via: "socket"})
}

// ConnContext is an http.Server's ConnContext: it calls LocalPeer for connections over a unix socket, with
// the name of the user at the other end, and leaves all others as they are.
func ConnContext(ctx context.Context, conn net.Conn) context.Context {
	c, ok := conn.(*net.UnixConn)
	if !ok {
		return ctx
	}
	name := "local"
	raw, err := c.SyscallConn()
	if err != nil {
		return LocalPeer(ctx, name)
	}
	_ = raw.Control(func(fd uintptr) {
		cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		if err != nil {
			return
		}
		uid := strconv.FormatUint(uint64(cred.Uid), 10)
		name = "uid-" + uid
		if u, err := user.LookupId(uid); err == nil {
			name = u.Username
		}
	})
	return LocalPeer(ctx, name)
}

// IsLocal reports whether somebody came over the unix socket.
func IsLocal(ctx context.Context) bool { return actorOf(ctx).Via == "socket" }

// actorOf returns who asks; the zero Actor when nobody has said.
func actorOf(ctx context.Context) Actor {
	a, _ := ctx.Value(actorKey).(Actor)
	return a
}

// Identify tells who makes a request: a user of this box over the unix socket, or whoever shows a valid API key.
// keys.ErrRefused where it is nobody. A key is good even when its use could not be kept: then it comes with that error.
func Identify(r *http.Request, k Keys) (Actor, error) {
	ctx := r.Context()
	if a := actorOf(ctx); a.Via == "socket" {
		return a, nil
	}
	scheme, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	secret = strings.TrimSpace(secret)
	if !strings.EqualFold(scheme, "Bearer") || secret == "" {
		return Actor{}, errNoKey
	}
	key, err := k.Authenticate(ctx, secret)
	if key.ID == "" {
		return Actor{}, err
	}
	return Actor{Name: key.Name, Via: "key", Key: key.ID}, err
}

// errNoKey says that a request shows no API key at all.
var errNoKey = fmt.Errorf("%w: an API key is needed", keys.ErrRefused)

// authenticate lets through who came over the unix socket, or shows a valid API key.
func (s *server) authenticate(c *gin.Context) error {
	ctx := c.Request.Context()
	actor, err := Identify(c.Request, s.Keys)
	switch {
	case errors.Is(err, errNoKey):
		return unauthorized(c, "an API key is needed: Authorization: Bearer KEY")
	case actor.Via == "" && err != nil && !isRefusal(err):
		return err
	case actor.Via == "":
		return unauthorized(c, "the API key is unknown, or was revoked")
	case err != nil:
		s.Log.WarnContext(ctx, "API key's use was not kept", "key", actor.Key, "error", err)
	}
	c.Request = c.Request.WithContext(context.WithValue(ctx, actorKey, actor))
	return nil
}

func unauthorized(c *gin.Context, detail string) error {
	c.Header("WWW-Authenticate", `Bearer realm="palisade"`)
	p := api.NewProblem(api.KindUnauthorized, http.StatusUnauthorized, "%s", detail)
	p.Hint = "on the appliance's own box, `palisade key create NAME` makes one, and the command line needs none"
	return p
}
