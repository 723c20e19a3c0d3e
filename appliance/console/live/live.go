// Package live owns how open pages follow what happens: the parts of a page are made anew when something has changed and
// every few seconds, once for all who see the same, and those that are different go out as server-sent events. Making them
// takes a bounded part of a processor, however many pages are open. It knows nothing of pages.
package live

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Rhythm of a hub.
const (
	every    = 2 * time.Second        // figures move without anything that is said to have changed
	quietest = 3                      // times that, where they do not
	settle   = 250 * time.Millisecond // changes come in bursts
	least    = time.Second            // from one rendering of a page to the next, however much changes
	share    = 20                     // of the time rendering takes one part in so many, on the whole
	rarest   = 30 * time.Second       // but a page is not left for longer
	pingTime = 15 * time.Second       // so that nobody in between takes a quiet stream for dead
	recheck  = 10 * time.Second       // whether who looks still may
	slowest  = 10 * time.Second       // that a browser may take for one event
	// mostOfOne is how many pages of one person are followed. Each that is another one is made anew again and again.
	mostOfOne = 64
)

// Key says who sees the same parts.
type Key struct {
	Page, Project, Language string
	Host                    string // by which the browser calls us: pages tell how to reach services
	Standing                string // what who looks may, in this project and all others
	Person                  string // "": all of the standing see the same
}

// Part is a piece of a page, known by the id of its one element.
type Part struct {
	ID   string
	HTML []byte
}

// Watch is one open page.
type Watch struct {
	Key
	Who    string // whose page it is: nobody has more than mostOfOne
	Render func() ([]Part, error)
	Alive  func() error // an error ends the stream: logged out, or no longer a member
}

// view is what all of one key see. Its parts are replaced, never changed.
type view struct {
	readers map[*Watch]struct{}
	parts   map[string][]byte
	order   []string
	turn    int           // of the last rendering that differed
	anew    chan struct{} // closed when parts have changed
	joined  bool          // somebody came, whose page may be newer than the parts

	// Of the rendering; the hub's goroutine alone has to do with them.
	done  time.Time // when it was made last
	stale bool      // something has changed since
	quiet int       // renderings in a row that differed in nothing
	cost  time.Duration
}

// due is when a view is to be made anew, of so many that are open: none is made before the time is over that is its share, so
// that all of them together take one part in share.
func (v *view) due(open int) time.Time {
	if v.done.IsZero() {
		return v.done
	}
	pause := every * time.Duration(min(1+v.quiet, quietest))
	if v.stale {
		pause = least
	}
	return v.done.Add(max(pause, min(v.cost*time.Duration(open*share), rarest)))
}

// made takes down that it was made at a time, in how long, and whether it differed.
func (v *view) made(at time.Time, took time.Duration, differed bool) {
	if v.done.IsZero() {
		v.cost = took
	}
	v.cost = (3*v.cost + took) / 4
	if v.quiet++; differed {
		v.quiet = 0
	}
	v.done, v.stale = at, false
}

var errNobody = errors.New("nobody looks")

// Hub renders for all open pages, one after another in one goroutine. It is safe for concurrent use.
type Hub struct {
	changed func() <-chan struct{}
	mu      sync.Mutex
	views   map[Key]*view
	many    map[string]int // open pages, by whose they are
	first   chan struct{}  // told when there is a reader again
}

// NewHub returns a hub; changed returns what is closed at the next change.
func NewHub(changed func() <-chan struct{}) *Hub {
	return &Hub{changed: changed, views: map[Key]*view{}, many: map[string]int{}, first: make(chan struct{}, 1)}
}

// Run renders until ctx ends. With no page open it does nothing.
func (h *Hub) Run(ctx context.Context) {
	timer := time.NewTimer(every)
	defer timer.Stop()
	for ctx.Err() == nil {
		changed := h.changed() // before the look: what changes after it wakes us
		next := h.round()
		if next.IsZero() {
			changed = nil // nobody looks
			timer.Stop()
		} else {
			timer.Reset(time.Until(next))
		}
		select {
		case <-changed:
			select {
			case <-time.After(settle):
			case <-ctx.Done():
			}
			for _, v := range h.open() {
				v.stale = true
			}
		case <-h.first:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
}

// round makes anew what is due, those that were never made first, and says when the next one is; zero: no page is open.
func (h *Hub) round() (next time.Time) {
	open := h.open()
	for _, v := range open {
		if !v.due(len(open)).After(time.Now()) {
			begun := time.Now()
			differed := h.render(v)
			v.made(time.Now(), time.Since(begun), differed)
		}
	}
	for _, v := range open {
		if at := v.due(len(open)); next.IsZero() || at.Before(next) {
			next = at
		}
	}
	return next
}

// open are the views that somebody follows, those that waited longest first.
func (h *Hub) open() []*view {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, v := range h.views {
		v.stale, v.joined = v.stale || v.joined && time.Since(v.done) > settle, false
	}
	return slices.SortedFunc(maps.Values(h.views), func(a, b *view) int { return a.done.Compare(b.done) })
}

// render makes the parts of a view anew, and reports whether they differ. A failure leaves what was: who may no longer look is
// found by their own Alive.
func (h *Hub) render(v *view) (differs bool) {
	h.mu.Lock()
	readers := slices.Collect(maps.Keys(v.readers))
	h.mu.Unlock()
	var parts []Part
	err := errNobody
	for _, w := range readers { // of the first who still may: one may have gone, and their request with them
		if parts, err = w.Render(); err == nil {
			break
		}
	}
	if err != nil {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	next, order := map[string][]byte{}, []string{}
	differs = len(parts) != len(v.parts)
	for _, p := range parts {
		next[p.ID] = p.HTML
		order = append(order, p.ID)
		differs = differs || !bytes.Equal(v.parts[p.ID], p.HTML)
	}
	if !differs && v.turn > 0 {
		return false
	}
	v.parts, v.order = next, order
	v.turn++
	close(v.anew)
	v.anew = make(chan struct{})
	return true
}

// join is nil where somebody has too many.
func (h *Hub) join(w *Watch) *view {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.many[w.Who] >= mostOfOne {
		return nil
	}
	h.many[w.Who]++
	v, ok := h.views[w.Key]
	if !ok {
		v = &view{readers: map[*Watch]struct{}{}, parts: map[string][]byte{}, anew: make(chan struct{})}
		h.views[w.Key] = v
	}
	v.readers[w], v.joined = struct{}{}, true
	select {
	case h.first <- struct{}{}:
	default:
	}
	return v
}

func (h *Hub) leave(w *Watch, v *view) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if delete(v.readers, w); len(v.readers) == 0 {
		delete(h.views, w.Key)
	}
	if h.many[w.Who]--; h.many[w.Who] == 0 {
		delete(h.many, w.Who)
	}
}

// Serve sends the parts of a page: those that differ from what was sent to this reader before, until it goes.
func (h *Hub) Serve(w http.ResponseWriter, r *http.Request, watch Watch) {
	v := h.join(&watch)
	if v == nil {
		http.Error(w, "too many pages are open: close some", http.StatusTooManyRequests)
		return
	}
	defer h.leave(&watch, v)
	head := w.Header()
	head.Set("Content-Type", "text/event-stream")
	head.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	rc := http.NewResponseController(w)
	sent := map[string][]byte{}
	ping, check := time.NewTicker(pingTime), time.NewTicker(recheck)
	defer ping.Stop()
	defer check.Stop()
	for {
		h.mu.Lock()
		parts, order, anew := v.parts, v.order, v.anew
		h.mu.Unlock()
		var out bytes.Buffer
		for _, id := range order {
			if before, ok := sent[id]; !ok || !bytes.Equal(before, parts[id]) {
				event(&out, "part", parts[id])
				sent[id] = parts[id]
			}
		}
		if out.Len() > 0 && !write(w, rc, out.Bytes()) {
			return
		}
		select {
		case <-anew:
		case <-ping.C:
			if !write(w, rc, []byte(": ping\n\n")) {
				return
			}
		case <-check.C:
			if err := watch.Alive(); err != nil {
				out.Reset()
				event(&out, "gone", []byte("gone"))
				write(w, rc, out.Bytes())
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}

// event writes one: each line of data has its own field.
func event(out *bytes.Buffer, name string, data []byte) {
	fmt.Fprintf(out, "event: %s\n", name)
	for line := range bytes.Lines(data) {
		out.WriteString("data: ")
		out.Write(bytes.TrimRight(line, "\r\n"))
		out.WriteByte('\n')
	}
	out.WriteByte('\n')
}

func write(w http.ResponseWriter, rc *http.ResponseController, p []byte) bool {
	_ = rc.SetWriteDeadline(time.Now().Add(slowest))
	_, err := w.Write(p)
	return err == nil && rc.Flush() == nil
}
