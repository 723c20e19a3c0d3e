package admin

import (
	"errors"
	"net"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/people"
)

// loggedIn is who is at a browser: nobody else changes what proves them.
func loggedIn(c *gin.Context) (Actor, error) {
	a := actorOf(c.Request.Context())
	if a.Session != "" {
		return a, nil
	}
	p := api.NewProblem(api.KindState, http.StatusConflict, "only who is logged in to the console has that")
	p.Hint = "an administrator changes users: palisade user --help"
	return a, p
}

// ownProblem says what is wrong with a proof of who is logged in: they are known all the same.
func ownProblem(c *gin.Context, err error) error {
	if errors.Is(err, people.ErrWrong) {
		return badField("password", "", "is not the present one")
	}
	if errors.Is(err, people.ErrLocked) || errors.Is(err, people.ErrBusy) {
		return logInProblem(c, err)
	}
	return err
}

// renewed gives the browser that asks the new secret of its session.
func (s *server) renewed(c *gin.Context, a Actor, secret string) {
	if at := s.sessionOf(a); secret != "" && at != nil {
		s.setSession(c.Writer, c.Request, secret, at.CreatedAt.Add(s.sessionMost(*at)))
	}
}

// sessionOf is the log-in session of who asks; nil where there is none.
func (s *server) sessionOf(a Actor) *people.Session {
	if a.Session == "" {
		return nil
	}
	for _, v := range s.Users.Sessions(a.User.Name) {
		if v.ID == a.Session {
			return &v
		}
	}
	return nil
}

func (s *server) changePassword(c *gin.Context) error {
	var in api.PasswordChange
	if err := firstError(query(c).err, func() error { return decode(c, &in) }); err != nil {
		return err
	}
	a, err := loggedIn(c)
	if err != nil {
		return err
	}
	secret, err := s.Users.ChangePassword(c.Request.Context(), a.User.Name, people.Password{
		Old: in.Password, New: in.NewPassword, Address: s.fromOf(c.Request).Address, Session: a.Session,
	})
	if err != nil {
		return ownProblem(c, err)
	}
	s.renewed(c, a, secret)
	return noContent(c)
}

// issuerName is a host without its port: an authenticator takes a colon for the end of who issues codes.
func issuerName(host string) string {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		return strings.Trim(host, "[]")
	}
	return strings.ReplaceAll(name, ":", "-")
}

func (s *server) setUpTOTP(c *gin.Context) error {
	var in api.TOTPStart
	if err := firstError(query(c).err, func() error { return decode(c, &in) }); err != nil {
		return err
	}
	a, err := loggedIn(c)
	if err != nil {
		return err
	}
	ctx := c.Request.Context()
	if in.Code == "" {
		begun, err := s.Users.BeginTOTP(ctx, a.User.Name, "Palisade "+issuerName(c.Request.Host), s.shown(c, a, in.Password))
		if err != nil {
			return ownProblem(c, err)
		}
		c.Set(unworthy, true) // nothing is another yet
		picture, err := begun.Picture()
		if err != nil {
			return err
		}
		return respond(c, http.StatusOK, api.TOTP{Secret: begun.Secret, URL: begun.URL, Picture: picture})
	}
	codes, secret, err := s.Users.ConfirmTOTP(ctx, a.User.Name, in.Code, a.Session)
	if err != nil {
		return err
	}
	s.renewed(c, a, secret)
	return respond(c, http.StatusOK, api.TOTP{RecoveryCodes: codes})
}

// shown is what who is logged in shows to prove that it is them.
func (s *server) shown(c *gin.Context, a Actor, password string) people.Password {
	return people.Password{Old: password, Address: s.fromOf(c.Request).Address, Session: a.Session}
}

func (s *server) renewRecoveryCodes(c *gin.Context) error {
	var in api.RecoveryRenewal
	if err := firstError(query(c).err, func() error { return decode(c, &in) }); err != nil {
		return err
	}
	a, err := loggedIn(c)
	if err != nil {
		return err
	}
	codes, err := s.Users.RenewRecovery(c.Request.Context(), a.User.Name, s.shown(c, a, in.Password))
	if err != nil {
		return ownProblem(c, err)
	}
	return respond(c, http.StatusOK, api.TOTP{RecoveryCodes: codes})
}

func (s *server) dropTOTP(c *gin.Context) error {
	var in api.TOTPDrop
	if err := firstError(query(c).err, func() error { return decode(c, &in) }); err != nil {
		return err
	}
	a, err := loggedIn(c)
	if err != nil {
		return err
	}
	secret, err := s.Users.DropTOTP(c.Request.Context(), a.User.Name, s.shown(c, a, in.Password))
	if err != nil {
		return ownProblem(c, err)
	}
	s.renewed(c, a, secret)
	return noContent(c)
}

func (s *server) listOwnSessions(c *gin.Context) error {
	a, err := loggedIn(c)
	if err != nil {
		return err
	}
	return s.logInSessions(c, a.User.Name)
}

// logInSessions answers with those of a user.
func (s *server) logInSessions(c *gin.Context, user string) error {
	p := query(c, "limit", "cursor")
	if p.err != nil {
		return p.err
	}
	items := []api.LogInSession{}
	for _, v := range s.Users.Sessions(user) {
		items = append(items, api.LogInSession{
			ID: v.ID, Source: v.Source, Current: v.ID == actorOf(c.Request.Context()).Session, CreatedAt: v.CreatedAt.UTC(), LastSeen: v.LastSeen.UTC(),
			EndsAt: s.Users.Ends(v).UTC(), Address: v.Address, Agent: v.Agent,
		})
	}
	return respondPage(c, p, items, func(v api.LogInSession) string { return stamp(v.CreatedAt) + v.ID })
}

func (s *server) endOwnSession(c *gin.Context) error {
	a, err := loggedIn(c)
	if err := firstError(err, func() error { return query(c).err }); err != nil {
		return err
	}
	if err := s.Users.EndSession(c.Request.Context(), a.User.Name, c.Param("id")); err != nil {
		return err
	}
	if c.Param("id") == a.Session {
		s.clearSession(c.Writer, c.Request)
	}
	return noContent(c)
}

func (s *server) endOtherSessions(c *gin.Context) error {
	a, err := loggedIn(c)
	if err := firstError(err, func() error { return query(c).err }); err != nil {
		return err
	}
	if _, err := s.Users.EndSessions(c.Request.Context(), a.User.Name, a.Session); err != nil {
		return err
	}
	return noContent(c)
}
