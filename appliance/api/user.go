package api

import (
	"context"
	"net/http"
	"time"
)

// User may log in.
type User struct {
	Name        string     `json:"name"`
	DisplayName string     `json:"display_name,omitempty"`
	Email       string     `json:"email,omitempty"`
	Admin       bool       `json:"admin"`             // may do everything, everywhere
	Source      string     `json:"source"`            // what proves the user: local, a password; oidc, a provider
	Issuer      string     `json:"issuer,omitempty"`  // the provider,
	Subject     string     `json:"subject,omitempty"` // and who the user is there
	TOTP        bool       `json:"totp"`              // logs in with a second factor
	MustChange  bool       `json:"must_change_password"`
	Disabled    bool       `json:"disabled"` // may not log in
	Sessions    int        `json:"sessions"` // browsers in which the user is logged in
	CreatedAt   time.Time  `json:"created_at"`
	CreatedBy   string     `json:"created_by"`
	LastLogIn   *time.Time `json:"last_login,omitempty"`
	DisabledAt  *time.Time `json:"disabled_at,omitempty"`
	// Projects that the user has a part in; of one user alone, not in lists.
	Projects []MyProject `json:"projects,omitempty"`
}

// UserCreate makes a user.
type UserCreate struct {
	Name         string `json:"name"` // small letters, digits, '.', '_' and '-'; never given again
	DisplayName  string `json:"display_name,omitempty"`
	Email        string `json:"email,omitempty"`
	Admin        bool   `json:"admin,omitempty"`
	Password     string `json:"password,omitempty"`      // left out: one is drawn
	KeepPassword bool   `json:"keep_password,omitempty"` // it need not be changed at the first log-in
	Issuer       string `json:"issuer,omitempty"`        // the user comes by a provider, and has no password,
	Subject      string `json:"subject,omitempty"`       // and is this one there
}

// UserMade is a new user, or one with a new password: the only time that one is shown which was drawn.
type UserMade struct {
	User     User   `json:"user"`
	Password string `json:"password,omitempty"`
}

// UserUpdate changes a user: what is left out stays.
type UserUpdate struct {
	DisplayName *string `json:"display_name,omitempty"`
	Email       *string `json:"email,omitempty"`
	Admin       *bool   `json:"admin,omitempty"`
	Disabled    *bool   `json:"disabled,omitempty"` // true logs the user out at once
	TOTP        *bool   `json:"totp,omitempty"`     // false turns the second factor off
	Issuer      *string `json:"issuer,omitempty"`   // with subject: the user comes by a provider from now on; both "": no more
	Subject     *string `json:"subject,omitempty"`
}

// UserReset gives a user a new password.
type UserReset struct {
	TOTP bool `json:"totp,omitempty"` // turn the second factor off, too
}

// Users are all who were not removed, by name.
func (c *Client) Users(ctx context.Context) ([]User, error) {
	return list[User](ctx, c, "/users", nil)
}

// User returns one.
func (c *Client) User(ctx context.Context, name string) (User, error) {
	var out User
	return out, c.unary(ctx, call{method: http.MethodGet, path: "/users/" + seg(name)}, &out)
}

// CreateUser makes one.
func (c *Client) CreateUser(ctx context.Context, in UserCreate) (UserMade, error) {
	var out UserMade
	return out, c.unary(ctx, call{method: http.MethodPost, path: "/users", in: in}, &out)
}

// UpdateUser changes one.
func (c *Client) UpdateUser(ctx context.Context, name string, in UserUpdate) (User, error) {
	var out User
	return out, c.unary(ctx, call{method: http.MethodPatch, path: "/users/" + seg(name), in: in}, &out)
}

// RemoveUser removes one, for good.
func (c *Client) RemoveUser(ctx context.Context, name string) error {
	return c.unary(ctx, call{method: http.MethodDelete, path: "/users/" + seg(name)}, nil)
}

// ResetUser draws a new password for one, and logs the user out everywhere.
func (c *Client) ResetUser(ctx context.Context, name string, in UserReset) (UserMade, error) {
	var out UserMade
	return out, c.unary(ctx, call{method: http.MethodPost, path: "/users/" + seg(name) + "/reset", in: in}, &out)
}

// UserSessions are the browsers in which a user is logged in.
func (c *Client) UserSessions(ctx context.Context, name string) ([]LogInSession, error) {
	return list[LogInSession](ctx, c, "/users/"+seg(name)+"/sessions", nil)
}

// EndUserSession logs one of them out.
func (c *Client) EndUserSession(ctx context.Context, name, id string) error {
	return c.unary(ctx, call{method: http.MethodDelete, path: "/users/" + seg(name) + "/sessions/" + seg(id)}, nil)
}

// EndUserSessions logs all of them out.
func (c *Client) EndUserSessions(ctx context.Context, name string) error {
	return c.unary(ctx, call{method: http.MethodDelete, path: "/users/" + seg(name) + "/sessions"}, nil)
}
