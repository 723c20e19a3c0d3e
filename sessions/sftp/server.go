package sftp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// mostHandles is how many files and directories one client may have open.
const mostHandles = 1000

// Serve answers what comes from in until it ends. It works with this process's own rights, from its working directory.
// An error says that the client broke the protocol, or that nothing can be said to it any more.
func Serve(in io.Reader, out io.Writer) error {
	s := &server{
		out: bufio.NewWriterSize(out, maxPacket), handles: map[string]*handle{}, now: time.Now,
		names: names{map[uint32]string{}, map[uint32]string{}},
	}
	defer s.closeAll()
	from, buffer := bufio.NewReaderSize(in, 64<<10), make([]byte, maxPacket)
	hello, err := receive(from, buffer)
	switch {
	case errors.Is(err, io.EOF):
		return nil // it asked for nothing
	case err != nil:
		return fmt.Errorf("waiting for the client: %w", err)
	case hello.kind != typeInit:
		return fmt.Errorf("the client begins with a packet of type %d", hello.kind)
	}
	if err := s.send(greeting()); err != nil {
		return err
	}
	for {
		if from.Buffered() == 0 { // nobody waits for an answer while there is more to read
			if err := s.out.Flush(); err != nil {
				return err
			}
		}
		p, err := receive(from, buffer)
		if errors.Is(err, io.EOF) {
			return s.out.Flush()
		}
		if err != nil {
			return err
		}
		if err := s.send(s.answer(p)); err != nil {
			return err
		}
	}
}

// server is one client's. One goroutine works on it, so that what a client asks happens in its order.
type server struct {
	out     *bufio.Writer
	handles map[string]*handle
	last    uint64 // number of the handle that was opened last
	names   names
	now     func() time.Time
}

// handle is an open file or directory.
type handle struct {
	file     *os.File
	appends  bool
	entries  bool // a directory's entries are read from it
	finished bool // there are no more entries
}

func (s *server) closeAll() {
	for _, h := range s.handles {
		_ = h.file.Close()
	}
}

func (s *server) send(w *writer) error {
	_, err := s.out.Write(w.packet())
	return err
}

// greeting says which version is spoken, and which extensions.
func greeting() *writer {
	w := &writer{b: make([]byte, 4)}
	w.b = append(w.b, typeVersion)
	w.uint32(version)
	for _, pair := range [][2]string{
		{"posix-rename@openssh.com", "1"}, {"statvfs@openssh.com", "2"}, {"fstatvfs@openssh.com", "2"}, {"hardlink@openssh.com", "1"},
		{"fsync@openssh.com", "1"}, {"lsetstat@openssh.com", "1"}, {"limits@openssh.com", "1"}, {"expand-path@openssh.com", "1"},
	} {
		w.string(pair[0]).string(pair[1])
	}
	return w
}

// answer does what one packet asks.
func (s *server) answer(p packet) *writer {
	r := &p.body
	id := r.uint32()
	if r.bad {
		return status(id, errBadMessage)
	}
	w, err := s.do(p.kind, id, r)
	if r.bad {
		err = errBadMessage
	}
	if err != nil || w == nil {
		return status(id, err)
	}
	return w
}

// do returns an answer, or nil where there is nothing to say but that it is done.
func (s *server) do(kind byte, id uint32, r *reader) (*writer, error) {
	switch kind {
	case typeOpen:
		return s.open(id, r)
	case typeOpendir:
		return s.openDir(id, r)
	case typeClose:
		return nil, s.close(r)
	case typeRead:
		return s.read(id, r)
	case typeWrite:
		return nil, s.write(r)
	case typeReaddir:
		return s.readDir(id, r)
	case typeFstat, typeFsetstat:
		h, err := s.handle(r)
		if err != nil {
			return nil, err
		}
		if kind == typeFsetstat {
			a := r.attributes()
			if r.bad {
				return nil, errBadMessage
			}
			return nil, a.set(byFile(h.file))
		}
		info, err := h.file.Stat()
		return attrs(id, info, err)
	}
	return s.byPath(kind, id, r)
}

// status says how something went that has no other answer.
func status(id uint32, err error) *writer {
	code, text := uint32(0), "done"
	if err != nil {
		code, text = codeOf(err), sentence(err)
	}
	return reply(typeStatus, id).uint32(code).string(text).string("en")
}

// codeOf is the protocol's word for an error: it has few.
func codeOf(err error) uint32 {
	switch {
	case errors.Is(err, io.EOF):
		return 1
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
		return 2
	case errors.Is(err, fs.ErrPermission), errors.Is(err, unix.EROFS):
		return 3
	case errors.Is(err, errBadMessage):
		return 5
	case errors.Is(err, errors.ErrUnsupported):
		return 8
	}
	return 4
}

// sentence is an error without the path, which the client knows.
func sentence(err error) string {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		err = pe.Err
	}
	if le, ok := errors.AsType[*os.LinkError](err); ok {
		err = le.Err
	}
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return err.Error() + ": make room in the session or its folder"
	}
	return err.Error()
}

func attrs(id uint32, info fs.FileInfo, err error) (*writer, error) {
	if err != nil {
		return nil, err
	}
	return reply(typeAttrs, id).info(info), nil
}

// errHandle is a handle that was never given out, or is closed.
var errHandle = errors.New("no such handle")

func (s *server) handle(r *reader) (*handle, error) {
	if h := s.handles[string(r.bytes())]; h != nil {
		return h, nil
	}
	return nil, errHandle
}

func (s *server) keep(id uint32, h *handle) *writer {
	s.last++
	name := strconv.FormatUint(s.last, 10)
	s.handles[name] = h
	return reply(typeHandle, id).string(name)
}

func (s *server) close(r *reader) error {
	name := r.string()
	h := s.handles[name]
	if h == nil {
		return errHandle
	}
	delete(s.handles, name)
	return h.file.Close()
}
