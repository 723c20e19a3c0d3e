package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// alone holds a PostgreSQL database for one process, by an advisory lock of the schema on a connection of its own. The
// lock is the server's and ends with the connection. Where that breaks, writes wait while it is got again; where
// another process has got it meanwhile, they fail, for good, also where that one has lost it again: a row says who had
// it last. Boxes of a cluster share the lock: it keeps those out that want it for themselves, and who has it meanwhile is waited for.
type alone struct {
	config *pgx.ConnConfig
	name   string // as the row has it
	shared bool
	log    *slog.Logger
	conn   *pgx.Conn          // with the lock, until somebody watches over it
	stop   context.CancelFunc // nil until then
	noted  bool               // that the database is ours; a schema that is older than the row has none
	ended  chan struct{}
	taken  chan error // of size 1: another process has it, or had it meanwhile

	mu   sync.Mutex
	held chan struct{} // closed while the lock is ours
	lost error         // why it cannot be got again now: the server does not answer, or, for good, ErrTaken
}

const (
	// aloneSpace tells our locks from those of other programs on the same database: "pali".
	aloneSpace = 0x70616c69
	// alonePatience is how long one that has just ended may take to be gone.
	alonePatience = 5 * time.Second
	// alonePoll is how often it is asked whether it is.
	alonePoll = 20 * time.Millisecond
	// aloneCheck is how often the connection is tried: one whose other end vanished without a word says nothing.
	aloneCheck = 5 * time.Second
	// aloneAgain lies between attempts to get a lost lock.
	aloneAgain = 250 * time.Millisecond
	// aloneWait is how long a write waits for a lost lock, where the server answers: whoever saves does not wait for ever.
	aloneWait = 2 * time.Second
)

// holdersTable has the row that says who had the database last.
const holdersTable = "holders"

// aloneKeepAlive makes the server find out within 25 s that this box has vanished, and give the lock to the next. By
// itself it takes two hours.
const aloneKeepAlive = "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3; SET idle_session_timeout = 0"

// takeAlone takes the database for this process, or fails with ErrTaken and with whose it is. Once the schema is there, holdAlone
// follows. Shared it is taken beside others that share it.
func (s *Store) takeAlone(ctx context.Context, dsn string, shared bool) error {
	config, err := postgresConfig(dsn)
	if err != nil {
		return err
	}
	name := aloneName()
	config.RuntimeParams["application_name"] = name
	a := &alone{
		config: config, name: name + rand.Text(), shared: shared, log: s.log, ended: make(chan struct{}), taken: make(chan error, 1), held: make(chan struct{}),
	}
	if a.conn, err = a.take(ctx, alonePatience); err != nil {
		return err
	}
	close(a.held)
	s.alone = a
	return nil
}

// holdAlone notes that the database is this process's, and watches over the lock from then on. It fails where the lock was lost since
// it was taken.
func (s *Store) holdAlone(ctx context.Context) error {
	a := s.alone
	if a == nil {
		return nil
	}
	if !a.shared {
		if err := a.note(ctx); err != nil {
			return err
		}
	}
	// It lasts as long as the store, not as long as opening it.
	keep, stop := context.WithCancel(context.WithoutCancel(ctx))
	a.stop = stop
	go a.keep(keep, a.conn)
	return nil
}

// note writes that the database is ours. On the connection with the lock: so nobody else's it can be.
func (a *alone) note(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, aloneCheck, errNoAnswer)
	defer cancel()
	_, err := a.conn.Exec(ctx, "INSERT INTO "+holdersTable+" (id, name, since) VALUES (1, $1, $2) "+
		"ON CONFLICT (id) DO UPDATE SET name = excluded.name, since = excluded.since", a.name, time.Now().UnixMicro())
	if postgresDialect().missing(err) || postgresCode(err) == "42501" { // a user who may only read writes nothing that could be old
		return nil
	}
	a.noted = err == nil
	return err
}

// still fails with ErrTaken where another process had the database since it was noted that it is ours.
func (a *alone) still(ctx context.Context, conn *pgx.Conn) error {
	if !a.noted {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, aloneCheck, errNoAnswer)
	defer cancel()
	var last string
	if err := conn.QueryRow(ctx, "SELECT name FROM "+holdersTable+" WHERE id = 1").Scan(&last); err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	if last == a.name {
		return nil
	}
	return &Error{Kind: ErrTaken, Err: errors.New(holderWords(last, "") + " had it while this one was cut off from the server"),
		hint: "what this one knows is old by now: start it again, or give it a database of its own with --database"}
}

// aloneName is what others see of who has the database: "palisade 123@box#x7c2". Boxes may share a name, and processes of
// containers their number. A server cuts names at 63 bytes.
func aloneName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "?"
	}
	return fmt.Sprintf("palisade %d@%.36s#%.6s", os.Getpid(), host, rand.Text())
}

// take connects and takes the lock, for which it waits as long as patience.
func (a *alone) take(ctx context.Context, patience time.Duration) (*pgx.Conn, error) {
	conn, err := pgx.ConnectConfig(ctx, a.config)
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(patience)
	for {
		got, err := a.try(ctx, conn)
		if got {
			return conn, nil
		}
		if err == nil {
			err = a.takenBy(ctx, conn)
		}
		if e, ok := errors.AsType[*Error](err); ok && errors.Is(e, ErrTaken) && time.Now().Before(deadline) {
			err = nil
		}
		if err == nil {
			err = pause(ctx, alonePoll)
		}
		if err != nil {
			a.close(conn)
			return nil, err
		}
	}
}

// try asks for the lock once.
func (a *alone) try(ctx context.Context, conn *pgx.Conn) (got bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, aloneCheck, errNoAnswer)
	defer cancel()
	function := "pg_try_advisory_lock"
	if a.shared {
		function += "_shared"
	}
	err = conn.QueryRow(ctx, "SELECT "+function+"($1, hashtext(COALESCE(current_schema(), '')))", int32(aloneSpace)).Scan(&got)
	if got && err == nil {
		// Older servers do not know all of it, and it is a help only.
		for word := range strings.SplitSeq(aloneKeepAlive, ";") {
			_, _ = conn.Exec(ctx, word)
		}
	}
	return got && err == nil, err
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// holderOf is who has the lock, as it calls itself, and from where; "" where that cannot be seen.
const holderOf = `SELECT l.pid, COALESCE(s.application_name, ''), COALESCE(host(s.client_addr), '')
	FROM pg_locks l JOIN pg_stat_activity s USING (pid)
	WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 AND l.classid = $1
		AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
		AND l.objid::bigint = (hashtext(COALESCE(current_schema(), ''))::bigint & 4294967295)`

// takenBy is the error that says whose the database is; nil where it is nobody's any more.
func (a *alone) takenBy(ctx context.Context, conn *pgx.Conn) error {
	var pid int32
	var name, address string
	err := conn.QueryRow(ctx, holderOf, int32(aloneSpace)).Scan(&pid, &name, &address)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil
	case err != nil:
		return err
	case name == a.config.RuntimeParams["application_name"]:
		// Our own connection from before, of which the server does not know that it is broken.
		_, err := conn.Exec(ctx, "SELECT pg_terminate_backend($1)", pid)
		return err
	}
	return &Error{Kind: ErrTaken, Err: errors.New(holderWords(name, address)),
		hint: "stop that one, or give this one a database of its own with --database; one that was cut off from the server is let go of within 30 s"}
}

// holderWords are a holder's name and address for people.
func holderWords(name, address string) string {
	name, _, _ = strings.Cut(strings.TrimPrefix(name, "palisade "), "#")
	pid, host, ok := strings.Cut(name, "@")
	if !ok {
		return "a process that this user may not see"
	}
	who := fmt.Sprintf("process %s on %s", pid, host)
	if address != "" {
		who += " (" + address + ")"
	}
	return who
}

// keep watches over the connection until ctx ends.
func (a *alone) keep(ctx context.Context, conn *pgx.Conn) {
	defer close(a.ended)
	for {
		err := watch(ctx, conn)
		a.close(conn)
		if ctx.Err() != nil {
			return
		}
		a.mu.Lock()
		a.held = make(chan struct{})
		a.mu.Unlock()
		a.log.WarnContext(ctx, "the lock of the database is lost with its connection; writes wait until it is there again", "error", err)
		if conn = a.regain(ctx); conn == nil {
			return
		}
		a.mu.Lock()
		a.lost = nil
		close(a.held)
		a.mu.Unlock()
		a.log.InfoContext(ctx, "the lock of the database is there again")
	}
}

// watch returns when the connection is gone, with why.
func watch(ctx context.Context, conn *pgx.Conn) error {
	for {
		// Nobody notifies us: this only reads, and so sees at once that the server is gone.
		wait, cancel := context.WithTimeout(ctx, aloneCheck)
		_, err := conn.WaitForNotification(wait)
		quiet := wait.Err() != nil
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil && !quiet {
			return err
		}
		ask, cancel := context.WithTimeout(ctx, aloneCheck)
		err = conn.Ping(ask)
		cancel()
		if err != nil {
			return err
		}
	}
}

// regain gets a lock back that was lost; nil where ctx ended, or where it is another's.
func (a *alone) regain(ctx context.Context) *pgx.Conn {
	for {
		conn, err := a.take(ctx, alonePatience)
		if err == nil {
			if err = a.still(ctx, conn); err == nil {
				return conn
			}
			a.close(conn)
		}
		a.mu.Lock()
		a.lost = err
		a.mu.Unlock()
		if errors.Is(err, ErrTaken) && !a.shared {
			a.taken <- err
			return nil
		}
		if pause(ctx, aloneAgain) != nil {
			return nil
		}
	}
}

// await returns when the lock is ours, as it is but for moments.
func (a *alone) await(ctx context.Context) error {
	if a == nil {
		return nil
	}
	a.mu.Lock()
	held, lost := a.held, a.lost
	a.mu.Unlock()
	if lost != nil {
		return lost
	}
	select {
	case <-held:
		return nil
	default:
	}
	wait, cancel := context.WithTimeout(ctx, aloneWait)
	defer cancel()
	select {
	case <-held:
		return nil
	case <-wait.Done():
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return &Error{Kind: ErrUnavailable, Err: errors.New("its lock was lost with the connection, and is not there again yet"), hint: postgresDown + goesOn}
	}
}

// release lets go of the database. On nil it does nothing.
func (a *alone) release() {
	if a == nil {
		return
	}
	if a.stop == nil {
		a.close(a.conn)
		return
	}
	a.stop()
	<-a.ended
}

// close ends a connection. The lock is given back by word, where there is still somebody to hear it: the server
// notices the end of a connection a moment later.
func (a *alone) close(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if !conn.IsClosed() {
		_, _ = conn.Exec(ctx, "SELECT pg_advisory_unlock_all()")
	}
	_ = conn.Close(ctx)
}

// Taken yields one error when another process has got hold of the database, after the connection to it was lost: this
// one must decide nothing any more, and its writes fail. It never yields on SQLite, and where the lock is shared.
func (s *Store) Taken() <-chan error {
	if s.alone == nil {
		return nil
	}
	return s.alone.taken
}
