package ui

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// Code is a request, written in a language.
type Code struct {
	ID    string // curl, python, javascript, go
	Label string
	Text  string
}

// longestWord is the longest text that a sample shows, in bytes: a picture in it is much longer.
const longestWord = 4000

// ChatCode writes one request of a chat, as it is sent to base (https://HOST/v1) in JSON, in the languages that people ask from.
// The token is to be put in its place by whoever takes it. Pictures are cut to their beginning.
func ChatCode(base string, request json.RawMessage) ([]Code, error) {
	var compact, pretty bytes.Buffer
	short, err := shortened(request)
	if err != nil {
		return nil, fmt.Errorf("writing a request as code: %w", err)
	}
	if err := json.Compact(&compact, short); err != nil {
		return nil, fmt.Errorf("writing a request as code: %w", err)
	}
	if err := json.Indent(&pretty, short, "", "  "); err != nil {
		return nil, fmt.Errorf("writing a request as code: %w", err)
	}
	var said struct {
		Stream bool `json:"stream"`
	}
	_ = json.Unmarshal(short, &said) // it was read above
	python, err := pythonOf(short)
	if err != nil {
		return nil, fmt.Errorf("writing a request as code: %w", err)
	}
	r := strings.NewReplacer(
		"{base}", quoted(base), "{address}", shellQuoted(base+"/chat/completions"), "{go address}", strconv.Quote(base+"/chat/completions"),
		"{compact}", shellQuoted(compact.String()), "{pretty}", pretty.String(), "{python}", python, "{go}", strconv.Quote(compact.String()),
	)
	var out []Code
	for _, one := range []Code{{"curl", "curl", curlChat}, {"python", "Python", pythonChat[said.Stream]}, {"javascript", "JavaScript", scriptChat[said.Stream]}, {"go", "Go", goChat}} {
		one.Text = r.Replace(strings.TrimSpace(one.Text)) + "\n"
		out = append(out, one)
	}
	return out, nil
}

// quoted is a text as JSON, JavaScript and Python write it.
func quoted(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return `""`
	}
	return strings.TrimSpace(b.String())
}

// shellQuoted is a text as a shell takes it literally.
func shellQuoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// shortened is JSON as it was, but for texts that nobody reads.
func shortened(raw json.RawMessage) (json.RawMessage, error) {
	var out bytes.Buffer
	err := rewrite(raw, &out, func(word string) string {
		if strings.HasPrefix(word, "data:") && len(word) > 100 {
			return word[:60] + "..."
		}
		if len(word) > longestWord {
			return strings.ToValidUTF8(word[:longestWord], "") + "..."
		}
		return word
	}, jsonWords)
	return out.Bytes(), err
}

// pythonOf is JSON as Python writes it.
func pythonOf(raw json.RawMessage) (string, error) {
	var out bytes.Buffer
	err := rewrite(raw, &out, func(word string) string { return word }, words{"True", "False", "None", true})
	return out.String(), err
}

// words are how a language writes what JSON calls true, false and null, and whether each value stands in a line of its own.
type words struct {
	yes, no, null string
	lines         bool
}

var jsonWords = words{"true", "false", "null", false}

// rewrite reads JSON and writes it anew, with its names in their order. A text of up to 64 levels is taken.
func rewrite(raw json.RawMessage, out *bytes.Buffer, word func(string) string, w words) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	return (&rewriting{d, out, word, w}).value(0)
}

// rewriting is JSON on its way from one writing to another.
type rewriting struct {
	*json.Decoder
	out  *bytes.Buffer
	word func(string) string
	words
}

func (w *rewriting) value(depth int) error {
	t, err := w.Token()
	if err != nil {
		return err
	}
	switch t := t.(type) {
	case json.Delim:
		if depth > 64 {
			return fmt.Errorf("more than %d levels", 64)
		}
		return w.group(depth, t)
	case bool:
		w.out.WriteString(map[bool]string{true: w.yes, false: w.no}[t])
	case nil:
		w.out.WriteString(w.null)
	case string:
		w.out.WriteString(quoted(w.word(t)))
	default:
		fmt.Fprint(w.out, t)
	}
	return nil
}

// group writes an array or an object.
func (w *rewriting) group(depth int, open json.Delim) error {
	w.out.WriteString(open.String())
	line := func(depth int) {
		if w.lines {
			w.out.WriteString("\n" + strings.Repeat("    ", depth))
		}
	}
	first := true
	for w.More() {
		if !first {
			w.out.WriteString(",")
		}
		first = false
		line(depth + 1)
		if open == '{' {
			name, err := w.Token()
			if err != nil {
				return err
			}
			w.out.WriteString(quoted(fmt.Sprint(name)) + ": ")
		}
		if err := w.value(depth + 1); err != nil {
			return err
		}
	}
	end, err := w.Token()
	if err != nil {
		return err
	}
	if !first {
		line(depth)
	}
	fmt.Fprint(w.out, end)
	return nil
}

const curlChat = `
curl -N {address} \
  -H "Authorization: Bearer $TOKEN" \
  -H 'Content-Type: application/json' \
  -d {compact}`

var pythonChat = map[bool]string{
	true: `
import os
from openai import OpenAI  # pip install openai

client = OpenAI(base_url={base}, api_key=os.environ["TOKEN"])
request = {python}
for chunk in client.chat.completions.create(**request):
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)`,
	false: `
import os
from openai import OpenAI  # pip install openai

client = OpenAI(base_url={base}, api_key=os.environ["TOKEN"])
request = {python}
print(client.chat.completions.create(**request).choices[0].message.content)`,
}

var scriptChat = map[bool]string{
	true: `
import OpenAI from "openai"; // npm install openai

const client = new OpenAI({ baseURL: {base}, apiKey: process.env.TOKEN });
const request = {pretty};
for await (const chunk of await client.chat.completions.create(request)) {
  process.stdout.write(chunk.choices[0]?.delta?.content ?? "");
}`,
	false: `
import OpenAI from "openai"; // npm install openai

const client = new OpenAI({ baseURL: {base}, apiKey: process.env.TOKEN });
const request = {pretty};
const answer = await client.chat.completions.create(request);
console.log(answer.choices[0].message.content);`,
}

const goChat = `
package main

import (
	"io"
	"log"
	"net/http"
	"os"
	"strings"
)

func main() {
	const request = {go}
	req, err := http.NewRequest("POST", {go address}, strings.NewReader(request))
	if err != nil {
		log.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+os.Getenv("TOKEN"))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(os.Stdout, resp.Body); err != nil { // with "stream": server-sent events
		log.Fatal(err)
	}
}`
