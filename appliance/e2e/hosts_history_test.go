package e2e_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// asked is one request of a client.
type asked struct {
	began, ended time.Time
	err          error
}

// led is what a box has said of itself at some moment between two.
type led struct {
	asked, answered time.Time
	leads           bool
}

// change is that another box than before says that it leads.
type change struct {
	to string
	at time.Time
}

// history is what was seen while something was done to hosts.
type history struct {
	mu      sync.Mutex
	asked   map[string][]asked // by the box
	single  []asked            // for the service that has one route
	said    map[string][]led
	both    []string // moments at which two led
	changes []change
	routes  map[string][]seen // as each box has it
	made    []string          // services that were accepted
	refused []error
	doubled map[string]bool
	saw     int // sessions at most that were seen to run at a time
}

// seen is how many routes of the service a box would ask at a moment.
type seen struct {
	at     time.Time
	routes int
}

// watch looks at hosts until it is ended: clients ask each box, and one of them, by, for the service with one route; somebody makes
// services, and all are asked who leads and which routes there are.
func (f *hosting) watch(by *host) (h *history, end func()) {
	h = &history{asked: map[string][]asked{}, doubled: map[string]bool{}, said: map[string][]led{}, routes: map[string][]seen{}}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	every := func(d time.Duration, what func()) {
		all.Go(func() {
			for ctx.Err() == nil {
				what()
				select {
				case <-ctx.Done():
				case <-time.After(d):
				}
			}
		})
	}
	ask := func(one *host, model, token string, patience time.Duration) asked {
		client := &http.Client{Timeout: patience, Transport: &http.Transport{DialContext: one.dial, DisableKeepAlives: true}}
		a := asked{began: time.Now()}
		a.err = one.request(context.Background(), client, model, token) // the last one, too, is seen through
		a.ended = time.Now()
		return a
	}
	for _, one := range f.hosts {
		every(20*time.Millisecond, func() {
			a := ask(one, "voices", f.token, 5*time.Second)
			h.mu.Lock()
			defer h.mu.Unlock()
			h.asked[one.name] = append(h.asked[one.name], a)
		})
		every(50*time.Millisecond, func() { h.look(ctx, one) })
		every(50*time.Millisecond, func() { h.count(ctx, one) })
	}
	every(50*time.Millisecond, func() {
		a := ask(by, "single", f.single, 2*time.Second)
		h.mu.Lock()
		defer h.mu.Unlock()
		h.single = append(h.single, a)
	})
	n := 0
	every(300*time.Millisecond, func() {
		name := fmt.Sprintf("made-%d", n)
		one := f.hosts[n%len(f.hosts)]
		n++
		err := one.asks(ctx, 3*time.Second, http.MethodPost, "services", map[string]any{"name": name, "folder": "voices", "image": "host", "replicas": 0}, nil)
		h.mu.Lock()
		defer h.mu.Unlock()
		if err == nil {
			h.made = append(h.made, name)
		} else {
			h.refused = append(h.refused, err)
		}
	})
	every(100*time.Millisecond, func() { h.run(f.hosts) })
	return h, func() { cancel(); all.Wait() }
}

// look asks a box whether it leads.
func (h *history) look(ctx context.Context, one *host) {
	var self clusterSelf
	l := led{asked: time.Now()}
	if one.asks(ctx, time.Second, http.MethodGet, "cluster/self", nil, &self) != nil {
		return
	}
	l.answered, l.leads = time.Now(), self.Leads
	h.mu.Lock()
	defer h.mu.Unlock()
	h.said[one.name] = append(h.said[one.name], l)
	if last := len(h.changes) - 1; l.leads && (last < 0 || h.changes[last].to != one.name) {
		h.changes = append(h.changes, change{one.name, l.answered})
	}
}

// judgeLeaders finds those who led while another one did: who led before that one was asked, and still did when it had answered.
func (h *history) judgeLeaders() {
	for name, mine := range h.said {
		for i := 1; i < len(mine); i++ {
			before, after := mine[i-1], mine[i]
			if !before.leads || !after.leads {
				continue
			}
			for other, theirs := range h.said {
				for _, l := range theirs {
					if other != name && l.leads && l.asked.After(before.answered) && l.answered.Before(after.asked) {
						h.both = append(h.both, fmt.Sprintf("%s and %s at %s", name, other, l.answered.Format(time.StampMilli)))
					}
				}
			}
		}
	}
}

// vacant is the longest time, after began, in which no box said that it leads: from the last answer of who did to the first of who does.
func (h *history) vacant(began time.Time) (long time.Duration) {
	var leads []time.Time
	for _, all := range h.said {
		for _, l := range all {
			if l.leads {
				leads = append(leads, l.answered)
			}
		}
	}
	slices.SortFunc(leads, time.Time.Compare)
	for i, at := range leads {
		if i > 0 && at.After(began) {
			long = max(long, at.Sub(leads[i-1]))
		}
	}
	return long
}

// count asks a box by how many routes it routes.
func (h *history) count(ctx context.Context, one *host) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, one.url+"/metrics", http.NoBody)
	if err != nil {
		return
	}
	answer, err := (&http.Client{Transport: &http.Transport{DialContext: one.dial, DisableKeepAlives: true}}).Do(r)
	if err != nil {
		return
	}
	defer answer.Body.Close()
	s, found := seen{at: time.Now()}, false
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		rest, is := strings.CutPrefix(lines.Text(), `palisade_router_routes{service="voices",state="`)
		if !is {
			continue
		}
		state, value, _ := strings.Cut(rest, `"} `)
		if n, err := strconv.Atoi(value); err == nil && (state == "ready" || state == "avoided") {
			s.routes, found = s.routes+n, true
		}
	}
	if found {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.routes[one.name] = append(h.routes[one.name], s)
	}
}

// run looks where sessions run.
func (h *history) run(hosts []*host) {
	where := map[string]string{}
	for _, one := range hosts {
		for _, id := range one.runs() {
			h.mu.Lock()
			if at, is := where[id]; is && at != one.name {
				h.doubled[id+" on "+at+" and "+one.name] = true
			}
			h.mu.Unlock()
			where[id] = one.name
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.saw = max(h.saw, len(where))
}
