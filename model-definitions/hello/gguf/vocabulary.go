package gguf

import (
	"errors"
	"fmt"
	"strings"
)

// ErrAnswer says that a sentence cannot be recited.
var ErrAnswer = errors.New("this answer cannot be recited")

// space is how the tokenizer writes a blank before a word.
const space = "\u2581"

// What a token is, in the tokenizer's own numbers.
const (
	tokenNormal  = 1
	tokenUnknown = 2
	tokenControl = 3
	tokenByte    = 6
)

// vocabulary is the list of tokens; a token's place in it is its number.
type vocabulary struct {
	texts  []string
	scores []float32
	kinds  []int32
	number map[string]int

	unknown, begin, end, turn int // <unk>, <s>, </s> and the end of a turn in ChatML
	newline                   int // what every chat prompt ends with
}

// newVocabulary has what any prompt needs: the control tokens of ChatML, all bytes and the characters of
// ASCII, so that a prompt is not taken apart into bytes only.
func newVocabulary() *vocabulary {
	v := &vocabulary{number: map[string]int{}}
	v.unknown = v.add("<unk>", 0, tokenUnknown)
	v.begin = v.add("<s>", 0, tokenControl)
	v.end = v.add("</s>", 0, tokenControl)
	v.add("<|im_start|>", 0, tokenControl)
	v.turn = v.add("<|im_end|>", 0, tokenControl)
	for b := range 256 {
		v.add(fmt.Sprintf("<0x%02X>", b), 0, tokenByte)
	}
	v.newline = v.number["<0x0A>"]
	v.add(space, -1000, tokenNormal)
	for c := rune('!'); c <= '~'; c++ {
		v.add(string(c), -1000-float32(c), tokenNormal)
	}
	return v
}

// add returns the number of text, which is new only when it is not there yet: engines refuse a vocabulary
// with the same text twice.
func (v *vocabulary) add(text string, score float32, kind int32) int {
	if n, ok := v.number[text]; ok {
		return n
	}
	n := len(v.texts)
	v.number[text] = n
	v.texts = append(v.texts, text)
	v.scores = append(v.scores, score)
	v.kinds = append(v.kinds, kind)
	return n
}

// fill brings the vocabulary to size with tokens that no text produces.
func (v *vocabulary) fill(size int) {
	for i := 0; len(v.texts) < size; i++ {
		v.add(fmt.Sprintf("<|unused%d|>", i), 0, tokenControl)
	}
}

// spell adds answer's words and returns their numbers in order, each number once: what comes after a
// token can then be told from the token alone. A word that was said before is cut in two pieces
// that were not.
func (v *vocabulary) spell(answer string) ([]int, error) {
	var said []int
	used := map[string]bool{}
	say := func(pieces ...string) {
		for _, p := range pieces {
			used[p] = true
			said = append(said, v.add(p, -2000, tokenNormal))
		}
	}
	for i, word := range strings.Fields(answer) {
		if i > 0 {
			word = space + word
		}
		if !used[word] {
			say(word)
			continue
		}
		head, tail, ok := cut(word, used)
		if !ok {
			return nil, fmt.Errorf("%w: it says %q too often", ErrAnswer, strings.TrimPrefix(word, space))
		}
		say(head, tail)
	}
	if len(said) == 0 {
		return nil, fmt.Errorf("%w: it has no words", ErrAnswer)
	}
	return said, nil
}

// cut parts word into two pieces that are not used yet.
func cut(word string, used map[string]bool) (head, tail string, ok bool) {
	letters := []rune(word)
	for at := 1; at < len(letters); at++ {
		head, tail = string(letters[:at]), string(letters[at:])
		if !used[head] && !used[tail] && head != tail {
			return head, tail, true
		}
	}
	return "", "", false
}
