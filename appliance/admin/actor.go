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
	"github.com/palisade-run/palisade/appliance/people"
)

// DefaultProject is the project of a caller that names none.
const DefaultProject = "default"

// Actor is who asks.
type Actor struct {
	Name    string      // of a user; of somebody of this box; an API key's name
	Via     string      // "socket", "key" or "console"
	Key     string      // id of the API key, else ""
	Session string      // id of the log-in session of a browser, else ""
	User    people.User // zero where it is none of the appliance's users
	Admin   bool        // may do everything, everywhere
	Scope   keys.Scope  // of an API key: the most of what its owner may
	Project string      // the one that an API key opens; "": it has no such bound
	// Elsewhere is that the socket is another box's of the cluster: what this box reaches is not for who sits there.
	Elsewhere bool
}

type contextKey int

const (
	actorKey contextKey = iota
	requestIDKey
)

// LocalPeer marks a connection's context as that of a user of this box who came over the unix socket: who may open
// the socket may do everything.
func LocalPeer(ctx context.Context, user string) context.Context {
	return context.WithValue(ctx, actorKey, Actor{Name: user, Via: "socket", Admin: true})
}

// OtherPeer is LocalPeer for a user of another box of the cluster, who came over the socket there.
func OtherPeer(ctx context.Context, user string) context.Context {
	return context.WithValue(ctx, actorKey, Actor{Name: user, Via: viaSocket, Admin: true, Elsewhere: true})
}

// As marks a context as that of somebody whom another door of the appliance has let in.
func As(ctx context.Context, a Actor) context.Context { return context.WithValue(ctx, actorKey, a) }

// ActorOf is somebody as other rooms know them: a user, whoever came with an API key, or where both are "", somebody of this box
// itself. What they may is to be asked with Again.
func ActorOf(name, user, key string) Actor {
	switch {
	case key != "":
		return Actor{Name: name, Via: viaKey, Key: key}
	case user != "":
		return Actor{Name: user, Via: byCookie, User: people.User{Name: user}}
	}
	return Actor{Name: name, Via: viaSocket, Admin: true}
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

// BySocket reports whether somebody came over a unix socket, of this box or of another one of its cluster.
func BySocket(ctx context.Context) bool { return actorOf(ctx).Via == viaSocket }

// IsLocal reports whether somebody came over the unix socket of this box.
func IsLocal(ctx context.Context) bool { return BySocket(ctx) && !actorOf(ctx).Elsewhere }

// LocalUser is the user of this box who came over the unix socket; "": somebody else. Another box may be told it: OtherPeer.
func LocalUser(ctx context.Context) string {
	if a := actorOf(ctx); IsLocal(ctx) {
		return a.Name
	}
	return ""
}

// actorOf returns who asks; the zero Actor when nobody has said.
func actorOf(ctx context.Context) Actor {
	a, _ := ctx.Value(actorKey).(Actor)
	return a
}

// LogIns know who is logged in. *people.Book is one.
type LogIns interface {
	Authenticate(secret string) (people.User, people.Session, context.Context, error)
}

// Identify tells who makes a request: a user of this box over the unix socket, whoever shows a valid API key, or whoever is
// logged in with a browser. keys.ErrRefused or people.ErrRefused where it is nobody. A key is good even when its use could not
// be kept: then it comes with that error.
func (s Rights) Identify(r *http.Request, l LogIns) (Actor, error) {
	actor, _, err := s.identify(r, l)
	return actor, err
}

// identify is Identify with a context that ends when the log-in session of a browser is ended; nil where it is none.
func (s Rights) identify(r *http.Request, l LogIns) (Actor, context.Context, error) {
	ctx := r.Context()
	if a := actorOf(ctx); a.Via != "" { // the socket, or another door of ours, has said who it is
		a, may := s.Again(a)
		if !may {
			return Actor{}, nil, errSuspended
		}
		return a, nil, nil
	}
	scheme, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	secret = strings.TrimSpace(secret)
	if strings.EqualFold(scheme, "Bearer") && secret != "" {
		key, err := s.Keys.Authenticate(ctx, secret)
		if key.ID == "" {
			return Actor{}, nil, err
		}
		a, may := s.ofKey(key)
		if !may {
			return Actor{}, nil, errSuspended
		}
		return a, nil, err
	}
	if secret = sessionSecret(r); secret == "" || l == nil {
		return Actor{}, nil, errNobody
	}
	u, session, at, err := l.Authenticate(secret)
	if err != nil {
		return Actor{}, nil, err
	}
	return Actor{Name: u.Name, Via: byCookie, Session: session.ID, User: u, Admin: u.Admin}, at, nil
}

var (
	// errNobody says that a request shows nothing of anybody.
	errNobody = fmt.Errorf("%w: an API key is needed", keys.ErrRefused)
	// errSuspended says that the user who answers for a key was disabled or removed.
	errSuspended = fmt.Errorf("%w: the owner of the API key may not log in any more", keys.ErrRefused)
)

// authenticate lets through who came over the unix socket, shows a valid API key, or is logged in. done is to be called when the
// request is answered.
func (s *server) authenticate(c *gin.Context) (done func(), err error) {
	ctx := c.Request.Context()
	actor, at, err := s.rights.identify(c.Request, s.Users)
	switch {
	case errors.Is(err, errNobody):
		return nil, unauthorized(c, "an API key is needed: Authorization: Bearer KEY")
	case errors.Is(err, people.ErrRefused):
		p := api.NewProblem(api.KindUnauthorized, http.StatusUnauthorized, "the log-in has expired, or was ended")
		p.Hint = "log in again"
		return nil, p
	case actor.Via == "" && err != nil && !isRefusal(err):
		return nil, err
	case actor.Via == "":
		return nil, unauthorized(c, refusedKey(err))
	case err != nil:
		s.Log.WarnContext(ctx, "API key's use was not kept", "key", actor.Key, "error", err)
	}
	if actor.Via == byCookie {
		if err := ownPage(c.Request, s.PublicURL); err != nil {
			return nil, err
		}
	}
	ctx, done = context.WithValue(ctx, actorKey, actor), func() {}
	if at != nil && c.Request.Method == http.MethodGet { // what is watched ends with the log-in; what is being changed is finished
		ctx, done = bound(ctx, at)
	}
	c.Request = c.Request.WithContext(ctx)
	return done, nil
}

// refusedKey says why a key is refused. Who has its secret may know.
func refusedKey(err error) string {
	if e, ok := errors.AsType[*keys.Expired](err); ok {
		return e.Error()
	}
	if errors.Is(err, errSuspended) {
		return "the owner of the API key may not log in any more"
	}
	return "the API key is unknown, or was revoked"
}

// bound is ctx that ends when open does, too.
func bound(ctx, at context.Context) (context.Context, func()) {
	own, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(at, func() { cancel(context.Cause(at)) })
	return own, func() { stop(); cancel(nil) }
}

func unauthorized(c *gin.Context, detail string) error {
	c.Header("WWW-Authenticate", `Bearer realm="palisade"`)
	p := api.NewProblem(api.KindUnauthorized, http.StatusUnauthorized, "%s", detail)
	p.Hint = "on the appliance's own box, `palisade key create NAME` makes one, and the command line needs none"
	return p
}
