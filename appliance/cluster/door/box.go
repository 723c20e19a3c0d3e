package door

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/palisade-run/palisade/sessions"
)

func (s *Server) box() (Box, error) {
	if s.rooms.Box == nil {
		return nil, fmt.Errorf("sessions of %s: %w", s.rooms.Node.Name(), ErrNotReady)
	}
	return s.rooms.Box, nil
}

func (s *Server) inspect(w http.ResponseWriter, r *http.Request) error {
	box, err := s.box()
	if err != nil {
		return err
	}
	in, err := box.Inspect(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	return respond(w, in)
}

func (s *Server) stats(w http.ResponseWriter, r *http.Request) error {
	box, err := s.box()
	if err != nil {
		return err
	}
	st, err := box.Stats(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	return respond(w, st)
}

func (s *Server) logs(w http.ResponseWriter, r *http.Request) error {
	box, err := s.box()
	if err != nil {
		return err
	}
	q := r.URL.Query()
	tail, _ := strconv.Atoi(q.Get("tail"))
	log, err := box.Logs(r.Context(), r.PathValue("id"), sessions.LogOptions{Follow: q.Get("follow") == "1", Tail: tail})
	if err != nil {
		return err
	}
	defer log.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	rec, _ := w.(*recorder)
	rec.Flush()
	_, err = io.CopyBuffer(flushing{rec}, onlyReader{log}, make([]byte, 16<<10))
	return err
}

// onlyReader and onlyWriter hide what else a stream can do, so that it is copied piece by piece.
type onlyReader struct{ io.Reader }

// checkRequest asks whether this box would run an image.
type checkRequest struct {
	Image   string `json:"image"`
	Cluster bool   `json:"cluster,omitempty"` // with several containers
}

func (s *Server) check(w http.ResponseWriter, r *http.Request) error {
	box, err := s.box()
	if err != nil {
		return err
	}
	var asked checkRequest
	if err := read(r, &asked); err != nil {
		return err
	}
	if asked.Cluster {
		err = box.CheckCluster(asked.Image)
	} else {
		err = box.CheckImage(asked.Image)
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

type pullRequest struct {
	Image string `json:"image"`
}

func (s *Server) pull(w http.ResponseWriter, r *http.Request) error {
	box, err := s.box()
	if err != nil {
		return err
	}
	var asked pullRequest
	if err := read(r, &asked); err != nil {
		return err
	}
	out := newLines(w)
	return out.end(nil, box.Pull(r.Context(), asked.Image, out.progress))
}

// progress passes on how far something is.
func (l *lines) progress(p sessions.Progress) {
	l.say(line{Progress: &progress{Done: p.Done, Total: p.Total, Message: p.Message}})
}

func (s *Server) commit(w http.ResponseWriter, r *http.Request) error {
	box, err := s.box()
	if err != nil {
		return err
	}
	var asked sessions.Commit
	if err := read(r, &asked); err != nil {
		return err
	}
	out := newLines(w)
	img, err := box.Commit(r.Context(), r.PathValue("id"), asked, out.progress)
	return out.end(img, err)
}

func (s *Server) toPort(w http.ResponseWriter, r *http.Request) error {
	id, port, err := target(r)
	if err != nil {
		return err
	}
	if s.rooms.Reach == nil {
		return fmt.Errorf("sessions of %s: %w", s.rooms.Node.Name(), ErrNotReady)
	}
	ctx, cancel := context.WithTimeout(r.Context(), dialPatience)
	defer cancel()
	host, err := s.rooms.Reach(ctx, id, port)
	if err != nil {
		return err
	}
	conn, err := dialSession(ctx, host, port)
	if err != nil {
		return err
	}
	return s.tunnel(w, r, conn)
}

func (s *Server) toInside(w http.ResponseWriter, r *http.Request) error {
	id, port, err := target(r)
	if err != nil {
		return err
	}
	box, err := s.box()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), dialPatience)
	defer cancel()
	conn, err := box.Dial(ctx, id, port)
	if err != nil {
		return err
	}
	return s.tunnel(w, r, conn)
}

var errPort = errors.New("a port is a number from 1 to 65535")

func target(r *http.Request) (id string, port int, err error) {
	n, err := strconv.ParseUint(r.PathValue("port"), 10, 16)
	if err != nil || n == 0 {
		return "", 0, errPort
	}
	return r.PathValue("id"), int(n), nil
}

func (s *Server) keeper() (sessions.Images, error) {
	if s.rooms.Images == nil {
		return nil, fmt.Errorf("images of %s: %w", s.rooms.Node.Name(), sessions.ErrNotSupported)
	}
	return s.rooms.Images, nil
}

func (s *Server) images(w http.ResponseWriter, r *http.Request) error {
	keeper, err := s.keeper()
	if err != nil {
		return err
	}
	list, err := keeper.Images(r.Context())
	if err != nil {
		return err
	}
	return respond(w, list)
}

func (s *Server) importImage(w http.ResponseWriter, r *http.Request) error {
	keeper, err := s.keeper()
	if err != nil {
		return err
	}
	list, err := keeper.Import(r.Context(), r.Body)
	if err != nil {
		return err
	}
	return respond(w, list)
}

func (s *Server) exportImage(w http.ResponseWriter, r *http.Request) error {
	keeper, err := s.keeper()
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/x-tar")
	return keeper.Export(r.Context(), r.URL.Query().Get("image"), w)
}

func (s *Server) removeImage(w http.ResponseWriter, r *http.Request) error {
	keeper, err := s.keeper()
	if err != nil {
		return err
	}
	if err := keeper.RemoveImage(r.Context(), r.URL.Query().Get("image")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
