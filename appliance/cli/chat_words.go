package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// conversation is what was said, and how it goes on. messages begins with what the model is told before, where it is told
// anything.
type conversation struct {
	question
}

// doing is what a line of a person asks for.
type doing int

const (
	doNothing doing = iota // it was seen to
	doAsk                  // the last message is a question
	doLeave
)

const chatHelp = `  /system [TEXT]   what the model is told before; without TEXT: show it; - takes it away
  /clear           begin anew; what it is told before stays
  /retry           ask the last question again
  /undo            take the last question and its answer away
  /show            show the conversation
  /save FILE       write it to a file: JSON where that ends in .json, else text
  /set max-tokens N, /set temperature N
  /exit            leave; Ctrl-D does too
  Several lines: end one with \, or put them between """ and """. Ctrl-C stops an answer.
`

// tell sets what the model is told before; "" is nothing.
func (c *conversation) tell(system string) {
	if len(c.messages) > 0 && c.messages[0].Role == "system" {
		c.messages = c.messages[1:]
	}
	if system = strings.TrimSpace(system); system != "" {
		c.messages = append([]message{{"system", system}}, c.messages...)
	}
}

// spoken is how many messages there are without what the model is told before.
func (c *conversation) spoken() []message {
	if len(c.messages) > 0 && c.messages[0].Role == "system" {
		return c.messages[1:]
	}
	return c.messages
}

func (c *conversation) answered(r reply) {
	c.messages = append(c.messages, message{"assistant", r.Text})
}

// forgetQuestion takes a question away that nobody answered: it would be asked with the next one.
func (c *conversation) forgetQuestion() {
	if n := len(c.messages); n > 0 && c.messages[n-1].Role == "user" {
		c.messages = c.messages[:n-1]
	}
}

// command does what a line asks for; what is to be said about it goes to w. A line that begins with / is a command, unless its
// first word is a path.
func (c *conversation) command(line string, w io.Writer) doing {
	word, rest, _ := strings.Cut(line, " ")
	rest = strings.TrimSpace(rest)
	switch {
	case line == "":
		return doNothing
	case !strings.HasPrefix(word, "/") || strings.Contains(word[1:], "/"):
		c.messages = append(c.messages, message{"user", line})
		return doAsk
	}
	switch word {
	case "/exit", "/quit", "/bye", "/q":
		return doLeave
	case "/help", "/?":
		fmt.Fprint(w, chatHelp)
	case "/system":
		c.commandSystem(rest, w)
	case "/clear", "/new":
		c.messages = c.messages[:len(c.messages)-len(c.spoken())]
		fmt.Fprintln(w, "it begins anew")
	case "/retry":
		return c.retry(w)
	case "/undo":
		c.undo(w)
	case "/show", "/history":
		fmt.Fprint(w, tame(c.transcript()))
	case "/save":
		c.save(rest, w)
	case "/set":
		c.set(rest, w)
	default:
		fmt.Fprintf(w, "there is no %s; /help lists what there is\n", tame(word))
		if near := didYouMean(word, []string{"/help", "/system", "/clear", "/retry", "/undo", "/show", "/save", "/set", "/exit"}); near != "" {
			fmt.Fprintln(w, "  "+near)
		}
	}
	return doNothing
}

func (c *conversation) commandSystem(text string, w io.Writer) {
	switch {
	case text == "-":
		c.tell("")
		fmt.Fprintln(w, "it is told nothing before")
	case text != "":
		c.tell(text)
		fmt.Fprintln(w, "it is told so, from the next answer on")
	case len(c.spoken()) < len(c.messages):
		fmt.Fprintln(w, tame(c.messages[0].Content))
	default:
		fmt.Fprintln(w, "it is told nothing before")
	}
}

// retry goes back to the last question.
func (c *conversation) retry(w io.Writer) doing {
	for n := len(c.messages); n > 0; n-- {
		if c.messages[n-1].Role == "user" {
			c.messages = c.messages[:n]
			return doAsk
		}
	}
	fmt.Fprintln(w, "nothing was asked yet")
	return doNothing
}

func (c *conversation) undo(w io.Writer) {
	if len(c.spoken()) == 0 {
		fmt.Fprintln(w, "nothing was asked yet")
		return
	}
	for len(c.spoken()) > 0 {
		last := c.messages[len(c.messages)-1]
		c.messages = c.messages[:len(c.messages)-1]
		if last.Role == "user" {
			break
		}
	}
	fmt.Fprintf(w, "taken away; %s left\n", plural(len(c.spoken()), "message"))
}

// transcript is the conversation as people read it.
func (c *conversation) transcript() string {
	var b strings.Builder
	for _, m := range c.messages {
		fmt.Fprintf(&b, "%s: %s\n\n", m.Role, strings.TrimSpace(m.Content))
	}
	return b.String()
}

// save writes it to a file that is not there yet.
func (c *conversation) save(name string, w io.Writer) {
	if name == "" {
		fmt.Fprintln(w, "to which file? /save talk.txt")
		return
	}
	text := []byte(c.transcript())
	if strings.HasSuffix(name, ".json") {
		var err error
		if text, err = json.MarshalIndent(map[string]any{"model": c.service, "messages": c.messages}, "", "  "); err != nil {
			fmt.Fprintln(w, err) // strings always marshal
			return
		}
		text = append(text, '\n')
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		_, err = f.Write(text)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		fmt.Fprintf(w, "not saved: %s\n", errWithoutOp(err))
		return
	}
	fmt.Fprintf(w, "saved to %s\n", name)
}

func (c *conversation) set(rest string, w io.Writer) {
	name, text, _ := strings.Cut(rest, " ")
	n, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	switch {
	case err != nil || n < 0 || n > 1e7:
		fmt.Fprintln(w, "/set max-tokens 500, or /set temperature 0.7")
	case name == "max-tokens":
		c.maxTokens = int(n)
	case name == "temperature":
		c.temperature = &n
	default:
		fmt.Fprintln(w, "max-tokens and temperature can be set")
	}
}
