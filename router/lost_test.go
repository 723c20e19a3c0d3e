package router

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// What a box that has fallen silent has not begun to answer is answered elsewhere, where nothing but the answer comes of it. All else is
// left where it is.
func TestABoxFallsSilent(t *testing.T) {
	// asked is told of each request; where the answer begins at once, when the client has its beginning.
	asked, goOn, ended := make(chan struct{}, 10), make(chan struct{}), make(chan struct{}, 10)
	waits := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if strings.Contains(r.URL.Path, "begun") {
			_, _ = io.WriteString(w, "a")
			_ = http.NewResponseController(w).Flush()
		} else {
			asked <- struct{}{}
		}
		select {
		case <-goOn:
		case <-r.Context().Done():
		}
		ended <- struct{}{}
		_, _ = io.WriteString(w, "a")
	}
	for name, tc := range map[string]struct {
		method, path, body string
		want               string
		alone              bool // there is no other route
	}{
		"a chat":                   {"POST", "/v1/chat/completions", chatHello, "b", false},
		"a chat by name":           {"POST", "/services/hello/v1/chat/completions", chatHello, "b", false},
		"embeddings":               {"POST", "/v1/embeddings", `{"model":"hello","input":"x"}`, "b", false},
		"a question":               {"GET", "/services/hello/x", "", "b", false},
		"who knows what":           {"POST", "/services/hello/x", "{}", "a", false},
		"a change":                 {"DELETE", "/services/hello/x", "", "a", false},
		"something kept":           {"POST", "/services/hello/v1/responses/id/cancel", "{}", "a", false},
		"an answer that has begun": {"GET", "/services/hello/begun", "", "aa", false},
		"nobody else answers":      {"POST", "/v1/chat/completions", chatHello, "a", true},
	} {
		t.Run(name, func(t *testing.T) {
			silent, other := engine(t, waits), engine(t, says("b"))
			addrs := []string{silent}
			if !tc.alone {
				addrs = append(addrs, other)
			}
			s := hello(addrs...)
			if !tc.alone {
				s.Routes[1].Weight = 0
			}
			g := newRig(t, Config{}, s)
			got := make(chan string)
			go func() {
				res, err := g.server.Client().Do(g.request(tc.method, tc.path, tc.body))
				if err != nil {
					got <- err.Error()
					return
				}
				defer res.Body.Close()
				if strings.Contains(tc.path, "begun") {
					asked <- struct{}{}
				}
				text, err := io.ReadAll(res.Body)
				if err != nil {
					got <- err.Error()
					return
				}
				got <- string(text)
			}()
			<-asked
			s = hello(addrs...)
			s.Routes[0].Lost = true
			g.SetServices([]Service{s})
			g.SetServices([]Service{s}) // it comes often
			if tc.want != "b" {
				if n := g.InFlight("r1"); n != 1 {
					t.Errorf("%d are left where they are", n)
				}
				select {
				case goOn <- struct{}{}:
				case text := <-got:
					t.Fatalf("got %q", text)
				}
			}
			<-ended
			if text := <-got; text != tc.want {
				t.Errorf("got %q, want %q", text, tc.want)
			}
			if n := g.metric("palisade_router_retries_total", "reason", "lost"); (n == 1) != (tc.want == "b") {
				t.Errorf("%v retries", n)
			}
			if n := g.metric("palisade_router_routes", "state", "lost"); n != 1 {
				t.Errorf("%v routes are lost", n)
			}
			// It is heard of again.
			s.Routes[0].Lost = false
			s.Routes = s.Routes[:1]
			g.SetServices([]Service{s})
			go func() { <-asked; goOn <- struct{}{} }()
			if status, text := g.chat(); status != http.StatusOK || text != "a" {
				t.Errorf("when it is back: %d %s", status, text)
			}
			<-ended
		})
	}
}

// What nobody else takes, and what may not wait for somebody, is left where it is: the box may be slow and no more.
func TestABoxFallsSilentAndTheOthersAreBusy(t *testing.T) {
	asked, goOn := make(chan struct{}, 10), make(chan struct{})
	waits := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			asked <- struct{}{}
			select {
			case <-goOn:
			case <-r.Context().Done():
			}
			_, _ = io.WriteString(w, text)
		}
	}
	addrs := []string{engine(t, waits("slow")), engine(t, waits("busy"))}
	table := func(first, second float64, lost bool) Service {
		s := hello(addrs...)
		s.Routes[0].Weight, s.Routes[1].Weight, s.Routes[0].Lost = first, second, lost
		s.Traffic.Balance.Limit = 1
		return s
	}
	g := newRig(t, Config{}, table(0, 1, false))
	got := make(chan string, 2)
	ask := func() {
		_, text := g.chat()
		got <- text
	}
	go ask()
	<-asked
	g.SetServices([]Service{table(1, 0, false)})
	go ask()
	<-asked
	g.SetServices([]Service{table(1, 1, true)})
	close(goOn)
	texts := map[string]bool{<-got: true, <-got: true}
	if !texts["slow"] || !texts["busy"] {
		t.Errorf("got %v", texts)
	}
}

// going is a sink of a request that goes elsewhere when it is asked.
type going struct{ is bool }

func (g going) take([]byte) bool { return true }
func (g going) leaves() bool     { return g.is }

// A request that was not written yet is not written to a box that is known to be silent, whatever it is, unless nobody else takes it.
func TestNothingNewIsWrittenToASilentBox(t *testing.T) {
	for name, tc := range map[string]struct {
		elsewhere bool
		want      error
	}{"another one takes it": {true, errLost}, "nobody does": {false, nil}} {
		t.Run(name, func(t *testing.T) {
			e := newUpstream(engine(t, says("")), Config{}.withDefaults(), &buffers{}, newDepartures())
			defer e.leave()
			e.lost = true
			now := time.Now()
			c, err := e.take(t.Context, now, true)
			if err != nil {
				t.Fatal(err)
			}
			defer c.close()
			c.bear(now)
			err = c.converse([]byte("DELETE /x HTTP/1.1\r\nHost: x\r\n\r\n"), going{tc.elsewhere})
			if !errors.Is(err, tc.want) || c.wrote == tc.elsewhere {
				t.Errorf("%v, written: %v", err, c.wrote)
			}
			e.keep(c, now)
			if kept := len(e.idle) == 1; kept == tc.elsewhere {
				t.Errorf("kept for the next request: %v", kept)
			}
		})
	}
}
