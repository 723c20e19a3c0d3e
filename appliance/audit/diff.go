package audit

import (
	"bytes"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Bounds of what an entry keeps.
const (
	mostChanges = 100
	longestSide = 4 << 10 // bytes of a value
)

// hidden are names of values that are never kept: what they held is nobody's business, and that they changed is shown.
var hidden = regexp.MustCompile(`(?i)(secret|passw|passphrase|_pwd|token|api_?key|credential|private|bearer|authorization|webhook|^key$|^value$|_key$)`)

// shown are names that look like secrets and are none.
var shown = regexp.MustCompile(`(?i)(tokens|token_id|tokens_per|_tokens|max_tokens|public_key|fingerprint|key_id|group_key|affinity|tokeniz)`)

const redacted = `"` + hiddenText + `"`

// Diff says in what two JSON documents differ, by path, secrets hidden. Empty ones are nothing: what was made or removed is one
// change of all of it. volatile are names of values that change by themselves, and are left out wherever they stand.
func Diff(before, after []byte, volatile ...string) []Change {
	d := differ{volatile: volatile}
	a, aOK := parse(before)
	b, bOK := parse(after)
	switch {
	case aOK && bOK:
		d.compare("", a, b)
	case aOK:
		d.add("", d.clean(a), nil)
	case bOK:
		d.add("", nil, d.clean(b))
	}
	return d.out
}

func parse(text []byte) (any, bool) {
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, false
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, false
	}
	return v, true
}

type differ struct {
	volatile []string
	out      []Change
}

func (d *differ) compare(path string, a, b any) {
	am, aMap := a.(map[string]any)
	bm, bMap := b.(map[string]any)
	if !aMap || !bMap {
		if text(a) != text(b) {
			d.add(path, d.clean(a), d.clean(b))
		}
		return
	}
	names := maps.Clone(am)
	maps.Copy(names, bm)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		before, had := am[name]
		after, has := bm[name]
		at := join(path, name)
		switch {
		case slices.Contains(d.volatile, name):
		case isHidden(name, before) || isHidden(name, after):
			if text(before) != text(after) {
				d.add(at, hide(had, before), hide(has, after))
			}
		case had && has:
			d.compare(at, before, after)
		case had:
			d.add(at, d.clean(before), nil)
		default:
			d.add(at, nil, d.clean(after))
		}
	}
}

// add keeps a change, as far as there is room. What is too long is said to be so.
func (d *differ) add(path string, before, after any) {
	if len(d.out) >= mostChanges {
		d.out[mostChanges-1] = Change{Path: "...", After: json.RawMessage(`"and more"`)}
		return
	}
	d.out = append(d.out, Change{Path: path, Before: side(before), After: side(after)})
}

func side(v any) json.RawMessage {
	if v == nil {
		return nil
	}
	t := text(v)
	if len(t) > longestSide {
		t = `"(` + strconv.Itoa(len(t)) + ` bytes)"`
	}
	return json.RawMessage(t)
}

// clean is a copy without secrets and without what changes by itself.
func (d *differ) clean(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, value := range v {
			switch {
			case slices.Contains(d.volatile, name):
			case isHidden(name, value):
				out[name] = hide(true, value)
			default:
				out[name] = d.clean(value)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			if out[i] = d.clean(v[i]); i > 0 { // it may be a command line
				before, _ := v[i-1].(string)
				if word, isText := v[i].(string); isText {
					out[i] = HideWords([]string{before, word})[1]
				}
			}
		}
		return out
	case string:
		return Hide(v)
	}
	return v
}

// isHidden: numbers and truths hold no secret, whatever they are called.
func isHidden(name string, v any) bool {
	switch v.(type) {
	case nil, bool, json.Number:
		return false
	}
	return hidden.MatchString(name) && !shown.MatchString(name)
}

func hide(there bool, v any) any {
	if !there || v == nil || v == "" {
		return v
	}
	return json.RawMessage(redacted)
}

func text(v any) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return ""
	}
	return strings.TrimRight(b.String(), "\n")
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
