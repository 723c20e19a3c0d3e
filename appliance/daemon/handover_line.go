package daemon

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/router"
)

// What a daemon and its successor say to each other, in this order. The older one decides: until it has heard
// "opened" it can end the other and go on as before.
const (
	sayHello    = "hello"    // older: where it listens and what it works on
	sayPrepared = "prepared" // newer: settings and certificate are good, the port is there
	sayYours    = "yours"    // older: nothing is decided or written here any more
	sayReady    = "ready"    // newer: what runs is adopted, requests can be answered
	sayGo       = "go"       // older: there is no way back
	sayOpened   = "opened"   // newer: connections are accepted
	sayFailed   = "failed"   // newer, at any time before: why it ends

	sayFlying  = "flying"   // older: requests that it is answering, by route, and those that wait, by service
	sayTable   = "table"    // newer: who can answer, for the requests that are left
	sayKeyGone = "key gone" // newer: an SSH key was removed, with which people may be connected
	sayStop    = "stop"     // newer: the appliance stops
)

// message is one JSON object on a line. Fields that are not known are left alone: the other may be of another version.
type message struct {
	Say string `json:"say"`

	Data      string `json:"data,omitempty"`      // hello
	Listen    string `json:"listen,omitempty"`    // hello: as it was set, not as it is
	SSH       string `json:"ssh,omitempty"`       // hello: where SSH is served
	Apps      string `json:"apps,omitempty"`      // hello: where apps have a port of their own
	Activated bool   `json:"activated,omitempty"` // hello: the listeners are systemd's, whatever is set

	Version string `json:"version,omitempty"` // prepared

	Error string `json:"error,omitempty"` // failed
	Hint  string `json:"hint,omitempty"`

	Flying  map[string]int            `json:"flying,omitempty"`
	Waiting map[string]int            `json:"waiting,omitempty"` // by service
	Table   map[string][]router.Route `json:"table,omitempty"`   // by service
	Key     string                    `json:"key,omitempty"`     // key gone: its id

	Outlooks map[string]outlook `json:"outlooks,omitempty"` // by service, of those of which there is something to say
}

// tableOf says who can answer.
func tableOf(stands map[string]standing) message {
	m := message{Say: sayTable, Table: make(map[string][]router.Route, len(stands)), Outlooks: map[string]outlook{}}
	for service, s := range stands {
		m.Table[service] = s.routes
		if s.outlook != (outlook{}) {
			m.Outlooks[service] = s.outlook
		}
	}
	return m
}

// stands is what tableOf was told.
func (m message) stands() map[string]standing {
	out := make(map[string]standing, len(m.Table))
	for service, routes := range m.Table {
		out[service] = standing{routes, m.Outlooks[service]}
	}
	return out
}

// line is the connection between the two. say may be called by several goroutines.
type line struct {
	conn  net.Conn
	heard chan message // closed when the other has ended
	mu    sync.Mutex   // of writes
}

// lineTime bounds one write: the other reads at once, or is stopped.
const lineTime = 5 * time.Second

// newLine speaks over file, which it closes.
func newLine(file *os.File) (*line, error) {
	conn, err := net.FileConn(file)
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("speaking to the other daemon: %w", err)
	}
	l := &line{conn: conn, heard: make(chan message, 16)}
	go l.listen()
	return l, nil
}

// linePair is one end for this process and one to leave to another.
func linePair() (*line, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("making a line to a successor: %w", err)
	}
	theirs := os.NewFile(uintptr(fds[1]), controlName)
	own, err := newLine(os.NewFile(uintptr(fds[0]), controlName))
	if err != nil {
		return nil, nil, errors.Join(err, theirs.Close())
	}
	return own, theirs, nil
}

// listen ends with the connection. Whoever holds the line reads heard until it is closed.
func (l *line) listen() {
	defer close(l.heard)
	r := bufio.NewReader(io.LimitReader(l.conn, 1<<40))
	for {
		text, err := r.ReadBytes('\n')
		if err != nil {
			return
		}
		var m message
		if json.Unmarshal(text, &m) == nil {
			l.heard <- m
		}
	}
}

func (l *line) say(m message) error {
	text, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("speaking to the other daemon: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.conn.SetWriteDeadline(time.Now().Add(lineTime))
	if _, err := l.conn.Write(append(text, '\n')); err != nil {
		return fmt.Errorf("speaking to the other daemon: %w", err)
	}
	return nil
}

func (l *line) close() { _ = l.conn.Close() }
