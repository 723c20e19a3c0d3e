package console

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// tokenPlace stands in samples where the token goes. The page's script puts a token there that was just made.
const tokenPlace = "YOUR_TOKEN"

// sampleOf is what samples are filled in with.
type sampleOf struct {
	Endpoint string // of the service
	Model    string // as clients ask for it
	Variant  string
	Public   bool // no token is needed
}

// sample is how a service is asked in one language.
type sample struct {
	ID    string // curl, python, javascript, go
	Label string
	Code  string
}

// samples say how a service is asked: what embeds for an embedding, what is no model's server by its address alone, and all else
// for a chat.
func samples(s sampleOf) []sample {
	kind := "chat"
	switch {
	case s.Variant == "tei":
		kind = "embeddings"
	case slices.Contains([]string{"triton", "cmd"}, s.Variant):
		kind = "plain"
	}
	r := strings.NewReplacer(
		"{url}", s.Endpoint, "{base}", s.Endpoint+"/v1", "{model}", s.Model,
		"{'url}", shellWord(s.Endpoint), "{'base}", shellWord(s.Endpoint+"/v1/"+map[string]string{"chat": "chat/completions", "embeddings": "embeddings"}[kind]),
		`{"url}`, jsonWord(s.Endpoint), `{"base}`, jsonWord(s.Endpoint+"/v1"), `{"model}`, jsonWord(s.Model),
		"{go url}", strconv.Quote(s.Endpoint), "{go base}", strconv.Quote(s.Endpoint+"/v1"), "{go model}", strconv.Quote(s.Model),
		"{'body}", shellWord(sampleBody(kind, s.Model)), "{token}", tokenPlace,
	)
	var out []sample
	for _, one := range []sample{{"curl", "curl", ""}, {"python", "Python", ""}, {"javascript", "JavaScript", ""}, {"go", "Go", ""}} {
		one.Code = r.Replace(strings.TrimSpace(sampleText(kind, one.ID)))
		if s.Public {
			one.Code = withoutToken(one.Code)
		}
		out = append(out, one)
	}
	return out
}

// sampleBody is what curl sends.
func sampleBody(kind, model string) string {
	if kind == "embeddings" {
		return `{"model": ` + jsonWord(model) + `, "input": "Hello"}`
	}
	return `{"model": ` + jsonWord(model) + `, "messages": [{"role": "user", "content": "Hello"}], "stream": true}`
}

// withoutToken takes out what a public service does not ask for. Clients of OpenAI want something there.
func withoutToken(code string) string {
	var out []string
	for line := range strings.SplitSeq(code, "\n") {
		if strings.Contains(line, "Authorization") {
			continue
		}
		out = append(out, strings.ReplaceAll(line, tokenPlace, "none"))
	}
	return strings.Join(out, "\n")
}

// shellWord is a word as a shell takes it literally.
func shellWord(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// jsonWord is a text as JSON, JavaScript and Python write it.
func jsonWord(s string) string {
	raw, err := json.Marshal(s)
	if err != nil { // a string can be written
		return `""`
	}
	return string(raw)
}

func sampleText(kind, language string) string {
	return map[string]string{
		"chat curl": `
curl -N {'base} \
  -H 'Authorization: Bearer {token}' \
  -H 'Content-Type: application/json' \
  -d {'body}`,
		"chat python": `
from openai import OpenAI  # pip install openai

client = OpenAI(base_url={"base}, api_key="{token}")
stream = client.chat.completions.create(
    model={"model},
    messages=[{"role": "user", "content": "Hello"}],
    stream=True,
)
for chunk in stream:
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)`,
		"chat javascript": `
import OpenAI from "openai"; // npm install openai

const client = new OpenAI({ baseURL: {"base}, apiKey: "{token}" });
const stream = await client.chat.completions.create({
  model: {"model},
  messages: [{ role: "user", content: "Hello" }],
  stream: true,
});
for await (const chunk of stream) {
  process.stdout.write(chunk.choices[0]?.delta?.content ?? "");
}`,
		"chat go": `
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/openai/openai-go/v3" // go get github.com/openai/openai-go/v3
	"github.com/openai/openai-go/v3/option"
)

func main() {
	client := openai.NewClient(option.WithBaseURL({go base}), option.WithAPIKey("{token}"))
	stream := client.Chat.Completions.NewStreaming(context.Background(), openai.ChatCompletionNewParams{
		Model:    {go model},
		Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("Hello")},
	})
	for stream.Next() {
		for _, choice := range stream.Current().Choices {
			fmt.Print(choice.Delta.Content)
		}
	}
	if err := stream.Err(); err != nil {
		log.Fatal(err)
	}
}`,
		"embeddings curl": `
curl {'base} \
  -H 'Authorization: Bearer {token}' \
  -H 'Content-Type: application/json' \
  -d {'body}`,
		"embeddings python": `
from openai import OpenAI  # pip install openai

client = OpenAI(base_url={"base}, api_key="{token}")
answer = client.embeddings.create(model={"model}, input="Hello")
print(answer.data[0].embedding)`,
		"embeddings javascript": `
import OpenAI from "openai"; // npm install openai

const client = new OpenAI({ baseURL: {"base}, apiKey: "{token}" });
const answer = await client.embeddings.create({ model: {"model}, input: "Hello" });
console.log(answer.data[0].embedding);`,
		"embeddings go": `
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/openai/openai-go/v3" // go get github.com/openai/openai-go/v3
	"github.com/openai/openai-go/v3/option"
)

func main() {
	client := openai.NewClient(option.WithBaseURL({go base}), option.WithAPIKey("{token}"))
	answer, err := client.Embeddings.New(context.Background(), openai.EmbeddingNewParams{
		Model: {go model},
		Input: openai.EmbeddingNewParamsInputUnion{OfString: openai.String("Hello")},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer.Data[0].Embedding)
}`,
		"plain curl": `
curl {'url} \
  -H 'Authorization: Bearer {token}'`,
		"plain python": `
import urllib.request

request = urllib.request.Request({"url})
request.add_header("Authorization", "Bearer {token}")
with urllib.request.urlopen(request) as answer:
    print(answer.read().decode())`,
		"plain javascript": `
const answer = await fetch({"url}, {
  headers: { Authorization: "Bearer {token}" },
});
console.log(await answer.text());`,
		"plain go": `
package main

import (
	"io"
	"log"
	"net/http"
	"os"
)

func main() {
	request, err := http.NewRequest(http.MethodGet, {go url}, nil)
	if err != nil {
		log.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer {token}")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	_, _ = io.Copy(os.Stdout, answer.Body)
}`,
	}[kind+" "+language]
}
