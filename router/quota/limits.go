// Package quota holds tokens and projects to their limits: requests and tokens a minute, requests at a
// time, and a budget of tokens in a window of the calendar. A limit is exact over everything that is in
// flight: what a request may use is reserved when it is let in, and settled when it has ended.
//
// It owns the counting and nothing else: it knows no HTTP, no rows, no clock (now is an argument) and
// not who a subject is beyond a name to show. Each subject has a lock of its own, held for some tens of
// nanoseconds; subjects without limits do not exist (nil) and cost nothing.
//
// Several boxes, or two processes on one: a Counter takes what Payers.Take would, and asks those that the
// boxes share (router/quota/tally). A subject then counts what its own box lets in, as ever, and remembers
// what it last heard of the others; so it can go on alone, with its share of the limits.
package quota

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Limits of one subject. 0 is no limit. Tokens are prompt and completion together.
type Limits struct {
	RequestsPerMinute int64  `json:"requests_per_minute,omitzero"`
	TokensPerMinute   int64  `json:"tokens_per_minute,omitzero"`
	Concurrent        int64  `json:"concurrent_requests,omitzero"`
	Budget            int64  `json:"token_budget,omitzero"`  // tokens in each Window
	Window            Window `json:"budget_window,omitzero"` // of Budget
}

// Unlimited tells whether nothing is limited.
func (l Limits) Unlimited() bool {
	return l.RequestsPerMinute == 0 && l.TokensPerMinute == 0 && l.Concurrent == 0 && l.Budget == 0
}

// The names of limits, as settings, JSON and errors have them.
const (
	nameRequests   = "requests_per_minute"
	nameTokens     = "tokens_per_minute"
	nameConcurrent = "concurrent_requests"
	nameBudget     = "token_budget"
	nameWindow     = "budget_window"
)

// most is the largest limit, and the most that one request counts for: sums of them never overflow.
const most = 1 << 50

// FieldError is a limit that cannot be. Field is its name: requests_per_minute and so on.
type FieldError struct{ Field, Text, Advice string }

func (e *FieldError) Error() string { return e.Field + ": " + e.Text }

// Hint says what to do.
func (e *FieldError) Hint() string { return e.Advice }

// Check is nil, or a *FieldError.
func (l Limits) Check() error {
	for _, f := range []struct {
		name  string
		value int64
	}{{nameRequests, l.RequestsPerMinute}, {nameTokens, l.TokensPerMinute}, {nameConcurrent, l.Concurrent}, {nameBudget, l.Budget}} {
		if f.value < 0 {
			return &FieldError{f.name, "cannot be negative", "0, or leaving it out, is no limit"}
		}
		if f.value > most {
			return &FieldError{f.name, fmt.Sprintf("%d is more than can be counted", f.value), "leave it out for no limit"}
		}
	}
	if !slices.Contains(windows, l.Window) {
		return &FieldError{nameWindow, fmt.Sprintf("%q is not a window", string(l.Window)), windowHint}
	}
	if l.Window != Ever && l.Budget == 0 {
		return &FieldError{nameWindow, "is a window of token_budget, and that is not given", "give token_budget too, or leave both out"}
	}
	return nil
}

// Parse reads limits from names and values as settings have them: {tokens_per_minute: 100k}. Errors are
// *FieldError.
func Parse(words map[string]string) (Limits, error) {
	var l Limits
	targets := map[string]*int64{nameRequests: &l.RequestsPerMinute, nameTokens: &l.TokensPerMinute, nameConcurrent: &l.Concurrent, nameBudget: &l.Budget}
	for _, name := range slices.Sorted(maps.Keys(words)) {
		text := strings.TrimSpace(words[name])
		if name == nameWindow {
			l.Window = Window(text)
			continue
		}
		target, ok := targets[name]
		if !ok {
			known := append(slices.Sorted(maps.Keys(targets)), nameWindow)
			return Limits{}, &FieldError{name, "there is no such limit", "one of " + strings.Join(known, ", ")}
		}
		n, err := ParseCount(text)
		if err != nil {
			return Limits{}, &FieldError{name, err.Error(), "a whole number, or one with k, M or G: 60, 100k, 1.5M"}
		}
		*target = n
	}
	if err := l.Check(); err != nil {
		return Limits{}, err
	}
	return l, nil
}

// ParseCount reads a number of requests or tokens: 60, 100k, 1.5M, 2G; k is 1000, for these are no bytes.
func ParseCount(text string) (int64, error) {
	bad := fmt.Errorf("%q is not a number of requests or tokens", text)
	unit := 1.0
	number := text
	if n := len(text) - 1; n > 0 {
		switch text[n] {
		case 'k', 'K':
			unit, number = 1e3, text[:n]
		case 'm', 'M':
			unit, number = 1e6, text[:n]
		case 'g', 'G':
			unit, number = 1e9, text[:n]
		}
	}
	if strings.Trim(number, "0123456789.") != "" || len(number) > 18 {
		return 0, bad // signs, exponents, infinities
	}
	if unit == 1 {
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return 0, bad
		}
		return n, nil
	}
	f, err := strconv.ParseFloat(number, 64)
	if n := f * unit; err == nil && n <= most && n == math.Trunc(n) {
		return int64(n), nil
	}
	return 0, bad
}

// Window is a part of the calendar (UTC) in which a budget is spent; the next begins with all of it.
type Window string

// The windows.
const (
	Ever  Window = "" // one that never ends
	Hour  Window = "hour"
	Day   Window = "day"
	Week  Window = "week" // from Monday
	Month Window = "month"
)

var windows = []Window{Ever, Hour, Day, Week, Month}

const windowHint = "one of hour, day, week, month (of the calendar, UTC); without one the budget is never filled up again"

// Bounds gives the window in which now lies: from is in it, until is the start of the next. Both are
// zero for Ever.
func (w Window) Bounds(now time.Time) (from, until time.Time) {
	now = now.UTC()
	year, month, day := now.Date()
	switch w {
	case Hour:
		from = now.Truncate(time.Hour)
		return from, from.Add(time.Hour)
	case Day:
		from = time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
		return from, from.AddDate(0, 0, 1)
	case Week:
		since := (int(now.Weekday()) + 6) % 7 // days since Monday
		from = time.Date(year, month, day-since, 0, 0, 0, 0, time.UTC)
		return from, from.AddDate(0, 0, 7)
	case Month:
		from = time.Date(year, month, 1, 0, 0, 0, 0, time.UTC)
		return from, from.AddDate(0, 1, 0)
	}
	return time.Time{}, time.Time{}
}
