package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// load asks steadily: a request comes when it is due, whatever became of those before, over connections that
// are kept and over new ones, for whole answers and for streams.
type load struct {
	url, token string
	every      time.Duration
	patient    bool // as official clients are: what got no answer, or is to come again later, is asked again
	kept, once *http.Client
	next       atomic.Int64 // number of the last request

	mu      sync.Mutex
	results []result
}

// result is what became of one request.
type result struct {
	id     string
	status int    // 0: no answer
	end    string // "": the whole answer; else what was wrong with it
	took   time.Duration
	again  int // how often a patient client asked again
}

// lostAfter is when a request without an answer counts as lost.
const lostAfter = 20 * time.Second

func newLoad(t *testing.T, url, token string, every time.Duration) *load {
	kept := &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: 10 * time.Second, DisableCompression: true} // what it keeps for long is counted as open in the daemon
	t.Cleanup(kept.CloseIdleConnections)
	return &load{
		url: url + "/v1/chat/completions", token: token, every: every,
		kept: &http.Client{Transport: kept}, once: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
	}
}

// during asks while what goes on, and returns what became of all that was asked meanwhile.
func (l *load) during(what func()) []result {
	l.mu.Lock()
	l.results = nil
	l.mu.Unlock()
	stop := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		tick := time.NewTicker(l.every)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				n := l.next.Add(1)
				all.Go(func() { l.ask(n) })
			}
		}
	})
	what()
	close(stop)
	all.Wait()
	return l.results
}

// more returns when so many requests more are due.
func (l *load) more(n int64) {
	tick := time.NewTicker(l.every)
	defer tick.Stop()
	for until := l.next.Load() + n; l.next.Load() < until; {
		<-tick.C
	}
}

// ask makes the n-th request: every third wants a stream, every fifth comes over a connection of its own.
func (l *load) ask(n int64) {
	r := result{id: fmt.Sprint("c-", n)}
	body, whole := `{"model":"ledger","delay_ms":10,"messages":[]}`, `"total_tokens":7}}`
	if n%3 == 0 {
		body, whole = `{"model":"ledger","stream":true,"delay_ms":5,"events":4,"pause_ms":5,"messages":[]}`, "data: [DONE]\n\n"
	}
	client := l.kept
	if n%5 == 0 {
		client = l.once
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), lostAfter, errors.New("no answer in time"))
	defer cancel()
	begun := time.Now()
	for r.status, r.end = l.send(ctx, client, r.id, body, whole); l.patient && r.end != "" && passing(r.status) && ctx.Err() == nil; r.again++ {
		select {
		case <-time.After(500 * time.Millisecond): // as long as theirs is at first
		case <-ctx.Done():
		}
		r.status, r.end = l.send(ctx, client, r.id, body, whole)
	}
	r.took = time.Since(begun)
	l.mu.Lock()
	l.results = append(l.results, r)
	l.mu.Unlock()
}

// passing reports what official clients try again.
func passing(status int) bool {
	return status == 0 || status == http.StatusTooManyRequests || status >= http.StatusInternalServerError
}

func (l *load) send(ctx context.Context, client *http.Client, id, body, whole string) (status int, end string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.url, strings.NewReader(body))
	if err != nil {
		return 0, err.Error()
	}
	req.GetBody = nil // the client is to try nothing twice
	req.Header.Set("Authorization", "Bearer "+l.token)
	req.Header.Set("X-Request-Id", id)
	res, err := client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		return 0, err.Error()
	case res.StatusCode != http.StatusOK || !strings.HasSuffix(string(answer), whole):
		return res.StatusCode, string(answer[max(0, len(answer)-300):])
	}
	return res.StatusCode, ""
}

// ledger is what engines wrote down.
type ledger struct{ seen, begun map[string]int } // by a request's id: how many engines did

func readLedger(t *testing.T, dir string) ledger {
	t.Helper()
	l := ledger{map[string]int{}, map[string]int{}}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			switch word, id, _ := strings.Cut(strings.TrimSpace(line), " "); word {
			case "seen":
				l.seen[id]++
			case "begun":
				l.begun[id]++
			}
		}
	}
	return l
}

// tally is one line of the table.
type tally struct {
	fault                             string
	asked, answered, failed, notBegun int
	retried, duplicated, lost, again  int
	p50, p99, most                    time.Duration
	unbegun                           []result // those of notBegun and lost
}

func (l ledger) tally(fault string, results []result, retried int) tally {
	y := tally{fault: fault, asked: len(results), retried: retried}
	var took []time.Duration
	for _, r := range results {
		y.again += r.again
		switch {
		case r.end == "":
			y.answered++
			took = append(took, r.took)
		case r.status == 0:
			y.lost++
			y.unbegun = append(y.unbegun, r)
		default:
			y.failed++
			if l.seen[r.id] == 0 {
				y.notBegun++
				y.unbegun = append(y.unbegun, r)
			}
		}
		if l.begun[r.id] > 1 {
			y.duplicated++
		}
	}
	if slices.Sort(took); len(took) > 0 {
		y.p50, y.p99, y.most = took[len(took)/2], took[len(took)*99/100], took[len(took)-1]
	}
	return y
}

const tallyHead = "fault                        asked answered failed not begun retried twice lost     p50     p99     max"

func (y tally) String() string {
	ms := func(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d)/1e6) }
	return fmt.Sprintf("%-28s %5d %8d %6d %9d %7d %5d %4d %7s %7s %7s",
		y.fault, y.asked, y.answered, y.failed, y.notBegun, y.retried, y.duplicated, y.lost, ms(y.p50), ms(y.p99), ms(y.most))
}
