package cli

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/catalog/bytesize"
)

func (a *app) serviceCaptures() *cobra.Command {
	var forget bool
	cmd := &cobra.Command{
		Use: "captures SERVICE [NUMBER]", Short: "List the last requests that were kept, or show one with its answer",
		Long: "List the last requests of a service that were kept to be looked at, oldest first; with NUMBER, or the id of a request,\n" +
			"show that one with heads, bodies and answer. A service keeps them from when it is told to, in memory alone:\n" +
			"palisade service update SERVICE --capture 20. Tokens, keys, cookies and passwords are taken out.",
		Args: words("SERVICE NUMBER", 1, 2), ValidArgsFunction: a.completeAt(0, a.serviceNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			switch {
			case forget && len(args) > 1:
				return &usageError{message: "--clear forgets all captures of a service: name no NUMBER"}
			case forget:
				return c.ClearCaptures(cmd.Context(), args[0])
			case len(args) > 1:
				one, err := c.Capture(cmd.Context(), args[0], args[1])
				if err != nil {
					return err
				}
				return a.show(result{quiet: []string{strconv.FormatInt(one.Number, 10)}, json: one, text: func() error { a.printCapture(one); return nil }})
			}
			return a.listCaptures(cmd, c, args[0])
		},
	}
	cmd.Flags().BoolVar(&forget, "clear", false, "forget what is kept")
	return cmd
}

func (a *app) listCaptures(cmd *cobra.Command, c *api.Client, ref string) error {
	all, err := c.Captures(cmd.Context(), ref)
	if err != nil {
		return err
	}
	if len(all) == 0 && a.output != "json" {
		a.notef("no request has come since captures were turned on, or they were forgotten")
		return nil
	}
	t := newTable("NUMBER", "WHEN", "STATUS", "TOOK", "TTFT", "PROMPT", "ANSWER", "TOKEN", "ROUTE", "REQUEST")
	r := result{json: notNull(all), table: t}
	for _, g := range slices.Backward(all) {
		number := strconv.FormatInt(g.Number, 10)
		status, took := "under way", "-"
		if g.Ended {
			status, took = strings.TrimSpace(strconv.Itoa(g.Status)+" "+g.Error), short(seconds(g.Duration))
		}
		t.add(number, a.ago(g.At), status, took, secondsOrDash(g.TTFT), countOrDash(g.PromptTokens), countOrDash(g.CompletionTokens),
			orDash(tokenWord(g)), captureRoute(g), g.Method+" "+g.Target)
		r.quiet = append(r.quiet, number)
	}
	return a.show(r)
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

func secondsOrDash(n float64) string {
	if n == 0 {
		return "-"
	}
	return short(seconds(n))
}

func countOrDash(n int64) string {
	if n == 0 {
		return "-"
	}
	return strconv.FormatInt(n, 10)
}

func tokenWord(g api.Capture) string {
	if g.TokenName != "" {
		return g.TokenName
	}
	return g.Token
}

// captureRoute is who answered.
func captureRoute(g api.Capture) string {
	if g.Repeated {
		return "repeat"
	}
	return orDash(g.Route)
}

// printCapture prints a request and its answer as they went over the wire, with what is known about them between.
func (a *app) printCapture(g api.Capture) {
	about := []string{"# request " + strconv.FormatInt(g.Number, 10), g.RequestID, g.At.Local().Format(time.DateTime), g.Client}
	if word := tokenWord(g); word != "" {
		about = append(about, "token "+word)
	}
	a.printAbout(about)
	fmt.Fprintln(a.out, oneLine(g.Method+" "+g.Target))
	a.printMessage(g.Request)
	about = []string{"# under way"}
	if g.Ended {
		about = []string{fmt.Sprintf("# answered %d in %s", g.Status, short(seconds(g.Duration)))}
	}
	if g.TTFT > 0 {
		about = append(about, "first bytes after "+short(seconds(g.TTFT)))
	}
	if g.PromptTokens+g.CompletionTokens > 0 {
		about = append(about, fmt.Sprintf("%d prompt tokens (%d cached)", g.PromptTokens, g.CachedTokens), fmt.Sprintf("%d of the answer", g.CompletionTokens))
	}
	if g.Route != "" {
		about = append(about, "route "+g.Route)
	}
	if g.Repeated {
		about = append(about, "from the answer to an identical request")
	}
	if g.Retries > 0 {
		about = append(about, plural(g.Retries, "other route")+" tried before")
	}
	if g.Aborted {
		about = append(about, "the client went before the end")
	}
	fmt.Fprintln(a.out)
	a.printAbout(append(about, g.Error))
	a.printMessage(g.Answer)
}

func (a *app) printAbout(words []string) {
	var said []string
	for _, w := range words {
		if w != "" {
			said = append(said, oneLine(w))
		}
	}
	fmt.Fprintln(a.out, strings.Join(said, ", "))
}

// printMessage prints a head and a body; what could command a terminal is left out, and is whole with -o json.
func (a *app) printMessage(m *api.CaptureMessage) {
	if m == nil {
		return
	}
	for _, f := range m.Fields {
		fmt.Fprintln(a.out, oneLine(f.Name+": "+f.Value))
	}
	if m.Size == 0 {
		return
	}
	fmt.Fprintln(a.out)
	if m.Base64 {
		fmt.Fprintf(a.out, "(%s that are no text; -o json has them)\n", bytesize.Format(m.Size))
		return
	}
	for text := range strings.Lines(m.Body) {
		fmt.Fprintln(a.out, oneLine(strings.TrimRight(text, "\r\n")))
	}
	if m.Cut {
		fmt.Fprintf(a.out, "(%s in all; the rest was not kept)\n", bytesize.Format(m.Size))
	}
}
