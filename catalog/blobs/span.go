package blobs

import "slices"

// Span is bytes of a file: from Start up to End, which is not of it.
type Span struct{ Start, End int64 }

// spans are what is here of a file: in order, apart from each other.
type spans []Span

// with adds a span. is is false where it overlaps what is here.
func (s spans) with(add Span) (out spans, is bool) {
	if add.Start >= add.End {
		return s, true
	}
	at, _ := slices.BinarySearchFunc(s, add, func(a, b Span) int { return cmp(a.Start, b.Start) })
	before, after := at > 0 && s[at-1].End >= add.Start, at < len(s) && s[at].Start <= add.End
	if before && s[at-1].End > add.Start || after && s[at].Start < add.End {
		return s, false
	}
	out = slices.Clone(s)
	switch {
	case before && after:
		out[at-1].End = out[at].End
		return slices.Delete(out, at, at+1), true
	case before:
		out[at-1].End = add.End
	case after:
		out[at].Start = add.Start
	default:
		out = slices.Insert(out, at, add)
	}
	return out, true
}

func cmp(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// bytes is how much is here.
func (s spans) bytes() (n int64) {
	for _, span := range s {
		n += span.End - span.Start
	}
	return n
}

// frontier is how much is here from the beginning on.
func (s spans) frontier() int64 {
	if len(s) == 0 || s[0].Start > 0 {
		return 0
	}
	return s[0].End
}

// missing is what is not here of a file of so many bytes.
func (s spans) missing(size int64) (out []Span) {
	at := int64(0)
	for _, span := range s {
		if span.Start > at {
			out = append(out, Span{at, span.Start})
		}
		at = span.End
	}
	if at < size {
		out = append(out, Span{at, size})
	}
	return out
}

// valid says whether they are in order, apart, and of a file of size bytes; size -1: of any.
func (s spans) valid(size int64) bool {
	at := int64(-1)
	for _, span := range s {
		if span.Start <= at || span.Start < 0 || span.End <= span.Start || size >= 0 && span.End > size {
			return false
		}
		at = span.End
	}
	return true
}

// within leaves what lies below end.
func (s spans) within(end int64) (out spans) {
	for _, span := range s {
		if span.End = min(span.End, end); span.Start < span.End {
			out = append(out, span)
		}
	}
	return out
}
