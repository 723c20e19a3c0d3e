package clusterssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/palisade-run/palisade/sessions/clusterdir"
)

// Bounds of what others may ask at a time.
const (
	maxConnections = 256
	maxChannels    = 64 // of one connection
	logInIn        = 30 * time.Second
)

// Server lets the containers of a session in.
type Server struct {
	config  *ssh.ServerConfig
	program string // of this package's own, for what a shell does not do: PROGRAM shell LINE, PROGRAM sftp
	room    chan struct{}
}

// New reads the keys of the session's directory. program does what is asked: see sessions/inside.
func New(dir, program string) (*Server, error) {
	key, err := os.ReadFile(filepath.Join(dir, clusterdir.FileHostKey))
	if err != nil {
		return nil, err
	}
	host, err := ssh.ParsePrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", clusterdir.FileHostKey, err)
	}
	line, err := os.ReadFile(filepath.Join(dir, clusterdir.FileAuthorized))
	if err != nil {
		return nil, err
	}
	known, _, _, _, err := ssh.ParseAuthorizedKey(line)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", clusterdir.FileAuthorized, err)
	}
	s := &Server{program: program, room: make(chan struct{}, maxConnections)}
	s.config = &ssh.ServerConfig{
		ServerVersion: "SSH-2.0-Palisade",
		PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if !bytes.Equal(key.Marshal(), known.Marshal()) {
				return nil, errors.New("this is not the key of this session")
			}
			return nil, nil
		},
	}
	s.config.AddHostKey(host)
	return s, nil
}

// Serve lets in who connects, until ctx ends; then it ends what was started.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	var all sync.WaitGroup
	defer all.Wait()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	for {
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if errors.Is(err, net.ErrClosed) {
				return err
			}
			select { // no more files, say: it passes
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		}
		select {
		case s.room <- struct{}{}:
		default:
			conn.Close()
			continue
		}
		all.Go(func() {
			defer func() { <-s.room }()
			s.talk(ctx, conn)
		})
	}
}

// talk serves one connection to its end.
func (s *Server) talk(ctx context.Context, conn net.Conn) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	_ = conn.SetDeadline(time.Now().Add(logInIn))
	line, channels, requests, err := ssh.NewServerConn(conn, s.config)
	if err != nil {
		return // whoever it was is told
	}
	_ = conn.SetDeadline(time.Time{})
	go func() {
		for r := range requests { // "are you still there": an answer is all that is wanted
			if r.WantReply {
				_ = r.Reply(false, nil)
			}
		}
	}()
	var open sync.WaitGroup
	room := make(chan struct{}, maxChannels)
	for asked := range channels {
		if asked.ChannelType() != "session" {
			_ = asked.Reject(ssh.Prohibited, "the containers of a session reach each other's ports without")
			continue
		}
		select {
		case room <- struct{}{}:
		default:
			_ = asked.Reject(ssh.ResourceShortage, fmt.Sprintf("%d are open on this connection", maxChannels))
			continue
		}
		channel, requests, err := asked.Accept()
		if err != nil {
			continue
		}
		open.Go(func() {
			defer func() { <-room }()
			(&command{program: s.program, channel: channel, from: line.RemoteAddr(), at: line.LocalAddr()}).serve(ctx, requests)
		})
	}
	cancel() // the line is gone: so is what was started on it
	open.Wait()
}
