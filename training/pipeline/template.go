package pipeline

import (
	"errors"
	"fmt"
	"strings"
)

// scope is what expressions stand for.
type scope map[string]string

// pieces splits a text with ${{ }} into plain parts and the expressions between them: one plain part more than expressions.
func pieces(text string) (plain, expressions []string, err error) {
	var part strings.Builder
	for {
		before, rest, found := strings.Cut(text, "${{")
		if !found {
			part.WriteString(text)
			return append(plain, part.String()), expressions, nil
		}
		if escaped, is := strings.CutSuffix(before, "$"); is { // $${{ stands for ${{
			part.WriteString(escaped + "${{")
			text = rest
			continue
		}
		inner, after, closed := strings.Cut(rest, "}}")
		if !closed {
			return nil, nil, errors.New("a ${{ is never closed by }}")
		}
		part.WriteString(before)
		plain, expressions = append(plain, part.String()), append(expressions, strings.TrimSpace(inner))
		part.Reset()
		text = after
	}
}

// fill puts in what the expressions of a text stand for. What comes of it has at most so many bytes.
func (s scope) fill(text string, most int) (string, error) {
	if len(text) > most {
		return "", errTooLong
	}
	if !strings.Contains(text, "${{") {
		return text, nil
	}
	plain, expressions, err := pieces(text)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for i, e := range expressions {
		value, known := s[e]
		if !known {
			return "", unknownExpression(e)
		}
		if b.Len()+len(plain[i])+len(value) > most {
			return "", errTooLong
		}
		b.WriteString(plain[i] + value)
	}
	b.WriteString(plain[len(plain)-1])
	return b.String(), nil
}

var errTooLong = fmt.Errorf("with it, the texts of all tasks come to more than %d MiB: put what is long into a file of a folder", maxPlanned>>20)

func unknownExpression(e string) error { return fmt.Errorf("${{ %s }} stands for nothing here", e) }
