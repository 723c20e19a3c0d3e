// Command ledgerengine is an engine that writes down which requests it got: ledgerengine PORT DIRECTORY.
//
// Its file in DIRECTORY has a line for each: "seen ID" before a byte of it is taken from the kernel, and "begun
// ID" when it was read. So one that was killed in between is not mistaken for one that had not seen it, nor for
// one that had begun it. Bodies say how long an answer takes: {"delay_ms", "stream", "events", "pause_ms"}.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	port, dir := os.Args[1], os.Args[2]
	ledger, err := os.OpenFile(filepath.Join(dir, os.Getenv("BACKENDAI_SESSION_ID")), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	listener, err := net.Listen("tcp", ":"+port)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	http.HandleFunc("/health", func(http.ResponseWriter, *http.Request) {})
	http.HandleFunc("/v1/chat/completions", func(w http.ResponseWriter, r *http.Request) { answer(w, r, ledger) })
	server := &http.Server{}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM)
	ended := make(chan struct{})
	go func() { // as engines do that end well: what they have goes to its end
		<-asked
		_ = server.Shutdown(context.Background())
		close(ended)
	}()
	if err := server.Serve(seen{listener, ledger}); !errors.Is(err, http.ErrServerClosed) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	<-ended
}

func answer(w http.ResponseWriter, r *http.Request, ledger *os.File) {
	var ask struct {
		Delay  int `json:"delay_ms"`
		Stream bool
		Events int
		Pause  int `json:"pause_ms"`
	}
	if err := json.NewDecoder(r.Body).Decode(&ask); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	id := r.Header.Get("X-Request-Id")
	fmt.Fprintf(ledger, "begun %s\n", id)
	time.Sleep(time.Duration(ask.Delay) * time.Millisecond)
	if !ask.Stream {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"id":%q,"object":"chat.completion","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}`, id)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	for range ask.Events {
		fmt.Fprintf(w, "data: {\"id\":%q,\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"}}]}\n\n", id)
		_ = http.NewResponseController(w).Flush()
		time.Sleep(time.Duration(ask.Pause) * time.Millisecond)
	}
	fmt.Fprint(w, "data: [DONE]\n\n")
}

// seen is a listener whose connections note what comes before they take it.
type seen struct {
	net.Listener
	ledger *os.File
}

func (s seen) Accept() (net.Conn, error) {
	conn, err := s.Listener.Accept()
	if err != nil {
		return nil, err
	}
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return nil, err
	}
	return &seenConn{Conn: conn, raw: raw, ledger: s.ledger}, nil
}

type seenConn struct {
	net.Conn
	raw    syscall.RawConn
	ledger *os.File
}

func (c *seenConn) Read(p []byte) (int, error) {
	var look [8 << 10]byte
	n := 0
	if err := c.raw.Read(func(fd uintptr) bool {
		var err error
		n, _, err = syscall.Recvfrom(int(fd), look[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return !errors.Is(err, syscall.EAGAIN)
	}); err != nil {
		return 0, err
	}
	if _, id, ok := bytes.Cut(look[:max(n, 0)], []byte("X-Request-Id: ")); ok {
		id, _, _ = bytes.Cut(id, []byte("\r\n"))
		fmt.Fprintf(c.ledger, "seen %s\n", id)
	}
	return c.Conn.Read(p)
}
