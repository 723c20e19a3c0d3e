package rehearse

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"
)

// The columns of a trace's CSV, as its first line may say.
var columns = [...]string{"time", "prompt_tokens", "output_tokens"}

// also is what the public traces of Azure's LLM inference call them.
var also = [...]string{"TIMESTAMP", "ContextTokens", "GeneratedTokens"}

const (
	longestLine = 1 << 10
	// since1970 is from where on seconds are taken to be those since 1970: they cannot be of a trace of MaxLength.
	since1970 = 1e8
)

// Monday is when a trace begins whose times are seconds: it matters to schedules alone.
func Monday() time.Time { return time.Date(2026, time.January, 5, 0, 0, 0, 0, time.UTC) }

// LineError says what is wrong with one line of a CSV.
type LineError struct {
	Name   string
	Line   int // from 1
	Column int // from 1; 0: the line as a whole
	What   string
}

func (e *LineError) Error() string {
	if e.Column == 0 {
		return fmt.Sprintf("%s, line %d: %s", e.Name, e.Line, e.What)
	}
	return fmt.Sprintf("%s, line %d, column %d (%s): %s", e.Name, e.Line, e.Column, columns[e.Column-1], e.What)
}

// Unwrap gives its kind.
func (*LineError) Unwrap() error { return ErrTrace }

// Hint is how a trace is written.
func (*LineError) Hint() string {
	return "a line is TIME,PROMPT_TOKENS,OUTPUT_TOKENS: seconds or RFC 3339, then two whole numbers, the earliest first; see one: palisade autoscale generate --requests 5"
}

// Read reads a trace: a line each request, time, prompt tokens, output tokens. Times are seconds (since the trace's start or
// since 1970), RFC 3339, or 2006-01-02 15:04:05 in UTC; each line the same form, none before the one in front of it. A first
// line with the columns' names may be there; empty lines, and those that begin with #, are passed over.
func Read(name string, from io.Reader) (*Trace, error) {
	r := reader{name: name, trace: &Trace{Name: name, Start: Monday()}}
	lines := bufio.NewScanner(from)
	lines.Buffer(make([]byte, 0, longestLine), longestLine)
	for lines.Scan() {
		r.line++
		if err := r.read(lines.Bytes()); err != nil {
			return nil, err
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		r.line++
		return nil, r.bad(0, "is longer than %d bytes", longestLine)
	} else if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if len(r.trace.Requests) == 0 {
		return nil, fmt.Errorf("%w: %s has no requests", ErrTrace, name)
	}
	return r.trace, nil
}

// reader is where a Read is.
type reader struct {
	name  string
	line  int
	trace *Trace
	form  string        // layout of its times; "": none yet; "s": seconds
	base  time.Duration // of seconds: what the trace begins at
}

func (r *reader) bad(column int, format string, args ...any) error {
	return &LineError{Name: r.name, Line: r.line, Column: column, What: fmt.Sprintf(format, args...)}
}

func (r *reader) read(line []byte) error {
	if r.line == 1 {
		line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
	}
	line = bytes.TrimSpace(line)
	if len(line) == 0 || line[0] == '#' {
		return nil
	}
	var cells [len(columns)][]byte
	rest, more := line, true
	for i := range cells {
		if !more {
			return r.bad(0, "has %d columns, not %d", i, len(cells))
		}
		cells[i], rest, more = bytes.Cut(rest, []byte(","))
		cells[i] = bytes.TrimSpace(cells[i])
	}
	if more {
		return r.bad(0, "has %d columns, not %d", len(cells)+1+bytes.Count(rest, []byte(",")), len(cells))
	}
	if r.form == "" && isHead(cells) {
		return nil
	}
	at, err := r.time(cells[0])
	if err != nil {
		return err
	}
	q := Request{At: at}
	for i, to := range []*int32{&q.Prompt, &q.Output} {
		n, err := strconv.ParseInt(string(cells[i+1]), 10, 64)
		if err != nil || n < 0 || n > MaxTokens {
			return r.bad(i+2, "%s is no whole number from 0 to %d", quoted(cells[i+1]), MaxTokens)
		}
		*to = int32(n)
	}
	n := len(r.trace.Requests)
	switch {
	case n > 0 && at < r.trace.Requests[n-1].At:
		return r.bad(1, "%s comes before the request in front of it", quoted(cells[0]))
	case at > MaxLength:
		return r.bad(1, "%s is more than %d days after the start", quoted(cells[0]), int(MaxLength.Hours()/24))
	case n == MaxRequests:
		return r.bad(0, "is request %d; there can be %d", MaxRequests+1, MaxRequests)
	}
	r.trace.Requests = append(r.trace.Requests, q)
	return nil
}

func isHead(cells [len(columns)][]byte) bool {
	for i, c := range cells {
		if string(c) != columns[i] && string(c) != also[i] {
			return false
		}
	}
	return true
}

// quoted is a cell as an error shows it.
func quoted(cell []byte) string {
	if len(cell) > 40 {
		return strconv.Quote(string(cell[:40]) + "...")
	}
	return strconv.Quote(string(cell))
}

// time reads a time in the form that the first one had, and returns when it is since the start.
func (r *reader) time(cell []byte) (time.Duration, error) {
	word := string(cell)
	if r.form == "" {
		r.form = "s"
		for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05", "2006-01-02 15:04:05Z07:00"} {
			if at, err := time.Parse(layout, word); err == nil {
				r.form, r.trace.Start = layout, at
			}
		}
	}
	if r.form != "s" {
		at, err := time.Parse(r.form, word)
		if err != nil {
			return 0, r.bad(1, "%s is no time as %s", quoted(cell), r.form)
		}
		if d := at.Sub(r.trace.Start); d >= 0 {
			return d, nil
		}
		return 0, r.bad(1, "%s comes before the trace's start", quoted(cell))
	}
	v, err := strconv.ParseFloat(word, 64)
	if err != nil || !(v >= 0) || v > 9e9 {
		return 0, r.bad(1, "%s is neither a number of seconds nor a time as %s", quoted(cell), time.RFC3339)
	}
	at := time.Duration(math.Round(v * 1e9))
	if len(r.trace.Requests) == 0 && v > since1970 {
		r.base, r.trace.Start = at, time.Unix(0, int64(at)).UTC()
	}
	if at < r.base {
		return 0, r.bad(1, "%s comes before the trace's start", quoted(cell))
	}
	return at - r.base, nil
}

// Write writes a trace as Read reads it, its times in seconds.
func Write(to io.Writer, t *Trace) error {
	w := bufio.NewWriterSize(to, 64<<10)
	fmt.Fprintf(w, "%s,%s,%s\n", columns[0], columns[1], columns[2])
	var line []byte
	for _, q := range t.Requests {
		line = strconv.AppendFloat(line[:0], float64(q.At.Milliseconds())/1000, 'f', -1, 64)
		line = append(line, ',')
		line = strconv.AppendInt(line, int64(q.Prompt), 10)
		line = append(line, ',')
		line = strconv.AppendInt(line, int64(q.Output), 10)
		if _, err := w.Write(append(line, '\n')); err != nil {
			return err
		}
	}
	return w.Flush()
}
