package api

import (
	"context"
	"net/http"
	"time"
)

// Me is who asks.
type Me struct {
	Name        string      `json:"name"`
	DisplayName string      `json:"display_name,omitempty"`
	Email       string      `json:"email,omitempty"`
	Via         string      `json:"via"`              // socket, key or console
	Source      string      `json:"source,omitempty"` // of a user: local, or oidc for one of a provider
	Admin       bool        `json:"admin"`            // may do everything, everywhere
	TOTP        bool        `json:"totp"`             // logs in with a second factor
	MustTOTP    bool        `json:"must_totp"`        // has to set one up before all else
	MustChange  bool        `json:"must_change_password"`
	Recovery    int         `json:"recovery_codes"`    // that are left
	Session     string      `json:"session,omitempty"` // id of the log-in session
	EndsAt      *time.Time  `json:"ends_at,omitempty"` // when that ends, if it is not used from now on
	Scope       string      `json:"scope,omitempty"`   // of an API key: read, write or admin
	Projects    []MyProject `json:"projects"`          // that who asks has a part in; of an administrator all
}

// MyProject is somebody's own part in a project.
type MyProject struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	Role  string `json:"role"` // viewer, member or owner
}

// LogIn lets a user in.
type LogIn struct {
	Name     string `json:"name"`
	Password string `json:"password"`
	Code     string `json:"code,omitempty"` // of the second factor, or a recovery code
}

// Me says who asks, and what they may.
func (c *Client) Me(ctx context.Context) (Me, error) {
	var out Me
	return out, c.unary(ctx, call{method: http.MethodGet, path: "/me"}, &out)
}

// LogInSession is a browser in which a user is logged in.
type LogInSession struct {
	ID        string    `json:"id"`
	Source    string    `json:"source"`            // what has proved the user: local or oidc
	Current   bool      `json:"current,omitempty"` // the one that asks
	CreatedAt time.Time `json:"created_at"`
	LastSeen  time.Time `json:"last_seen"` // accurate to a minute
	EndsAt    time.Time `json:"ends_at"`   // if it is not used from now on
	Address   string    `json:"address"`   // from where the user logged in
	Agent     string    `json:"agent"`     // the browser, as it calls itself
}

// PasswordChange is that of one's own password.
type PasswordChange struct {
	Password    string `json:"password"`     // the present one
	NewPassword string `json:"new_password"` // at least 10 characters
}

// TOTPStart begins to set up a second factor with the present password, or with a code turns it on.
type TOTPStart struct {
	Password string `json:"password,omitempty"`
	Code     string `json:"code,omitempty"`
}

// RecoveryRenewal asks for new recovery codes.
type RecoveryRenewal struct {
	Password string `json:"password"` // the present one
}

// TOTPDrop turns the own second factor off.
type TOTPDrop struct {
	Password string `json:"password"`
}

// TOTP is a second factor that is being set up: first what an authenticator wants, then the codes for the day when that is lost.
type TOTP struct {
	Secret        string   `json:"secret,omitempty"`         // for who types it
	URL           string   `json:"url,omitempty"`            // otpauth://...
	Picture       string   `json:"picture,omitempty"`        // the URL as a QR code, SVG
	RecoveryCodes []string `json:"recovery_codes,omitempty"` // shown this once; each is good once
}

// EnterUser lets a user in and returns the cookies that prove it from then on.
func (c *Client) EnterUser(ctx context.Context, in LogIn) (Me, []*http.Cookie, error) {
	var out Me
	cookies, err := c.cookies(ctx, call{method: http.MethodPost, path: "/login", in: in}, &out)
	return out, cookies, err
}

// LeaveUser ends the log-in of who asks, and returns the cookies that take it from the browser.
func (c *Client) LeaveUser(ctx context.Context) ([]*http.Cookie, error) {
	return c.cookies(ctx, call{method: http.MethodPost, path: "/logout"}, nil)
}

// ChangePassword changes one's own. All other log-in sessions end; the cookies are those of the one that asks.
func (c *Client) ChangePassword(ctx context.Context, in PasswordChange) ([]*http.Cookie, error) {
	return c.cookies(ctx, call{method: http.MethodPut, path: "/me/password", in: in}, nil)
}

// SetUpTOTP begins to set up a second factor, and with a code turns it on: the cookies are those of the log-in session then.
func (c *Client) SetUpTOTP(ctx context.Context, in TOTPStart) (TOTP, []*http.Cookie, error) {
	var out TOTP
	cookies, err := c.cookies(ctx, call{method: http.MethodPost, path: "/me/totp", in: in}, &out)
	return out, cookies, err
}

// RenewRecoveryCodes returns new recovery codes of one's own second factor. Those of before are good no more.
func (c *Client) RenewRecoveryCodes(ctx context.Context, in RecoveryRenewal) (TOTP, error) {
	var out TOTP
	return out, c.unary(ctx, call{method: http.MethodPost, path: "/me/recovery-codes", in: in}, &out)
}

// DropTOTP turns one's own second factor off. The cookies are those of the log-in session then.
func (c *Client) DropTOTP(ctx context.Context, in TOTPDrop) ([]*http.Cookie, error) {
	return c.cookies(ctx, call{method: http.MethodDelete, path: "/me/totp", in: in}, nil)
}

// OwnSessions are the browsers in which who asks is logged in, the one that was seen last first.
func (c *Client) OwnSessions(ctx context.Context) ([]LogInSession, error) {
	return list[LogInSession](ctx, c, "/me/sessions", nil)
}

// EndOwnSession logs one of them out.
func (c *Client) EndOwnSession(ctx context.Context, id string) error {
	return c.unary(ctx, call{method: http.MethodDelete, path: "/me/sessions/" + seg(id)}, nil)
}

// EndOtherSessions logs all of them out but the one that asks.
func (c *Client) EndOtherSessions(ctx context.Context) error {
	return c.unary(ctx, call{method: http.MethodDelete, path: "/me/sessions"}, nil)
}
