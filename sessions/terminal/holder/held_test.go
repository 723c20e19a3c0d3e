package holder

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
)

// watcher is one who watches by hand.
type watcher struct {
	t     *testing.T
	conn  net.Conn
	heard chan frame
}

type frame struct {
	kind Kind
	body []byte
}

// attach connects a watcher. Reading is up to the test: heard has room for many frames, and nothing is acknowledged.
func attach(t *testing.T, h *Held, size Window) *watcher {
	t.Helper()
	near, far := net.Pipe()
	w := &watcher{t: t, conn: near, heard: make(chan frame, 4096)}
	t.Cleanup(func() { near.Close() })
	go h.Serve(far)
	go func() {
		defer close(w.heard)
		_, _ = io.Copy(&Parser{Take: func(k Kind, body []byte) error {
			w.heard <- frame{k, bytes.Clone(body)}
			return nil
		}}, near)
	}()
	w.says(KindHello, size.Body())
	if f := <-w.heard; f.kind != KindHello || len(f.body) < 1 {
		t.Fatalf("%+v", f)
	}
	return w
}

func (w *watcher) says(k Kind, body []byte) {
	w.t.Helper()
	if _, err := w.conn.Write(AppendFrame(nil, k, body)); err != nil {
		w.t.Fatal(err)
	}
}

// shown is what has come by now.
func (w *watcher) shown() string {
	synctest.Wait()
	var all bytes.Buffer
	for {
		select {
		case f, open := <-w.heard:
			if !open {
				return all.String()
			}
			if f.kind == KindOutput {
				all.Write(f.body)
			}
		default:
			return all.String()
		}
	}
}

func (w *watcher) took(n int) { w.t.Helper(); w.says(KindTaken, Number(uint32(n))) }

// TestTheFastestHoldsUp: a flood waits for whoever reads fastest; who is slower misses some, and is told so; where nobody
// watches nothing waits.
func TestTheFastestHoldsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(Window{})
		fast, slow := attach(t, h, Window{}), attach(t, h, Window{})
		written := 0
		chunk := bytes.Repeat([]byte("0123456789abcde\n"), 64)
		flood := func(n int) {
			for range n {
				if _, err := h.Write(chunk); err != nil {
					return
				}
				written += len(chunk)
			}
		}
		done := make(chan struct{})
		go func() { flood(1000); close(done) }()
		synctest.Wait()
		if written < Ahead || written > Ahead+2*len(chunk) {
			t.Errorf("%d bytes are shown before anybody takes anything in", written)
		}
		for seen := 0; seen < 1000*len(chunk); {
			n := len(fast.shown())
			if n == 0 || n > Ahead {
				t.Fatalf("%d bytes came at once", n)
			}
			seen += n
			fast.took(n)
		}
		<-done
		n := len(slow.shown())
		if n != Ahead {
			t.Errorf("%d bytes are under way to the slow one", n)
		}
		slow.took(n)
		if text := slow.shown(); !strings.Contains(text, "bytes that came too fast are left out") {
			t.Errorf("the slow one is shown %.80q", text)
		}
		fast.conn.Close()
		slow.conn.Close()
		synctest.Wait()
		flood(1000) // with nobody there
		back := attach(t, h, Window{})
		if text := back.shown(); !strings.HasPrefix(text, "0123456789abcde\n") {
			t.Errorf("who comes back is shown %.80q", text)
		}
		back.conn.Close()
		synctest.Wait()
	})
}

func TestHowItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(Window{24, 80})
		w := attach(t, h, Window{24, 80})
		w.says(KindInput, []byte("ls\r"))
		typed := make([]byte, 8)
		if n, err := h.Read(typed[:2]); err != nil || string(typed[:n]) != "ls" {
			t.Errorf("%q, %v", typed[:n], err)
		}
		if n, err := h.Read(typed); err != nil || string(typed[:n]) != "\r" {
			t.Errorf("%q, %v", typed[:n], err)
		}
		w.says(KindWindow, Window{50, 132}.Body())
		w.says(KindWindow, Window{50, 132}.Body()) // no news
		w.says('?', []byte("from later"))          // passed over
		synctest.Wait()
		if size := <-h.Sizes(); size.Rows != 50 || len(h.Sizes()) > 0 {
			t.Errorf("%+v", size)
		}
		_, _ = io.WriteString(h, "bye")
		h.Exit(syscall.WaitStatus(3 << 8))
		var last frame
		shown := ""
		for f := range w.heard {
			if last = f; f.kind == KindOutput {
				shown += string(f.body)
			}
		}
		if n, err := ReadNumber(last.body); shown != "bye" || last.kind != KindExit || n != 3<<8 || err != nil {
			t.Errorf("%q, then %+v", shown, last)
		}
		if n, _ := h.watched(); n != 0 {
			t.Errorf("%d watch", n)
		}
		if _, err := h.Read(typed); !errors.Is(err, io.EOF) {
			t.Errorf("%v", err)
		}
		if _, err := h.Write(typed); err == nil {
			t.Error("it is shown after the end")
		}
	})
}

// TestWhoDoesNotKeepToIt is cut off, and holds nothing up.
func TestWhoDoesNotKeepToIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(Window{})
		for name, f := range map[string]frame{
			"too much typed":        {KindInput, make([]byte, MaxFrame)},
			"taken what never came": {KindTaken, Number(1)},
			"a window that is none": {KindWindow, []byte{1}},
			"a number that is none": {KindTaken, []byte{1}},
		} {
			w := attach(t, h, Window{})
			for range Ahead/MaxFrame + 1 {
				_, _ = w.conn.Write(AppendFrame(nil, f.kind, f.body))
			}
			synctest.Wait()
			if _, open := <-w.heard; open {
				t.Errorf("%s: it goes on", name)
			}
		}
		silent, far := net.Pipe()
		go h.Serve(far)
		if _, err := silent.Read(make([]byte, 1)); err == nil { // until its time is over
			t.Error("who says nothing is heard")
		}
		said, far := net.Pipe()
		go h.Serve(far)
		_, _ = said.Write(AppendFrame(nil, KindSay, []byte("it ends soon")))
		synctest.Wait()
		if w := attach(t, h, Window{}); w.shown() != "it ends soon" {
			t.Error("what was said to all is not shown")
		}
		if n, _ := h.watched(); n != 1 {
			t.Errorf("%d watch", n)
		}
		for range MostViewers - 1 {
			attach(t, h, Window{})
		}
		near, far := net.Pipe()
		go h.Serve(far)
		_, _ = near.Write(AppendFrame(nil, KindHello, Window{}.Body()))
		if b, _ := io.ReadAll(near); len(b) < head+1 || Kind(b[0]) != KindFailure || Failure(b[head]) != FailedTooMany {
			t.Errorf("%q", b)
		}
		h.Exit(0)
		synctest.Wait()
	})
}

// TestWholeScreens: who draws on the whole screen is made to draw again for one who cannot be shown all of it.
func TestWholeScreens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		size := Window{Rows: 24, Columns: 80}
		h := New(size)
		attach(t, h, size).conn.Close()
		synctest.Wait()
		if len(h.Sizes()) != 0 {
			t.Error("all of it was shown, and it is to draw again")
		}
		for range 3 {
			_, _ = h.Write(make([]byte, Scrollback/2))
		}
		attach(t, h, size).conn.Close()
		if one, two := <-h.Sizes(), <-h.Sizes(); one != (Window{Rows: 23, Columns: 80}) || two != size {
			t.Errorf("%v, %v", one, two)
		}
		synctest.Wait()
	})
}

func FuzzParser(f *testing.F) {
	f.Add([]byte{'o', 0, 1, 'x', 't', 0, 4, 0, 0, 0, 1}, 3)
	f.Add([]byte{'o', 0xff, 0xff}, 1)
	f.Fuzz(func(t *testing.T, b []byte, piece int) {
		var all, again []byte
		p := &Parser{Take: func(k Kind, body []byte) error {
			all = AppendFrame(all, k, body)
			return nil
		}}
		q := &Parser{Take: func(k Kind, body []byte) error {
			again = AppendFrame(again, k, body)
			return nil
		}}
		_, err := p.Write(b)
		var err2 error
		for rest := b; len(rest) > 0 && err2 == nil; {
			n := min(max(1, piece), len(rest))
			_, err2 = q.Write(rest[:n])
			rest = rest[n:]
		}
		if !bytes.Equal(all, again) || (err == nil) != (err2 == nil) || !bytes.HasPrefix(b, all) || len(p.kept) > head+MaxFrame {
			t.Errorf("%q: %q and %q, %v and %v", b, all, again, err, err2)
		}
	})
}
