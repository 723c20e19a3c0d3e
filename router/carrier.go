package router

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// carriers pass on streams of events whose answers have begun. A stream mostly waits: a goroutine of its own
// would keep a stack meanwhile, and be put to sleep and woken for each event. So a stream is its exchange and
// two descriptors, until its end is near; then it is a goroutine's again, for that may have to wait.
type carriers struct {
	log     *slog.Logger
	silence time.Duration
	next    atomic.Uint32
	all     atomic.Pointer[[]*carrier] // nil before the first stream

	mu     sync.Mutex // guards what follows
	closed bool
}

// mostCarriers is enough for more streams than one machine's engines have.
const mostCarriers = 8

// carry takes over the stream that c is to resume; false: it cannot be carried, and stays c's. Else c is not to
// be touched any more: its life goes on with wire.after, on another goroutine.
func (s *carriers) carry(c *wire) bool {
	a := &c.streaming.answer
	if c.raw == nil || a.conn.raw == nil || !a.events || a.framed == byLength { // such an engine's connection may be kept
		return false
	}
	all := s.all.Load()
	if all == nil {
		if all = s.begin(); all == nil {
			return false
		}
	}
	return (*all)[int(s.next.Add(1))%len(*all)].take(c)
}

// begin starts the carriers, one for each processor.
func (s *carriers) begin() *[]*carrier {
	s.mu.Lock()
	defer s.mu.Unlock()
	if have := s.all.Load(); have != nil || s.closed {
		return have
	}
	var all []*carrier
	for range min(runtime.GOMAXPROCS(0), mostCarriers) {
		k, err := newCarrier(s.silence, s.log)
		if err != nil {
			s.log.Warn("streams are passed on one by one", "error", err)
			break
		}
		all = append(all, k)
		go k.run()
	}
	if all == nil {
		return nil
	}
	s.all.Store(&all)
	return &all
}

// close lets the carriers end when they have nothing more to carry. No stream is taken any more.
func (s *carriers) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if all := s.all.Load(); all != nil {
		for _, k := range *all {
			k.close()
		}
	}
}

// carrier passes on streams, on one goroutine that never waits for one of them. Its epoll watches their engines,
// and clients that take nothing now. Go's poller watches the epoll: while nothing happens the goroutine waits
// there as any other, and takes its turn with them.
type carrier struct {
	log     *slog.Logger
	silence time.Duration
	epoll   int
	file    *os.File // of epoll
	raw     syscall.RawConn
	kick    int // an eventfd: a write to it is news
	in      []byte
	events  []unix.EpollEvent
	found   []*carried // whom the events are about
	more    []*carried // that have had their share of a turn

	mu     sync.Mutex // guards what follows
	places []*carried
	free   []int32 // places of nobody
	rounds []int32 // how often each place was given away: what the kernel says of one before is nobody's
	count  int
	closed bool
}

// carried is one stream.
type carried struct {
	wire     *wire
	exchange *exchange
	engine   *engineConn
	fd       int   // of the engine
	place    int32 // among the carrier's
	heard    time.Time
	stalled  bool // the client takes nothing now: nothing is read meanwhile
	again    bool // among more
	ended    bool // the engine has closed its side: there is an end to be read
	over     bool
}

const (
	carriedBatch = 16       // events of a turn, and then others have theirs
	carriedShare = 8        // reads of one stream in a turn
	carriedRead  = 16 << 10 // bytes of one
	sweeps       = 16       // looks for silent ones, in the time that they may be silent
)

func newCarrier(silence time.Duration, log *slog.Logger) (*carrier, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("making an epoll for streams: %w", err)
	}
	if err := unix.SetNonblock(epoll, true); err != nil { // else Go would not poll it
		_ = unix.Close(epoll)
		return nil, fmt.Errorf("making an epoll for streams: %w", err)
	}
	k := &carrier{
		log: log, silence: silence, epoll: epoll, file: os.NewFile(uintptr(epoll), "epoll of streams"),
		in: make([]byte, carriedRead), events: make([]unix.EpollEvent, carriedBatch), found: make([]*carried, carriedBatch),
	}
	if k.kick, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err == nil {
		err = unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, k.kick, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: kicked})
	}
	if err == nil {
		k.raw, err = k.file.SyscallConn()
	}
	if err == nil { // an epoll that Go cannot poll would be waited for by a thread
		err = k.file.SetReadDeadline(time.Now().Add(silence / sweeps))
	}
	if err != nil {
		_ = unix.Close(k.kick)
		_ = k.file.Close()
		return nil, fmt.Errorf("making ready to carry streams: %w", err)
	}
	return k, nil
}

const kicked = -1

// take makes a stream the carrier's.
func (k *carrier) take(c *wire) bool {
	x := c.streaming
	r := &carried{wire: c, exchange: x, engine: x.answer.conn, heard: x.now}
	if !k.reserve(r) {
		return false
	}
	fd, err := r.engine.double()
	if err != nil {
		k.forget(r)
		return false
	}
	// Nothing is asked for yet, but the kernel makes room: what comes later cannot fail for want of it.
	if k.control(unix.EPOLL_CTL_ADD, fd, r, 0) != nil || !r.engine.detach(fd) {
		_ = unix.EpollCtl(k.epoll, unix.EPOLL_CTL_DEL, fd, nil) // the connection lives on
		_ = unix.Close(fd)
		k.forget(r)
		return false
	}
	r.fd, c.carried = fd, true
	if err := k.publish(r); err != nil {
		k.log.Error("a stream is not watched", "error", err) // the sweep ends it
	}
	return true
}

// publish lets a stream be served. Nobody finds it before its events are asked for: an end is told whether asked
// for or not, and the descriptor of a stream that is over is another's.
func (k *carrier) publish(r *carried) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.places[r.place] = r
	return unix.EpollCtl(k.epoll, unix.EPOLL_CTL_MOD, r.fd, &unix.EpollEvent{
		Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET, Fd: r.place, Pad: k.rounds[r.place],
	})
}

// reserve finds a place; false: the carrier is about to end.
func (k *carrier) reserve(r *carried) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return false
	}
	k.count++
	if n := len(k.free); n > 0 {
		r.place = k.free[n-1]
		k.free = k.free[:n-1]
	} else {
		r.place = int32(len(k.places))
		k.places, k.rounds = append(k.places, nil), append(k.rounds, 0)
	}
	return true
}

// forget makes the place another's.
func (k *carrier) forget(r *carried) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.places[r.place] = nil
	k.rounds[r.place]++
	k.free = append(k.free, r.place)
	if k.count--; k.closed && k.count == 0 {
		_ = k.file.SetReadDeadline(past)
	}
}

func (k *carrier) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
	_ = k.file.SetReadDeadline(past)
}

// control asks the kernel for events of a descriptor of r.
func (k *carrier) control(op, fd int, r *carried, events uint32) error {
	k.mu.Lock()
	round := k.rounds[r.place]
	k.mu.Unlock()
	return unix.EpollCtl(k.epoll, op, fd, &unix.EpollEvent{Events: events, Fd: r.place, Pad: round})
}

func (k *carrier) run() {
	for {
		err := k.raw.Read(k.turn)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			k.log.Error("no more streams are passed on", "error", err) // cannot be: nobody else closes it
			return
		}
		now := time.Now()
		k.sweep(now)
		k.mu.Lock()
		last := k.closed && k.count == 0
		if !last {
			_ = k.file.SetReadDeadline(now.Add(k.silence / sweeps))
		}
		k.mu.Unlock()
		if last {
			_ = k.file.Close()
			_ = unix.Close(k.kick)
			return
		}
	}
}

// turn serves those of whom there is news, and then lets others have the processor; it is called when there
// may be more.
func (k *carrier) turn(uintptr) bool {
	more := k.more
	k.more = nil
	for _, r := range more {
		r.again = false
		k.serve(r, 0)
	}
	served := 0
	for served < carriedBatch { // what came meanwhile is had for less here than through Go's poller
		n := k.look()
		if n == 0 {
			break
		}
		served += n
		for i, r := range k.found[:n] {
			if k.found[i] = nil; r != nil {
				k.serve(r, k.events[i].Events)
			}
		}
	}
	if served >= carriedBatch || len(k.more) > 0 {
		// Go's poller tells of news only, and this is none. So some is made.
		one := uint64(1)
		_, _, _ = syscall.RawSyscall(syscall.SYS_WRITE, uintptr(k.kick), uintptr(unsafe.Pointer(&one)), unsafe.Sizeof(one))
	}
	return false
}

// look takes the news there are, without waiting for any.
func (k *carrier) look() int {
	n, _, e := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(k.epoll), uintptr(unsafe.Pointer(&k.events[0])), uintptr(len(k.events)), 0, 0, 0)
	if e != 0 {
		return 0 // nothing can be wrong with it
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := range int(n) {
		k.found[i] = nil
		if e := &k.events[i]; e.Fd != kicked && k.rounds[e.Fd] == e.Pad {
			k.found[i] = k.places[e.Fd]
		}
	}
	return int(n)
}

// serve passes on what there is of one stream.
func (k *carrier) serve(r *carried, events uint32) {
	defer func() {
		if p := recover(); p != nil {
			k.log.Error("a stream failed the router itself; its connection is closed", "panic", p, "stack", string(debug.Stack()))
			r.wire.cut()
			k.leave(r, errFailed)
		}
	}()
	r.ended = r.ended || events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0
	switch {
	case r.over:
		return
	case r.wire.gone.Load():
		k.leave(r, errLeft)
		return
	case r.stalled:
		if r.wire.flush() != nil {
			k.leave(r, nil)
			return
		}
		if len(r.wire.pending) > 0 {
			return
		}
		k.goOn(r)
	}
	k.read(r)
}

var (
	errLeft   = errors.New("the client has gone")
	errFailed = errors.New("the router failed")
)

// read reads of the engine until there is nothing, or too much.
func (k *carrier) read(r *carried) {
	for range carriedShare {
		n, err := readNow(uintptr(r.fd), k.in)
		if n <= 0 {
			if !errors.Is(err, unix.EAGAIN) {
				k.leave(r, fmt.Errorf("reading from the engine: %w", r.engine.endOf(err, uintptr(r.fd))))
			}
			return
		}
		done := r.exchange.take(k.in[:n])
		r.heard = r.exchange.now
		switch {
		case done:
			k.leave(r, nil)
			return
		case len(r.wire.pending) > 0:
			k.stall(r)
			return
		case n < len(k.in) && !r.ended: // the kernel has no more, and will tell when it has
			return
		}
	}
	if !r.again {
		r.again = true
		k.more = append(k.more, r)
	}
}

// stall waits for a client that takes nothing now.
func (k *carrier) stall(r *carried) {
	r.stalled = true
	if err := k.control(unix.EPOLL_CTL_ADD, int(r.wire.descriptor), r, unix.EPOLLOUT|unix.EPOLLET); err != nil {
		r.stalled = false
		r.wire.cut()
		k.leave(r, nil)
	}
}

// goOn is for a client that takes something again.
func (k *carrier) goOn(r *carried) {
	r.stalled = false
	_ = unix.EpollCtl(k.epoll, unix.EPOLL_CTL_DEL, int(r.wire.descriptor), nil)
}

// leave gives a stream back to a goroutine, with the reason for which nothing more is read of it; nil: it has
// come to its end, or its client has.
func (k *carrier) leave(r *carried, err error) {
	if r.over {
		return
	}
	r.over = true
	if r.stalled {
		k.goOn(r)
	}
	k.forget(r)
	r.wire.carried = false
	go r.wire.after(err)
}

// sweep ends streams of which nothing was heard for too long, and those whose client has read nothing for that
// long.
func (k *carrier) sweep(now time.Time) {
	k.mu.Lock()
	all := append([]*carried(nil), k.places...)
	k.mu.Unlock()
	for _, r := range all {
		if r == nil || r.over || now.Sub(r.heard) < k.silence {
			continue
		}
		if r.stalled {
			r.wire.cut()
		}
		k.leave(r, fmt.Errorf("reading from the engine: %w", os.ErrDeadlineExceeded))
	}
}
