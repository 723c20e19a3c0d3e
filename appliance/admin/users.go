package admin

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/people"
)

// OwnProof are what people change of what proves them.
type OwnProof interface {
	ChangePassword(ctx context.Context, name string, p people.Password) (secret string, err error)
	BeginTOTP(ctx context.Context, name, issuer string, p people.Password) (people.TOTP, error)
	ConfirmTOTP(ctx context.Context, name, code, session string) (recovery []string, secret string, err error)
	DropTOTP(ctx context.Context, name string, p people.Password) (secret string, err error)
	RenewRecovery(ctx context.Context, name string, p people.Password) (codes []string, err error)
	EndSession(ctx context.Context, user, id string) error
	EndSessions(ctx context.Context, user, except string) (int, error)
}

// UserBook is how an administrator says who may log in.
type UserBook interface {
	User(name string) (people.User, error)
	Users() []people.User
	Create(ctx context.Context, w people.Wish) (u people.User, drawn string, err error)
	Update(ctx context.Context, name string, c people.Change) (people.User, error)
	Remove(ctx context.Context, name string) error
	Reset(ctx context.Context, name string, factor bool) (drawn string, err error)
}

func (s *server) user(u people.User) api.User {
	return api.User{
		Name: u.Name, DisplayName: u.DisplayName, Email: u.Email, Admin: u.Admin, Source: u.Source, Issuer: u.Issuer, Subject: u.Subject,
		TOTP: u.TOTP, MustChange: u.MustChange, Disabled: !u.DisabledAt.IsZero(), Sessions: len(s.Users.Sessions(u.Name)),
		CreatedAt: u.CreatedAt.UTC(), CreatedBy: u.CreatedBy, LastLogIn: timePtr(u.LastLogIn), DisabledAt: timePtr(u.DisabledAt),
	}
}

// findUser returns one, or which was perhaps meant.
func (s *server) findUser(name string) (people.User, error) {
	u, err := s.Users.User(name)
	return u, s.nearUser(err, name)
}

func (s *server) nearUser(err error, name string) error {
	return withNearest(err, name, func() []string {
		var names []string
		for _, u := range s.Users.Users() {
			names = append(names, u.Name)
		}
		return names
	})
}

func (s *server) listUsers(c *gin.Context) error {
	p := query(c, "limit", "cursor")
	if p.err != nil {
		return p.err
	}
	items := []api.User{}
	for _, u := range s.Users.Users() {
		items = append(items, s.user(u))
	}
	return respondPage(c, p, items, func(u api.User) string { return u.Name })
}

func (s *server) getUser(c *gin.Context) error {
	if p := query(c); p.err != nil {
		return p.err
	}
	u, err := s.findUser(c.Param("name"))
	if err != nil {
		return err
	}
	out := s.user(u)
	for _, m := range s.Projects.Parts(u.Name) {
		p, _ := s.Projects.Find(m.Project)
		out.Projects = append(out.Projects, api.MyProject{Name: m.Project, Title: p.Title, Role: m.Role.String()})
	}
	return respond(c, http.StatusOK, out)
}

func (s *server) createUser(c *gin.Context) error {
	var in api.UserCreate
	if err := firstError(query(c).err, func() error { return decode(c, &in) }); err != nil {
		return err
	}
	ctx := c.Request.Context()
	u, drawn, err := s.Users.Create(ctx, people.Wish{
		Name: in.Name, DisplayName: in.DisplayName, Email: in.Email, Admin: in.Admin, Password: in.Password, Keep: in.KeepPassword,
		Issuer: in.Issuer, Subject: in.Subject, By: actorOf(ctx).Name,
	})
	if err != nil {
		return ownProblem(c, err)
	}
	c.Header("Location", api.Prefix+"/users/"+u.Name)
	return respond(c, http.StatusCreated, api.UserMade{User: s.user(u), Password: drawn})
}

func (s *server) updateUser(c *gin.Context) error {
	var in api.UserUpdate
	if err := firstError(query(c).err, func() error { return decode(c, &in) }); err != nil {
		return err
	}
	if in.TOTP != nil && *in.TOTP {
		return badField("totp", "users set one up themselves; people.require_totp in the settings has them do so", "can only be turned off by somebody else")
	}
	u, err := s.Users.Update(c.Request.Context(), c.Param("name"), people.Change{
		DisplayName: in.DisplayName, Email: in.Email, Admin: in.Admin, Disabled: in.Disabled, Issuer: in.Issuer, Subject: in.Subject, DropTOTP: in.TOTP != nil,
	})
	if err != nil {
		return s.nearUser(err, c.Param("name"))
	}
	return respond(c, http.StatusOK, s.user(u))
}

func (s *server) removeUser(c *gin.Context) error {
	if p := query(c); p.err != nil {
		return p.err
	}
	ctx, name := c.Request.Context(), c.Param("name")
	if err := s.Users.Remove(ctx, name); err != nil {
		return s.nearUser(err, name)
	}
	s.Projects.Forget(people.Fold(name))
	if err := s.Limits.Forget(ctx, people.LimitUser, people.Fold(name)); err != nil {
		return err
	}
	return noContent(c)
}

func (s *server) resetUser(c *gin.Context) error {
	var in api.UserReset
	if err := firstError(query(c).err, func() error { return decode(c, &in) }); err != nil {
		return err
	}
	ctx, name := c.Request.Context(), c.Param("name")
	drawn, err := s.Users.Reset(ctx, name, in.TOTP)
	if err != nil {
		return ownProblem(c, s.nearUser(err, name))
	}
	u, err := s.Users.User(name)
	if err != nil {
		return err
	}
	return respond(c, http.StatusOK, api.UserMade{User: s.user(u), Password: drawn})
}

func (s *server) listUserSessions(c *gin.Context) error {
	u, err := s.findUser(c.Param("name"))
	if err != nil {
		return err
	}
	return s.logInSessions(c, u.Name)
}

func (s *server) endUserSession(c *gin.Context) error {
	u, err := s.findUser(c.Param("name"))
	if err := firstError(err, func() error { return query(c).err }); err != nil {
		return err
	}
	if err := s.Users.EndSession(c.Request.Context(), u.Name, c.Param("id")); err != nil {
		return err
	}
	return noContent(c)
}

func (s *server) endUserSessions(c *gin.Context) error {
	u, err := s.findUser(c.Param("name"))
	if err := firstError(err, func() error { return query(c).err }); err != nil {
		return err
	}
	if _, err := s.Users.EndSessions(c.Request.Context(), u.Name, ""); err != nil {
		return err
	}
	return noContent(c)
}
