package recipe

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"mime/multipart"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/palisade-run/palisade/catalog/spelling"
)

// Request is a smoke test's request, for a model that is called so.
type Request struct {
	Method, Path string
	Type         string // of the body; "" where there is none
	Body         []byte
}

// attachments are the files that a form may name: they are made up, so that a recipe carries none.
var attachments = []string{"@tone.wav"}

// Request makes the test's request for a model of that name.
func (t SmokeTest) Request(model string) (Request, error) {
	out := Request{Method: t.Method, Path: strings.ReplaceAll(t.Path, "{model}", url.PathEscape(model))}
	switch {
	case t.Form != nil:
		return t.form(out, model)
	case t.Body != "":
		quoted, err := json.Marshal(model)
		if err != nil {
			return out, fmt.Errorf("writing the model's name: %w", err)
		}
		out.Type, out.Body = "application/json", []byte(strings.ReplaceAll(t.Body, "{model}", strings.Trim(string(quoted), `"`)))
	}
	return out, nil
}

func (t SmokeTest) form(out Request, model string) (Request, error) {
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	keys := make([]string, 0, len(t.Form))
	for key := range t.Form {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		value := strings.ReplaceAll(t.Form[key], "{model}", model)
		if !slices.Contains(attachments, value) {
			if err := w.WriteField(key, value); err != nil {
				return out, fmt.Errorf("writing the form: %w", err)
			}
			continue
		}
		part, err := w.CreateFormFile(key, strings.TrimPrefix(value, "@"))
		if err == nil {
			_, err = part.Write(tone())
		}
		if err != nil {
			return out, fmt.Errorf("writing the form: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return out, fmt.Errorf("writing the form: %w", err)
	}
	out.Type, out.Body = w.FormDataContentType(), body.Bytes()
	return out, nil
}

// tone is one second of a quiet note as a WAV file: 16,000 samples of 16 bits.
func tone() []byte {
	const rate = 16000
	var b bytes.Buffer
	little := func(v uint64, size int) {
		for range size {
			b.WriteByte(byte(v))
			v >>= 8
		}
	}
	b.WriteString("RIFF")
	little(36+2*rate, 4)
	b.WriteString("WAVEfmt ")
	little(16, 4)
	little(1, 2) // PCM
	little(1, 2) // one channel
	little(rate, 4)
	little(2*rate, 4)
	little(2, 2)
	little(16, 2)
	b.WriteString("data")
	little(2*rate, 4)
	for i := range rate {
		little(uint64(int16(3000*math.Sin(2*math.Pi*440*float64(i)/rate))), 2)
	}
	return b.Bytes()
}

// Answer is what a smoke test heard.
type Answer struct {
	Status int
	Type   string // Content-Type
	Body   []byte
}

// Judge says all in which an answer is not what the test wants; nil: it is.
func (t SmokeTest) Judge(a Answer) error {
	if t.Status != 0 && a.Status != t.Status {
		return fmt.Errorf("it answered %d, not %d: %s", a.Status, t.Status, excerpt(a.Body))
	}
	var wrong []error
	for _, text := range t.Holds {
		c, err := readClaim(text)
		if err == nil {
			err = c.judge(a)
		}
		if err != nil {
			wrong = append(wrong, err)
		}
	}
	return errors.Join(wrong...)
}

// claim is one thing that an answer holds.
type claim struct {
	path     []string // names and indexes; the first may be $body, $type or $bytes
	text     string   // of the path, as written
	operator string   // "", ~, =, >=, <=
	want     string
	pattern  *regexp.Regexp // of ~
}

var claimPath = regexp.MustCompile(`^(\$body|\$type|\$bytes|[A-Za-z0-9_-]+(\[[0-9]{1,6}\])*(\.[A-Za-z0-9_-]+(\[[0-9]{1,6}\])*)*|(\[[0-9]{1,6}\])+(\.[A-Za-z0-9_-]+(\[[0-9]{1,6}\])*)*)$`)

// readClaim reads PATH, PATH ~ PATTERN, PATH = VALUE, PATH >= NUMBER or PATH <= NUMBER.
func readClaim(text string) (claim, error) {
	c := claim{text: strings.TrimSpace(text)}
	for _, operator := range []string{" ~ ", " >= ", " <= ", " = "} {
		if left, right, is := strings.Cut(text, operator); is && !strings.ContainsAny(strings.TrimSpace(left), " ~=<>") {
			c.text, c.operator, c.want = strings.TrimSpace(left), strings.TrimSpace(operator), strings.TrimSpace(right)
			break
		}
	}
	if !claimPath.MatchString(c.text) {
		return c, fmt.Errorf("%q is no path of an answer", spelling.Short(c.text))
	}
	c.path = strings.FieldsFunc(c.text, func(r rune) bool { return strings.ContainsRune(".[]", r) })
	switch c.operator {
	case "~":
		pattern, err := regexp.Compile(c.want)
		if err != nil {
			return c, fmt.Errorf("%q is no pattern: %w", spelling.Short(c.want), err)
		}
		c.pattern = pattern
	case ">=", "<=":
		if _, err := strconv.ParseFloat(c.want, 64); err != nil {
			return c, fmt.Errorf("%q is no number", spelling.Short(c.want))
		}
	}
	return c, nil
}

// value is what stands at the claim's path; false where nothing does.
func (c claim) value(a Answer) (any, error) {
	switch c.path[0] {
	case "$body":
		return string(a.Body), nil
	case "$type":
		return a.Type, nil
	case "$bytes":
		return float64(len(a.Body)), nil
	}
	var v any
	if err := json.Unmarshal(a.Body, &v); err != nil {
		return nil, fmt.Errorf("its answer is no JSON: %s", excerpt(a.Body))
	}
	for _, part := range c.path {
		var found bool
		switch now := v.(type) {
		case map[string]any:
			v, found = now[part]
		case []any:
			if i, err := strconv.Atoi(part); err == nil && i < len(now) {
				v, found = now[i], true
			}
		}
		if !found {
			return nil, fmt.Errorf("its answer has no %s: %s", c.text, excerpt(a.Body))
		}
	}
	return v, nil
}

// judge holds the claim against an answer. Lists are compared by their lengths.
func (c claim) judge(a Answer) error {
	v, err := c.value(a)
	if err != nil {
		return err
	}
	if list, is := v.([]any); is {
		v = float64(len(list))
	}
	text, number := fmt.Sprint(v), math.NaN()
	if n, is := v.(float64); is {
		text, number = strconv.FormatFloat(n, 'f', -1, 64), n
	}
	want, err := strconv.ParseFloat(c.want, 64)
	good := false
	switch c.operator {
	case "":
		if good = v != nil && text != "" && !(number == 0); !good {
			return fmt.Errorf("%s of its answer is empty: %s", c.text, excerpt(a.Body))
		}
	case "~":
		good = c.pattern.MatchString(text)
	case "=":
		good = text == c.want || err == nil && number == want
	case ">=":
		good = number >= want
	case "<=":
		good = number <= want
	}
	if !good {
		return fmt.Errorf("%s of its answer is %s; %s %s is wanted", c.text, excerpt([]byte(text)), c.operator, c.want)
	}
	return nil
}

// excerpt is the beginning of what was answered, in one line.
func excerpt(body []byte) string {
	if !utf8.Valid(body) {
		return fmt.Sprintf("%d bytes that are no text", len(body))
	}
	const most = 200
	text := strings.Join(strings.Fields(string(body)), " ")
	if utf8.RuneCountInString(text) > most {
		text = string([]rune(text)[:most]) + "..."
	}
	return strconv.Quote(text)
}
