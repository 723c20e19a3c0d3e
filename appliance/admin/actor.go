package admin

import (
	"context"
	"net"
	"net/http"
	"os/user"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"
	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/appliance/api"
)

// DefaultProject is the project of a caller that names none.
const DefaultProject = "default"

// Actor is who asks.
type Actor struct {
	Name string // a user of the box, or an API key's name
	Via  string // "socket" or "key"
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

// actorOf returns who asks; the zero Actor when nobody has said.
func actorOf(ctx context.Context) Actor {
	a, _ := ctx.Value(actorKey).(Actor)
	return a
}

// authenticate lets through who came over the unix socket, or shows a valid API key.
func (s *server) authenticate(c *gin.Context) error {
	ctx := c.Request.Context()
	if actorOf(ctx).Via == "socket" {
		return nil
	}
	header := c.GetHeader("Authorization")
	scheme, secret, _ := strings.Cut(header, " ")
	secret = strings.TrimSpace(secret)
	if header == "" || !strings.EqualFold(scheme, "Bearer") || secret == "" {
		return unauthorized(c, "an API key is needed: Authorization: Bearer KEY")
	}
	key, err := s.Keys.Authenticate(ctx, secret)
	if key.ID == "" {
		if err != nil && !isRefusal(err) {
			return err
		}
		return unauthorized(c, "the API key is unknown, or was revoked")
	}
	if err != nil {
		s.Log.WarnContext(ctx, "API key's use was not kept", "key", key.ID, "error", err)
	}
	c.Request = c.Request.WithContext(context.WithValue(ctx, actorKey, Actor{Name: key.Name, Via: "key"}))
	return nil
}

func unauthorized(c *gin.Context, detail string) error {
	c.Header("WWW-Authenticate", `Bearer realm="palisade"`)
	p := api.NewProblem(api.KindUnauthorized, http.StatusUnauthorized, "%s", detail)
	p.Hint = "on the appliance's own box, `palisade key create NAME` makes one, and the command line needs none"
	return p
}
