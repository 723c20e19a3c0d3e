package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
)

// About says what the appliance is made of.
type About struct {
	Version Version  `json:"version"`
	Modules []Module `json:"modules"` // that are built in, by path
}

// Module is one that is built in.
type Module struct {
	Path    string `json:"path"` // github.com/gin-gonic/gin
	Version string `json:"version"`
	License string `json:"license"` // SPDX
}

// Where a setting comes from.
const (
	SettingDefault = "default"
	SettingFile    = "file"
	SettingFlag    = "flag"
)

// Setting is one value that holds.
type Setting struct {
	Name   string `json:"name"`   // router.domain
	Value  string `json:"value"`  // as the settings file has it, without what is secret
	From   string `json:"from"`   // default, file, flag
	Hidden bool   `json:"hidden"` // something of it is not shown
}

// About says what the appliance is made of.
func (c *Client) About(ctx context.Context) (About, error) {
	var out About
	return out, c.unary(ctx, call{method: http.MethodGet, path: "/about"}, &out)
}

// Settings are all that hold, in the order of the settings file.
func (c *Client) Settings(ctx context.Context) ([]Setting, error) {
	return list[Setting](ctx, c, "/settings", nil)
}

// SupportBundle writes what helps others to find out what is wrong with a box, as a tar.gz, and returns its bytes.
func (c *Client) SupportBundle(ctx context.Context, w io.Writer) (int64, error) {
	resp, err := c.send(ctx, call{method: http.MethodGet, path: "/support-bundle"})
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	n, err := io.Copy(w, resp.Body)
	if err != nil {
		return n, fmt.Errorf("reading the support bundle: %w", err)
	}
	return n, nil
}
