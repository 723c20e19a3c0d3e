package scan

import "bytes"

// Usage is what an answer used, in tokens. Prompt holds those that were cached, Completion those of reasoning.
type Usage struct {
	Prompt, Completion, Cached, Reasoning int64

	// Known: the engine said it. Else Completion is the number of events that carried output, as near as can be told.
	Known bool
}

// counts are the numbers of engines as they name them. Each is kept until said again: Anthropic's events say what came
// in at the start, and what goes out at the end.
type counts struct {
	by        name // what said it; usage comes before timings, and those before meta
	in, out   int64
	total     int64
	cached    int64
	created   int64
	apart     bool // cached and created are not within in
	reasoning int64
}

// rank orders what says counts: the lower, the better.
func (n name) rank() name {
	if n == nothing {
		return failure
	}
	return n
}

// merge lets what came later count.
func (c *counts) merge(later *counts) {
	switch {
	case later.by == nothing || later.by.rank() > c.by.rank():
		return
	case later.by.rank() < c.by.rank():
		*c = *later
		return
	}
	for _, f := range [...]struct{ to, from *int64 }{
		{&c.in, &later.in}, {&c.out, &later.out}, {&c.total, &later.total}, {&c.cached, &later.cached},
		{&c.created, &later.created}, {&c.reasoning, &later.reasoning},
	} {
		if *f.from > 0 {
			*f.to = *f.from
		}
	}
	c.apart = c.apart || later.apart
}

// usage gives the counts in one way.
func (c *counts) usage() Usage {
	u := Usage{Prompt: c.in, Completion: c.out, Cached: c.cached, Reasoning: c.reasoning, Known: c.by != nothing}
	if c.apart {
		u.Prompt += c.cached + c.created
	}
	if u.Prompt == 0 { // rerankers say only how much in all
		u.Prompt = max(0, c.total-c.out)
	}
	return u
}

// take reads an object with counts. It is not checked: what is odd counts nothing.
func (c *counts) take(by name, p []byte) {
	var now counts
	now.by = by
	depth, lists := 0, 0
	var within []byte // the name of the object at depth 2
	var key []byte
	for i := 0; i < len(p); i++ {
		switch b := p[i]; {
		case b == '"':
			end := i + 1 + closing(p[i+1:])
			key = p[i+1 : end]
			i = end
		case b == '{':
			if depth++; depth == 2 {
				within = key
			}
		case b == '}':
			if depth--; depth == 1 {
				within = nil
			}
		case b == '[':
			lists++
		case b == ']':
			lists--
		case b == ',':
			key = nil
		case '0' <= b && b <= '9':
			n, length := integer(p[i:])
			if i += length - 1; lists == 0 && depth <= 2 && p[i-length] != '-' {
				now.count(within, key, n)
			}
		}
	}
	c.merge(&now)
}

// count takes one number.
func (c *counts) count(within, key []byte, n int64) {
	switch c.by {
	case usage:
		c.ofUsage(within, key, n)
	case timings:
		switch string(key) {
		case "prompt_n":
			c.in = n
		case "predicted_n":
			c.out = n
		case "cache_n":
			c.cached, c.apart = n, true
		}
	case meta:
		if string(within) == "tokens" || string(within) == "billed_units" && c.in+c.out == 0 {
			switch string(key) {
			case "input_tokens":
				c.in = n
			case "output_tokens":
				c.out = n
			}
		}
	}
}

func (c *counts) ofUsage(within, key []byte, n int64) {
	switch string(within) {
	case "":
		switch string(key) {
		case "prompt_tokens", "input_tokens":
			c.in = n
		case "completion_tokens", "output_tokens":
			c.out = n
		case "total_tokens":
			c.total = n
		case "cache_read_input_tokens":
			c.cached, c.apart = n, true
		case "cache_creation_input_tokens":
			c.created, c.apart = n, true
		}
	case "prompt_tokens_details", "input_tokens_details":
		if string(key) == "cached_tokens" {
			c.cached = n
		}
	case "completion_tokens_details", "output_tokens_details":
		if string(key) == "reasoning_tokens" {
			c.reasoning = n
		}
	}
}

// closing is the place of the quote that ends the string that p begins in, or the end of p.
func closing(p []byte) int {
	for i := 0; ; i++ {
		n := bytes.IndexByte(p[i:], '"')
		if n < 0 {
			return len(p)
		}
		i += n
		slashes := 0
		for slashes < i && p[i-1-slashes] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return i
		}
	}
}

// integer reads the number at the start of p without its fraction, and gives its whole length.
func integer(p []byte) (n int64, length int) {
	const most = 1 << 50
	whole := true
	for length < len(p) {
		c := p[length]
		switch {
		case '0' <= c && c <= '9':
			if whole {
				n = min(n*10+int64(c-'0'), most)
			}
		case c == '.', c == 'e', c == 'E', c == '+', c == '-':
			whole = false
		default:
			return n, length
		}
		length++
	}
	return n, length
}
