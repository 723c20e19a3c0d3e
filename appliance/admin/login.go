package admin

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/people"
)

// Users are who may log in, and who is logged in. *people.Book is one.
type Users interface {
	LogIns
	OwnProof
	UserBook
	LogIn(ctx context.Context, t people.Try) (people.Entry, error)
	LogInWith(ctx context.Context, o people.Outside, from people.From) (people.Entry, error)
	LogOut(ctx context.Context, secret string) error
	// MustTOTP reports whether a user has to set a second factor up before all else.
	MustTOTP(u *people.User) bool
	// Ends is when a session ends if it is not used from now on.
	Ends(s people.Session) time.Time
	Sessions(user string) []people.Session
	// User returns one by name, whether they may log in or not.
	User(name string) (people.User, error)
}

// fromOf is where a log-in comes from.
func (s *server) fromOf(r *http.Request) people.From {
	return people.From{Address: s.addressOf(r), Agent: r.UserAgent(), Replaces: sessionSecret(r)}
}

func (s *server) enterUser(c *gin.Context) error {
	var in api.LogIn
	if err := firstError(query(c).err, func() error { return decode(c, &in) }); err != nil {
		return err
	}
	r := c.Request
	who := shortText(people.Fold(in.Name), auditNames)
	c.Request = r.WithContext(context.WithValue(r.Context(), actorKey, Actor{Name: who, Via: byCookie}))
	e, err := s.Users.LogIn(r.Context(), people.Try{From: s.fromOf(r), Name: in.Name, Password: in.Password, Code: in.Code})
	if err != nil {
		return logInProblem(c, err)
	}
	s.setSession(c.Writer, r, e.Secret, e.Session.CreatedAt.Add(s.sessionMost(e.Session)))
	return respond(c, http.StatusOK, s.meOf(Actor{Name: e.User.Name, Via: byCookie, Session: e.Session.ID, User: e.User, Admin: e.User.Admin}, &e.Session))
}

// sessionMost is how long a browser keeps a cookie: the session may end before.
func (s *server) sessionMost(v people.Session) time.Duration {
	v.LastSeen = v.CreatedAt.AddDate(10, 0, 0)
	return s.Users.Ends(v).Sub(v.CreatedAt)
}

// logInProblem says why somebody is not let in, and when they may try again.
func logInProblem(c *gin.Context, err error) error {
	var p *api.Problem
	locked, isLocked := errors.AsType[*people.Locked](err)
	switch {
	case isLocked:
		p = api.NewProblem(api.KindLocked, http.StatusTooManyRequests, "%s", locked.Error())
		p.Hint = "an administrator can give a new password: palisade user reset NAME, on the appliance's own box"
		c.Header("Retry-After", strconv.Itoa(int(math.Ceil(locked.After.Seconds()))))
		if locked.Again {
			c.Set(unworthy, true)
		}
	case errors.Is(err, people.ErrCode):
		p = api.NewProblem(api.KindCode, http.StatusUnauthorized, "a code of the second factor is needed")
		p.Hint = "the authenticator shows it; who has lost it gives one of the recovery codes"
	case errors.Is(err, people.ErrWrong):
		p = api.NewProblem(api.KindUnauthorized, http.StatusUnauthorized, "name, password or code is wrong")
	case errors.Is(err, people.ErrBusy):
		p = api.NewProblem(api.KindUnavailable, http.StatusServiceUnavailable, "too many log in at once")
		p.Hint = "try again in a moment"
		c.Header("Retry-After", "1")
		c.Set(unworthy, true)
	default:
		return err
	}
	return p
}

func (s *server) leaveUser(c *gin.Context) error {
	if p := query(c); p.err != nil {
		return p.err
	}
	if secret := sessionSecret(c.Request); secret != "" {
		if actor, _, err := s.rights.identify(c.Request, s.Users); err == nil { // the record says whose it was
			c.Request = c.Request.WithContext(context.WithValue(c.Request.Context(), actorKey, actor))
		}
		if err := s.Users.LogOut(c.Request.Context(), secret); err != nil {
			return err
		}
		s.clearSession(c.Writer, c.Request)
	}
	return noContent(c)
}

func (s *server) getMe(c *gin.Context) error {
	if p := query(c); p.err != nil {
		return p.err
	}
	a := actorOf(c.Request.Context())
	return respond(c, http.StatusOK, s.meOf(a, s.sessionOf(a)))
}

// meOf is what somebody is told of themselves; at is their log-in session, if any.
func (s *server) meOf(a Actor, at *people.Session) api.Me {
	u := &a.User
	out := api.Me{
		Name: a.Name, DisplayName: u.DisplayName, Email: u.Email, Via: a.Via, Source: u.Source, Admin: a.Admin,
		TOTP: u.TOTP, MustChange: u.MustChange, Recovery: len(u.Recovery), Session: a.Session,
		Scope: string(a.Scope), Projects: s.partsOf(a),
	}
	if u.Name != "" {
		out.MustTOTP = s.Users.MustTOTP(u)
	}
	if at != nil {
		out.EndsAt = new(s.Users.Ends(*at).UTC())
	}
	return out
}

// unfinished refuses a log-in all but what it has to begin with, and to ask who it is:
//  1. a password that somebody else knows is changed, before a second factor too: who has read it on its way must not bind the
//     user to an authenticator of their own;
//  2. then a second factor is set up, where one has to be.
func (s *server) unfinished(c *gin.Context, n need) error {
	a := actorOf(c.Request.Context())
	if a.Session == "" || n.role() == open {
		return nil
	}
	route := c.Request.Method + " " + strings.TrimPrefix(c.FullPath(), api.Prefix)
	if route == "GET /me" || route == "GET /version" {
		return nil
	}
	if a.User.MustChange { // 1
		if route == "PUT /me/password" {
			return nil
		}
		p := api.NewProblem(api.KindPassword, http.StatusForbidden, "the password has to be changed before anything else")
		p.Hint = "change it in the console, or by PUT " + api.Prefix + "/me/password"
		return p
	}
	if !s.Users.MustTOTP(&a.User) || strings.Contains(route, " /me/") { // 2
		return nil
	}
	p := api.NewProblem(api.KindFactor, http.StatusForbidden, "a second factor has to be set up before anything else")
	p.Hint = "set it up with an authenticator, in the console at your own page"
	return p
}
