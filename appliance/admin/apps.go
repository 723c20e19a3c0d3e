package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/training/apps"
)

func (s *server) listApps(c *gin.Context) error {
	p := query(c, "limit", "cursor")
	v, err := s.findRunning(c, p)
	if err != nil {
		return err
	}
	all, err := s.Apps.List(c.Request.Context(), v.Project, v.ID)
	if err != nil {
		return err
	}
	items := []api.App{}
	for _, a := range all {
		path := apps.Path(v.ID, a.Name)
		item := api.App{
			Name: a.Name, Aliases: apps.Aliases(a.Name), Title: a.Title, Protocol: string(a.Protocol), Port: a.Port, Source: string(a.Source),
			Status: string(a.Status), Path: path, Strip: a.Strip,
		}
		if at := s.Apps.Address(hostOf(c)); at != "" && a.Protocol == apps.HTTP {
			item.URL = at + path
		}
		items = append(items, item)
	}
	return respondPage(c, p, items, func(a api.App) string { return a.Name })
}

// hostOf is what a client on the network calls this box; "" for one of this box.
func hostOf(c *gin.Context) string {
	if actorOf(c.Request.Context()).Via == "socket" {
		return ""
	}
	return c.Request.Host
}

func (s *server) linkApp(c *gin.Context) error {
	v, err := s.findRunning(c, query(c))
	if err != nil {
		return err
	}
	if err := s.permitEnter(c, v); err != nil {
		return err
	}
	ctx := c.Request.Context()
	by := actorOf(ctx)
	link, err := s.Apps.Link(ctx, v.Project, v.ID, c.Param("name"), apps.Actor{Name: by.Name, User: by.User.Name, Key: by.Key})
	if err != nil {
		return err
	}
	return respond(c, http.StatusCreated, api.AppLink{App: link.App.Name, URL: s.Apps.Address(hostOf(c)) + link.Path, Path: link.Path, ExpiresAt: link.Expires})
}

// tunnelSession connects a client with a port of a session, or with an app by its name.
func (s *server) tunnelSession(c *gin.Context) error {
	p := query(c, "port", "app")
	port := p.number("port", 0, 1, 65535)
	app := p.text("app")
	v, err := s.findRunning(c, p)
	switch {
	case err != nil:
		return err
	case (app == "") == (port == 0):
		return badField("?port", "?port=8000, or ?app=jupyter", "one of port and app must be there")
	}
	if err := firstError(s.permitEnter(c, v), func() error { return mayTakeOver(c, api.TunnelProtocol) }); err != nil {
		return err
	}
	ctx, done, err := s.Lines.begin(c.Request.Context(), v.ID)
	if err != nil {
		return err
	}
	defer done()
	conn, err := s.connect(c.Request.Context(), v.Project, v.ID, app, port)
	if err != nil {
		return err
	}
	defer conn.Close()
	rec, ok := findRecorder(c.Writer)
	if !ok {
		return errors.New("the connection cannot be taken over")
	}
	letIn(c, http.StatusSwitchingProtocols)
	tunnel, err := api.AcceptTunnel(rec, c.Request)
	rec.taken = rec.status != 0
	if err != nil {
		if rec.taken { // it has been answered
			return nil
		}
		return err
	}
	defer s.Apps.Used(v.ID)()
	defer context.AfterFunc(ctx, func() { tunnel.Finish(fmt.Sprint(context.Cause(ctx))) })()
	tunnel.Pipe(conn)
	return nil
}

func (s *server) connect(ctx context.Context, project, session, app string, port int) (net.Conn, error) {
	if app == "" {
		return s.Apps.Port(ctx, project, session, port)
	}
	conn, _, err := s.Apps.Open(ctx, project, session, app)
	return conn, err
}
