package cli

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
)

// limitFlags are what a token may use, as a person writes it.
type limitFlags struct{ requests, tokens, concurrent, budget, window string }

func (l *limitFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&l.requests, "rpm", "", "requests a minute")
	f.StringVar(&l.tokens, "tpm", "", "tokens of models a minute, such as 100k")
	f.StringVar(&l.concurrent, "concurrency", "", "requests at a time")
	f.StringVar(&l.budget, "budget", "", "tokens of models in all, or in each --budget-window, such as 1M")
	f.StringVar(&l.window, "budget-window", "", "hour, day, week or month, of the calendar in UTC: then there is a new --budget")
	_ = cmd.RegisterFlagCompletionFunc("budget-window", fixedWords("hour", "day", "week", "month"))
}

// read gives nil where nothing is limited.
func (l *limitFlags) read() (*api.TokenLimits, error) {
	var out api.TokenLimits
	for _, f := range []struct {
		flag, text string
		target     *int64
	}{
		{"--rpm", l.requests, &out.RequestsPerMinute}, {"--tpm", l.tokens, &out.TokensPerMinute},
		{"--concurrency", l.concurrent, &out.ConcurrentRequests}, {"--budget", l.budget, &out.TokenBudget},
	} {
		if f.text == "" {
			continue
		}
		n, ok := parseMany(f.text)
		if !ok || n == 0 {
			return nil, &usageError{message: fmt.Sprintf("%s %q: must be a whole number from 1", f.flag, f.text), hint: "60, 100k, 1.5M; left out: no limit"}
		}
		*f.target = n
	}
	if l.window != "" && l.budget == "" {
		return nil, &usageError{message: "--budget-window is a window of --budget, and that is not given"}
	}
	out.BudgetWindow = l.window
	if out == (api.TokenLimits{}) {
		return nil, nil
	}
	return &out, nil
}

// parseMany reads a number of requests or tokens: 60, 100k, 1.5M, 2G. These are no bytes: k is 1000.
func parseMany(text string) (int64, bool) {
	number, unit := text, 1.0
	if n := len(text) - 1; n > 0 {
		switch text[n] {
		case 'k', 'K':
			number, unit = text[:n], 1e3
		case 'm', 'M':
			number, unit = text[:n], 1e6
		case 'g', 'G':
			number, unit = text[:n], 1e9
		}
	}
	if strings.Trim(number, "0123456789.") != "" {
		return 0, false // signs, exponents, infinities
	}
	f, err := strconv.ParseFloat(number, 64)
	n := f * unit
	return int64(n), err == nil && n == math.Trunc(n) && n <= 1e15
}

// manyWords writes a number as parseMany reads it, short where that says all.
func manyWords(n int64) string {
	for _, u := range []struct {
		value int64
		name  string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if n >= u.value && n%(u.value/10) == 0 {
			return strconv.FormatFloat(float64(n)/float64(u.value), 'f', -1, 64) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}

// limitWords is what a token may use, and what it has spent: "60 rpm, 100k tpm, 4 at once, 412310 of 1M a day".
func limitWords(k api.Token) string {
	l := k.Limits
	if l == nil {
		return "-"
	}
	var out []string
	for _, f := range []struct {
		limit int64
		name  string
	}{{l.RequestsPerMinute, " rpm"}, {l.TokensPerMinute, " tpm"}, {l.ConcurrentRequests, " at once"}} {
		if f.limit > 0 {
			out = append(out, manyWords(f.limit)+f.name)
		}
	}
	if l.TokenBudget > 0 {
		spent := int64(0)
		if k.Standing != nil {
			spent = k.Standing.Spent
		}
		words := manyWords(spent) + " of " + manyWords(l.TokenBudget) + " spent"
		if l.BudgetWindow != "" {
			words += " this " + l.BudgetWindow
		}
		out = append(out, words)
	}
	return strings.Join(out, ", ")
}
