package door

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/palisade-run/palisade/appliance/cluster/trust"
)

// front answers what another box passes on of its clients, as if they had come here: by their own address, and as people of that
// box's socket where they are. A node may say so: it is trusted with all of the cluster.
func (s *Server) front(w http.ResponseWriter, r *http.Request, peer, client string) {
	if s.rooms.Front == nil {
		refuse(w, http.StatusServiceUnavailable, fmt.Errorf("%s: %w", s.rooms.Node.Name(), ErrNotReady))
		return
	}
	user, byTLS := r.Header.Get(localHeader), r.Header.Get(tlsHeader) == "1"
	r.Header.Del(frontHeader)
	r.Header.Del(localHeader)
	r.Header.Del(tlsHeader)
	r.RemoteAddr, r.TLS = plain(client), nil
	if byTLS {
		r.TLS = &tls.ConnectionState{HandshakeComplete: true}
	}
	if user != "" && s.rooms.Local != nil {
		r = r.WithContext(s.rooms.Local(r.Context(), plain(user)+"@"+peer))
	}
	s.rooms.Front.ServeHTTP(w, r)
}

// plain is text without what would harm a line of a log.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, text[:min(len(text), 128)])
}

func (s *Server) load(w http.ResponseWriter, r *http.Request) error {
	var l Load
	if err := read(r, &l); err != nil {
		return err
	}
	if s.rooms.Hear == nil {
		return fmt.Errorf("%s: %w", s.rooms.Node.Name(), ErrNotReady)
	}
	if err := s.rooms.Hear(peerOf(r.Context()), l); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) seat(w http.ResponseWriter, r *http.Request) error {
	var asked SeatRequest
	if err := read(r, &asked); err != nil {
		return err
	}
	if s.rooms.Seat == nil {
		return fmt.Errorf("%s: %w", s.rooms.Node.Name(), ErrNotReady)
	}
	if err := s.rooms.Seat(r.Context(), peerOf(r.Context()), asked); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) desk() (*trust.Desk, error) {
	if s.rooms.Desk != nil {
		if d := s.rooms.Desk(); d != nil {
			return d, nil
		}
	}
	return nil, &Error{fmt.Errorf("%s: %w: it does not reach the cluster's records now", s.rooms.Node.Name(), ErrNotReady), "try another box of the cluster, or again in a while"}
}

// join answers a box that wants to be let in.
func (s *Server) join(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	asked, err := trust.ReadRequest(r.Body)
	if err == nil {
		err = speaks(s.rooms.Version, asked.Version)
	}
	var desk *trust.Desk
	if err == nil {
		desk, err = s.desk()
	}
	var answer trust.Answer
	if err == nil {
		answer, err = desk.Join(ctx, addressOf(r.RemoteAddr), asked)
	}
	if err != nil {
		s.deny(w, r, err)
		return
	}
	_ = respond(w, answer)
}

// deny says why a box is not let in, as far as that is its business.
func (s *Server) deny(w http.ResponseWriter, r *http.Request, err error) {
	var own *Error
	refusal, ok := trust.Refuse(err)
	status := http.StatusForbidden
	switch {
	case ok:
	case errors.Is(err, ErrNotReady) || errors.Is(err, errVersions):
		errors.As(err, &own)
		refusal, status = trust.Refusal{Code: "not_ready", Message: err.Error(), Hint: own.hint}, http.StatusServiceUnavailable
		if errors.Is(err, errVersions) {
			refusal.Code, status = "version", http.StatusForbidden
		}
	default:
		s.log.Warn("a box could not be answered that wants to join", "from", r.RemoteAddr, "error", err)
		status = http.StatusInternalServerError
	}
	if refusal.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(refusal.RetryAfter))
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if text, failed := json.Marshal(refusal); failed == nil {
		_, _ = w.Write(text)
	}
}
