package admin

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/sessions"
)

// Backups are the appliance in sealed files: those that are kept, and new ones.
type Backups interface {
	Backups() ([]api.Backup, error)
	Backup(name string) (api.Backup, error)
	// StartBackup returns when one is being made, and has a name.
	StartBackup(ctx context.Context, req api.BackupCreate) (api.Backup, error)
	// StreamBackup writes one to w. What fails before the first byte is told; later the stream is broken off.
	StreamBackup(ctx context.Context, req api.BackupCreate, w io.Writer) error
	// RemoveBackup cancels one that is being made.
	RemoveBackup(name string) error
	// VerifyBackup compares the checksum of one.
	VerifyBackup(ctx context.Context, name string) (api.Backup, error)
	OpenBackup(name string) (*os.File, int64, error)
}

// wantBackups refuses where none are kept.
func (s *server) wantBackups(p *params) error {
	if p.err != nil {
		return p.err
	}
	if s.Backups == nil {
		return fmt.Errorf("this appliance makes no backups: %w", sessions.ErrNotSupported)
	}
	return nil
}

func (s *server) listBackups(c *gin.Context) error {
	p := query(c, "limit", "cursor")
	if err := s.wantBackups(p); err != nil {
		return err
	}
	all, err := s.Backups.Backups()
	if err != nil {
		return err
	}
	return respondPage(c, p, append([]api.Backup{}, all...), func(b api.Backup) string { return newestFirst(b.MadeAt) + b.Name })
}

func (s *server) createBackup(c *gin.Context) error {
	var in api.BackupCreate
	if err := firstError(s.wantBackups(query(c)), func() error { return decode(c, &in) }); err != nil {
		return err
	}
	b, err := s.Backups.StartBackup(c.Request.Context(), in)
	if err != nil {
		return err
	}
	return respond(c, http.StatusAccepted, b)
}

func (s *server) streamBackup(c *gin.Context) error {
	var in api.BackupCreate
	if err := firstError(s.wantBackups(query(c)), func() error { return decode(c, &in) }); err != nil {
		return err
	}
	c.Header("Content-Disposition", fmt.Sprintf(`attachment; filename="palisade-%s.backup"`, s.Now().UTC().Format("20060102T150405Z")))
	return s.Backups.StreamBackup(c.Request.Context(), in, &archiveWriter{c: c, rc: http.NewResponseController(c.Writer), kind: "application/octet-stream"})
}

func (s *server) getBackup(c *gin.Context) error {
	if err := s.wantBackups(query(c)); err != nil {
		return err
	}
	b, err := s.Backups.Backup(c.Param("name"))
	if err != nil {
		return err
	}
	return respond(c, http.StatusOK, b)
}

func (s *server) removeBackup(c *gin.Context) error {
	if err := s.wantBackups(query(c)); err != nil {
		return err
	}
	if err := s.Backups.RemoveBackup(c.Param("name")); err != nil {
		return err
	}
	return noContent(c)
}

func (s *server) verifyBackup(c *gin.Context) error {
	if err := s.wantBackups(query(c)); err != nil {
		return err
	}
	b, err := s.Backups.VerifyBackup(c.Request.Context(), c.Param("name"))
	if err != nil {
		return err
	}
	return respond(c, http.StatusOK, b)
}

func (s *server) fetchBackup(c *gin.Context) error {
	if err := s.wantBackups(query(c)); err != nil {
		return err
	}
	f, size, err := s.Backups.OpenBackup(c.Param("name"))
	if err != nil {
		return err
	}
	defer f.Close()
	letIn(c, http.StatusOK)
	c.Header("Content-Length", strconv.FormatInt(size, 10))
	c.Header("Content-Disposition", fmt.Sprintf("attachment; filename=%q", c.Param("name")))
	_, err = io.Copy(&archiveWriter{c: c, rc: http.NewResponseController(c.Writer), kind: "application/octet-stream"}, f)
	return err
}
