package door

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Server is a box's door.
type Server struct {
	rooms Rooms
	log   *slog.Logger
	http  *http.Server
	mux   *http.ServeMux
	gate  gate

	mu   sync.Mutex
	open map[*visit]struct{} // what nodes have under way
	busy sync.WaitGroup      // of it, what is not HTTP any more
	look *time.Timer         // at who is still a node; nil while nothing is open
}

// visit is a request of a node that is being answered.
type visit struct {
	state *tls.ConnectionState
	end   context.CancelCauseFunc
}

// NewServer returns a door that is shut until Serve.
func NewServer(r Rooms, log *slog.Logger) *Server {
	s := &Server{rooms: r, log: log, mux: http.NewServeMux(), open: map[*visit]struct{}{}}
	s.gate = newGate()
	s.http = &http.Server{
		Handler: s, ReadHeaderTimeout: headerPatience, IdleTimeout: keptIdle, MaxHeaderBytes: longestHeader,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), ConnContext: connContext,
	}
	s.route()
	return s
}

func (s *Server) route() {
	s.mux.HandleFunc("GET "+pathPing, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	s.mux.HandleFunc("GET "+pathWay, s.answer(s.way))
	s.mux.HandleFunc("POST "+pathLoad, s.answer(s.load))
	s.mux.HandleFunc("POST "+pathSeat, s.answer(s.seat))
	s.mux.HandleFunc("POST "+pathCheck, s.answer(s.check))
	s.mux.HandleFunc("GET "+pathSessions+"{id}", s.answer(s.inspect))
	s.mux.HandleFunc("GET "+pathSessions+"{id}/stats", s.answer(s.stats))
	s.mux.HandleFunc("GET "+pathSessions+"{id}/logs", s.answer(s.logs))
	s.mux.HandleFunc("GET "+pathSessions+"{id}/exec", s.answer(s.exec))
	s.mux.HandleFunc("GET "+pathSessions+"{id}/ports/{port}", s.answer(s.toPort))
	s.mux.HandleFunc("GET "+pathSessions+"{id}/inside/{port}", s.answer(s.toInside))
	s.mux.HandleFunc("POST "+pathSessions+"{id}/commit", s.answer(s.commit))
	s.mux.HandleFunc("POST "+pathPull, s.answer(s.pull))
	s.mux.HandleFunc("GET "+pathImages, s.answer(s.images))
	s.mux.HandleFunc("POST "+pathImages, s.answer(s.importImage))
	s.mux.HandleFunc("DELETE "+pathImages, s.answer(s.removeImage))
	s.mux.HandleFunc("GET "+pathImages+"/archive", s.answer(s.exportImage))
	if s.rooms.Goods != nil {
		s.mux.Handle(pathGoods, s.rooms.Goods)
	}
}

// Serve answers who comes to l until Shutdown; then it returns nil.
func (s *Server) Serve(l net.Listener) error {
	config := s.rooms.Node.DoorServer()
	ask := config.GetConfigForClient
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		c, err := ask(hello)
		if c != nil {
			c.NextProtos = []string{"http/1.1"}
		}
		return c, err
	}
	err := s.http.Serve(tls.NewListener(&listener{l, &s.gate}, config))
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("the door for other boxes: %w", err)
}

// Shutdown lets nobody in any more, waits for what is under way until ctx ends, and cuts off what is left.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	done := make(chan struct{})
	go func() { s.busy.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err == nil {
		return nil
	}
	s.mu.Lock()
	for v := range s.open {
		v.end(http.ErrServerClosed)
	}
	s.mu.Unlock()
	_ = s.http.Close()
	<-done
	return fmt.Errorf("closing the door for other boxes: %w", err)
}

// ServeHTTP implements http.Handler.
//  1. Who shows no certificate may ask to be let in, and nothing else.
//  2. Who was removed may nothing.
//  3. What another box passes on of its clients goes to who leads.
//  4. The rest is between boxes.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	peer, err := s.rooms.Node.Peer(r.TLS)
	switch {
	case err == nil && peer == "": // 1
		s.stranger(w, r)
		return
	case err != nil: // 2
		w.Header().Set("Connection", "close")
		unheard(w)
		refuse(w, http.StatusForbidden, err)
		return
	}
	known(r.Context())
	ctx, leave := s.enter(r, peer)
	defer leave()
	r = r.WithContext(ctx)
	if client := r.Header.Get(frontHeader); client != "" { // 3
		s.front(w, r, peer, client)
		return
	}
	s.mux.ServeHTTP(w, r) // 4
}

type peerKey struct{}

// peerOf is the node that asks.
func peerOf(ctx context.Context) string {
	name, _ := ctx.Value(peerKey{}).(string)
	return name
}

// enter notes what a node has under way: it ends when the node is removed.
func (s *Server) enter(r *http.Request, peer string) (context.Context, func()) {
	ctx, end := context.WithCancelCause(context.WithValue(r.Context(), peerKey{}, peer))
	v := &visit{r.TLS, end}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[v] = struct{}{}
	if s.look == nil {
		s.look = time.AfterFunc(lookAgain, s.cut)
	}
	return ctx, func() {
		end(nil)
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.open, v)
	}
}

// cut ends what nodes have under way that are none any more.
func (s *Server) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for v := range s.open {
		if _, err := s.rooms.Node.Peer(v.state); err != nil {
			v.end(err)
		}
	}
	if s.look = nil; len(s.open) > 0 {
		s.look = time.AfterFunc(lookAgain, s.cut)
	}
}

// unheard has nobody wait for the body of a request that is refused anyway: who does not send it would keep a place at the gate.
func unheard(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now())
}

// stranger answers who shows no certificate.
func (s *Server) stranger(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Connection", "close")
	if r.URL.Path != pathJoin {
		unheard(w)
		refuse(w, http.StatusUnauthorized, &Error{errors.New("this port is for other boxes of the cluster: who comes without a certificate of theirs may only ask to join"),
			"the API, the console and the gateway are at another port of this box"})
		return
	}
	if r.Method != http.MethodPost {
		unheard(w)
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), headerPatience)
	defer cancel()
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(headerPatience))
	s.join(ctx, w, r)
}
