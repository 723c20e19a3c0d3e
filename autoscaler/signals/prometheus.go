package signals

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/palisade-run/palisade/autoscaler"
)

// Prometheus says which server answers the rules' queries, and how it is asked.
type Prometheus struct {
	URL      string        // http(s)://HOST:PORT[/PREFIX], without /api/v1/query; "": there is none
	Headers  []Header      // of each query
	Interval time.Duration // between two askings of one query: 10 s
	Timeout  time.Duration // of one: 5 s
}

// Header is one field of a query's head. Its value comes from one of the three; a file is read anew each time, so that
// a token may change.
type Header struct {
	Name  string
	Value string
	File  string
	Env   string // name of a variable of the daemon
}

// Bounds of asking.
const (
	queriesAtOnce = 8
	longestAnswer = 1 << 20
)

// asker asks a Prometheus server. Its methods may be called by any goroutine.
type asker struct {
	config Prometheus
	client *http.Client
	places chan struct{}
}

func newAsker(config Prometheus, dial func(context.Context, string, string) (net.Conn, error)) *asker {
	if config.URL == "" {
		return nil
	}
	config.Interval = orElse(config.Interval, 10*time.Second)
	config.Timeout = orElse(config.Timeout, 5*time.Second)
	return &asker{
		config: config,
		client: &http.Client{
			// Not by a proxy that the environment names: what is asked is what the settings say.
			Transport: &http.Transport{
				DialContext: dial, MaxIdleConnsPerHost: queriesAtOnce, IdleConnTimeout: time.Minute,
				MaxResponseHeaderBytes: 64 << 10, DisableCompression: true,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		places: make(chan struct{}, queriesAtOnce),
	}
}

// query is one that a service's rule has. The collector's mu guards it.
type query struct {
	of     *service
	metric autoscaler.Metric
	text   string          // with what stands for the service filled in
	ctx    context.Context //nolint:containedctx // of its timer's askings: ends with the query
	cancel context.CancelFunc
	timer  *time.Timer
	fails  int
	err    error // nil: the last answer was one, or there was none yet
}

func (q *query) arm(c *Collector) {
	q.ctx, q.cancel = context.WithCancel(c.ctx)
	q.timer = time.AfterFunc(0, func() { c.ask(q) })
}

func (q *query) disarm() {
	if q.timer != nil {
		q.timer.Stop()
		q.cancel()
	}
}

// setQueries makes the queries of a service as its spec has them.
func (c *Collector) setQueries(s *service, spec *Service) {
	wanted := map[autoscaler.Metric]*query{}
	for _, m := range spec.Wanted {
		if m.Source != autoscaler.SourcePrometheus || c.asker == nil {
			continue
		}
		text, err := Fill(m.Name, spec)
		q := s.queries[m]
		if q == nil || q.text != text {
			q = &query{of: s, metric: m, text: text, err: err}
		}
		wanted[m] = q
	}
	for m, q := range s.queries {
		if wanted[m] != q {
			q.disarm()
		}
	}
	s.queries = wanted
}

// ask asks once, in a goroutine of the query's timer.
func (c *Collector) ask(q *query) {
	c.mu.Lock()
	if q.ctx.Err() != nil || q.text == "" {
		c.mu.Unlock()
		return
	}
	select {
	case c.asker.places <- struct{}{}:
	default:
		q.timer.Reset(c.asker.config.Interval / 8)
		c.mu.Unlock()
		return
	}
	c.running.Add(1)
	defer c.running.Done()
	c.mu.Unlock()

	value, err := c.asker.ask(q.ctx, q.text)

	<-c.asker.places
	c.mu.Lock()
	defer c.mu.Unlock()
	if q.ctx.Err() != nil {
		return
	}
	wait := c.asker.config.Interval
	if q.err = err; err == nil {
		q.fails = 0
		q.of.add(q.metric, autoscaler.Sample{At: time.Now(), Total: value})
	} else {
		q.fails++
		wait = min(wait<<min(q.fails, 3), max(slowest, wait))
	}
	q.timer.Reset(wait)
}

// ask gives the value of a query now.
func (a *asker) ask(ctx context.Context, text string) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, a.config.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(a.config.URL, "/")+"/api/v1/query",
		strings.NewReader(url.Values{"query": {text}, "timeout": {a.config.Timeout.String()}}.Encode()))
	if err != nil {
		return 0, fmt.Errorf("making a query: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, h := range a.config.Headers {
		value, err := h.value()
		if err != nil {
			return 0, err
		}
		req.Header.Set(h.Name, value)
	}
	answer, err := a.client.Do(req)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // without the address: a query is long, and who reads this knows the server
		}
		return 0, fmt.Errorf("the Prometheus server: %w", inWords(err, a.config.Timeout))
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, longestAnswer+1))
	switch {
	case err != nil:
		return 0, fmt.Errorf("the Prometheus server: %w", inWords(err, a.config.Timeout))
	case len(body) > longestAnswer:
		return 0, fmt.Errorf("the Prometheus server's answer is larger than %d MiB: the query gives too many series", longestAnswer>>20)
	case answer.StatusCode >= 300 && answer.StatusCode < 400:
		return 0, fmt.Errorf("the Prometheus server redirects to %s, and redirects are not followed", plain(answer.Header.Get("Location")))
	}
	return single(answer.StatusCode, body)
}

// value gives what the field says.
func (h *Header) value() (string, error) {
	switch {
	case h.File != "":
		b, err := os.ReadFile(h.File)
		if err != nil {
			return "", fmt.Errorf("reading the header %s for the Prometheus server: %w", h.Name, err)
		}
		return strings.TrimSpace(string(b)), nil
	case h.Env != "":
		v, ok := os.LookupEnv(h.Env)
		if !ok {
			return "", fmt.Errorf("the header %s for the Prometheus server: the variable %s is not set", h.Name, h.Env)
		}
		return strings.TrimSpace(v), nil
	}
	return h.Value, nil
}

// single reads an answer that is to be one number.
func single(status int, body []byte) (float64, error) {
	var a struct {
		Status string `json:"status"`
		Error  string `json:"error"`
		Data   struct {
			Type   string          `json:"resultType"`
			Result json.RawMessage `json:"result"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &a); err != nil || a.Status == "" {
		return 0, fmt.Errorf("the Prometheus server answered %d, and not as one does: %s", status, plain(string(body[:min(len(body), 200)])))
	}
	if a.Status != "success" {
		return 0, fmt.Errorf("the Prometheus server refuses the query: %s", plain(a.Error))
	}
	switch a.Data.Type {
	case "scalar":
		return pair(a.Data.Result)
	case "vector":
		var of []struct {
			Value json.RawMessage `json:"value"`
		}
		if err := json.Unmarshal(a.Data.Result, &of); err != nil {
			return 0, fmt.Errorf("the Prometheus server's answer: %w", err)
		}
		switch {
		case len(of) == 0:
			return 0, errors.New("the query gives nothing")
		case len(of) > 1:
			return 0, fmt.Errorf("the query gives %d series: make one of them, for example by sum(...)", len(of))
		}
		return pair(of[0].Value)
	}
	return 0, fmt.Errorf("the query gives a %s: it must give one number", plain(a.Data.Type))
}

// pair reads [time, "value"].
func pair(raw json.RawMessage) (float64, error) {
	var pair [2]any
	if err := json.Unmarshal(raw, &pair); err != nil {
		return 0, fmt.Errorf("the Prometheus server's answer: %w", err)
	}
	text, _ := pair[1].(string)
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, fmt.Errorf("the Prometheus server's answer has %q for a value", plain(text))
	}
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0, fmt.Errorf("the query gives %s, which is no number", text)
	}
	return v, nil
}
