package pipeline

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Answer is what a smoke test heard.
type Answer struct {
	Status int
	Body   string
}

// Judge says all in which an answer is not as expected; nil: it is.
func (e Expect) Judge(a Answer) error {
	var wrong []error
	fault := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	if e.Status != 0 && a.Status != e.Status {
		fault("it answered %d, not %d: %s", a.Status, e.Status, excerpt(a.Body))
	}
	for _, text := range e.Contains {
		if !strings.Contains(a.Body, text) {
			fault("its answer does not hold %q: %s", text, excerpt(a.Body))
		}
	}
	for _, text := range e.Excludes {
		if strings.Contains(a.Body, text) {
			fault("its answer holds %q: %s", text, excerpt(a.Body))
		}
	}
	if e.Matches != "" {
		if re, err := regexp.Compile(e.Matches); err != nil || !re.MatchString(a.Body) {
			fault("its answer does not match %q: %s", e.Matches, excerpt(a.Body))
		}
	}
	if len(e.JSON) == 0 {
		return errors.Join(wrong...)
	}
	var v any
	if err := json.Unmarshal([]byte(a.Body), &v); err != nil {
		fault("its answer is no JSON: %s", excerpt(a.Body))
		return errors.Join(wrong...)
	}
	for _, path := range slices.Sorted(maps.Keys(e.JSON)) {
		text, found := at(v, path)
		re, err := regexp.Compile(e.JSON[path])
		switch {
		case !found:
			fault("its answer has no %s: %s", path, excerpt(a.Body))
		case err != nil || !re.MatchString(text):
			fault("%s of its answer does not match %q: %s", path, e.JSON[path], excerpt(text))
		}
	}
	return errors.Join(wrong...)
}

// at is the value at a path of names and numbers, as a text.
func at(v any, path string) (string, bool) {
	for part := range strings.SplitSeq(path, ".") {
		switch now := v.(type) {
		case map[string]any:
			next, there := now[part]
			if !there {
				return "", false
			}
			v = next
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i < 0 || i >= len(now) {
				return "", false
			}
			v = now[i]
		default:
			return "", false
		}
	}
	if text, is := v.(string); is {
		return text, true
	}
	raw, err := json.Marshal(v)
	return string(raw), err == nil
}

// shown is a text without what would have a terminal do something: whoever wrote it is not trusted.
func shown(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, text)
}

// excerpt is the beginning of a text, in one line.
func excerpt(text string) string {
	const most = 200
	text = shown(strings.Join(strings.Fields(strings.ToValidUTF8(text, "\uFFFD")), " "))
	if utf8.RuneCountInString(text) > most {
		text = string([]rune(text)[:most]) + "..."
	}
	if text == "" {
		return "it is empty"
	}
	return text
}
