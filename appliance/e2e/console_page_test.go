package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	dialogs "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// screenshots is where pictures of the console's pages are put.
var screenshots = flag.String("screenshots", "", "put pictures of the console's pages into this `directory`")

// reader is a person at a browser who uses the console. Whatever a page complains of, breaks of its policy and requests to other
// hosts among it, fails the test.
type reader struct {
	*browser
	box   *box
	bytes float64 // that came over the wire since the last page was asked for
	away  []string
	asked []string // every address
	axe   string
}

// newReader opens a browser with nothing kept from before.
func (b *box) newReader() *reader {
	b.t.Helper()
	script, err := os.ReadFile(have.axe)
	if err != nil {
		b.t.Fatal(err)
	}
	rd := &reader{browser: newBrowser(b.t), box: b, axe: string(script)}
	chromedp.ListenTarget(rd.ctx, func(event any) {
		rd.mu.Lock()
		defer rd.mu.Unlock()
		switch e := event.(type) {
		case *network.EventRequestWillBeSent:
			rd.asked = append(rd.asked, e.Request.URL, e.Request.URL+" with Referer "+fmt.Sprint(e.Request.Headers["Referer"]))
			if url := e.Request.URL; !strings.HasPrefix(url, b.url) && !strings.HasPrefix(url, "data:") && !strings.HasPrefix(url, "blob:") {
				rd.away = append(rd.away, url)
			}
		case *network.EventDataReceived:
			rd.bytes += float64(e.EncodedDataLength)
		case *dialogs.EventJavascriptDialogOpening: // nothing goes on while it is open
			rd.complaints = append(rd.complaints, "it asks, "+string(e.Type)+": "+e.Message)
			go func() { _ = chromedp.Run(rd.ctx, dialogs.HandleJavaScriptDialog(true)) }()
		}
	})
	rd.do(network.Enable(), log.Enable(), chromedp.EmulateViewport(1280, 900))
	return rd
}

// open goes to a page below /console, which must be there and complain of nothing.
func (rd *reader) open(path string) {
	rd.t.Helper()
	rd.mu.Lock()
	rd.bytes = 0
	rd.mu.Unlock()
	rd.do(chromedp.Navigate(rd.box.url + "/console" + path))
	rd.see("main")
	rd.content(path)
}

// at fails where another page is open than that which was asked for, such as the log-in.
func (rd *reader) at(path string) {
	rd.t.Helper()
	var now string
	if rd.truth("location.pathname + location.search", &now); now != "/console"+path {
		rd.t.Fatalf("at %s in place of /console%s", now, path)
	}
}

// content looks at what a page complained of since the last look.
func (rd *reader) content(where string) {
	rd.t.Helper()
	rd.mu.Lock()
	defer rd.mu.Unlock()
	if len(rd.complaints) > 0 {
		rd.t.Errorf("%s: the page complained: %q", where, rd.complaints)
	}
	if len(rd.away) > 0 {
		rd.t.Errorf("%s: the page asked elsewhere: %q", where, rd.away)
	}
	rd.complaints, rd.away = nil, nil
}

// forgive takes complaints that are meant to be, such as that of an answer of 422; it returns them.
func (rd *reader) forgive() []string {
	rd.mu.Lock()
	defer rd.mu.Unlock()
	all := rd.complaints
	rd.complaints = nil
	return all
}

// see waits until a selector shows something.
func (rd *reader) see(selector string) {
	rd.t.Helper()
	rd.do(chromedp.WaitVisible(selector, chromedp.ByQuery))
}

// reads waits until an element's text has words in it.
func (rd *reader) reads(selector, words string) string {
	rd.t.Helper()
	var text string
	if err := eventually(soon, func() error {
		rd.do(chromedp.Evaluate(fmt.Sprintf(`[...document.querySelectorAll(%q)].map((e) => e.innerText).join("\n")`, selector), &text))
		if !strings.Contains(text, words) {
			return errors.New("not yet")
		}
		return nil
	}); err != nil {
		rd.t.Fatalf("%s does not say %q, but %q", selector, words, text)
	}
	return text
}

func (rd *reader) click(selector string) {
	rd.t.Helper()
	rd.do(chromedp.ScrollIntoView(selector, chromedp.ByQuery), chromedp.Click(selector, chromedp.ByQuery))
}

// write puts a text into a field as if typed at its end.
func (rd *reader) write(selector, text string) {
	rd.t.Helper()
	rd.do(chromedp.WaitVisible(selector, chromedp.ByQuery), chromedp.Evaluate(fmt.Sprintf(`document.querySelector(%q).value = ""`, selector), nil),
		chromedp.SendKeys(selector, text, chromedp.ByQuery))
}

// truth evaluates an expression of the page.
func (rd *reader) truth(expression string, into any) {
	rd.t.Helper()
	rd.do(chromedp.Evaluate(expression, into))
}

// finding is what axe-core says of a page.
type finding struct {
	ID     string `json:"id"`
	Impact string `json:"impact"`
	Help   string `json:"help"`
	Nodes  []struct {
		Target []any  `json:"target"`
		HTML   string `json:"html"`
		Why    string `json:"failureSummary"`
	} `json:"nodes"`
}

func awaited(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }

// usable fails on what keeps people from using the page as it is shown now: the serious and the critical. The rules are those of
// axe-core to go by, "" all.
func (rd *reader) usable(where, rules string) {
	rd.t.Helper()
	var raw string
	rd.do(chromedp.Evaluate(rd.axe+";0", nil), chromedp.Evaluate(`axe.run(document, {resultTypes: ["violations"]`+rules+`}).then((r) => JSON.stringify(r.violations))`, &raw, awaited))
	var found []finding
	if err := json.Unmarshal([]byte(raw), &found); err != nil {
		rd.t.Fatal(err)
	}
	for _, f := range found {
		if f.Impact != "serious" && f.Impact != "critical" {
			continue
		}
		for _, n := range f.Nodes[:min(len(f.Nodes), 5)] {
			rd.t.Errorf("%s: %s (%s): %v\n%s\n%s", where, f.Help, f.ID, n.Target, n.HTML, n.Why)
		}
	}
}

// look is how a page may be looked at.
type look struct {
	name          string
	width, height int64
	dark, phone   bool
	unseen        bool   // not among the pictures
	rules         string // of those of axe-core; "": all
}

// What light and wide is good but for its colours is so in the dark; on a tablet and a phone the colours are known.
var looks = []look{
	{name: "light", width: 1440, height: 900},
	{name: "tablet", width: 820, height: 1180, phone: true, unseen: true, rules: `, runOnly: ["scrollable-region-focusable", "target-size"]`},
	{name: "dark", width: 1280, height: 900, dark: true, rules: `, runOnly: ["color-contrast", "link-in-text-block"]`},
	{name: "phone", width: 390, height: 844, phone: true, rules: `, rules: {"color-contrast": {enabled: false}, "link-in-text-block": {enabled: false}}`},
}

// examine looks at a page in light and dark, and at the widths of a tablet and a phone: usable, no wider than the screen, not heavy at its
// first load, and without a mouse.
func (rd *reader) examine(path, name string) {
	rd.t.Helper()
	rd.do(network.ClearBrowserCache())
	rd.open(path)
	rd.at(path)
	rd.light(path)
	rd.keys(path)
	for _, l := range looks {
		rd.as(l)
		if *screenshots != "" && !l.unseen {
			rd.open(path) // as somebody sees it who comes so
			rd.picture(name + "-" + l.name)
		}
		rd.fits(path+" ("+l.name+")", l)
	}
	rd.as(looks[0])
}

// as changes what the browser is.
func (rd *reader) as(l look) {
	rd.t.Helper()
	theme := "light"
	if l.dark {
		theme = "dark"
	}
	rd.do(emulation.SetDeviceMetricsOverride(l.width, l.height, 1, l.phone), emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: theme}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}))
}

// wider is what makes a page wider than the screen, but for what scrolls by itself.
const wider = `(() => {
	const most = document.documentElement.clientWidth + 1;
	if (document.documentElement.scrollWidth <= most) return [];
	const scrolls = (e) => e && e !== document.body && (getComputedStyle(e).overflowX !== "visible" || scrolls(e.parentElement));
	return ["the page is " + document.documentElement.scrollWidth].concat([...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > most && !scrolls(e.parentElement))
		.slice(0, 6).map((e) => e.tagName + "#" + e.id + "." + e.className + " " + Math.round(e.getBoundingClientRect().right)));
})()`

// fits fails where what is shown cannot be used, or is wider than the screen.
func (rd *reader) fits(where string, l look) {
	rd.t.Helper()
	var wide []string
	if err := eventually(soon, func() error { // charts take their new width a moment later
		if rd.truth(wider, &wide); len(wide) > 0 {
			return errors.New("it is")
		}
		return nil
	}); err != nil {
		rd.t.Errorf("%s is wider than the screen of %d: %q", where, l.width, wide)
	}
	rd.usable(where, l.rules)
	rd.content(where)
}

// heaviest is how many bytes a page may take at its first load.
const heaviest = 300_000

// light fails where the page that was opened came with too many bytes.
func (rd *reader) light(path string) {
	rd.t.Helper()
	rd.mu.Lock()
	defer rd.mu.Unlock()
	if rd.bytes > heaviest {
		rd.t.Errorf("%s took %.0f bytes, more than %d", path, rd.bytes, heaviest)
	}
}

// logIn logs in by the form, and chooses a password where the appliance asks for another.
func (rd *reader) logIn(name, password string) {
	rd.t.Helper()
	rd.open("/login")
	rd.write("#name", name)
	rd.write("#password", password)
	rd.send("#password")
	var asked bool
	if rd.truth(`!!document.querySelector("#new_password")`, &asked); !asked {
		return
	}
	rd.picture("password-light")
	rd.usable("the page of a new password", "")
	rd.write("#password", password)
	rd.write("#new_password", chosenPassword)
	rd.write("#again", chosenPassword)
	rd.send("#again")
}

// chosenPassword is what people choose here.
const chosenPassword = "seven birds on a wire"

// send sends the form of a field, and waits for the page that comes of it.
func (rd *reader) send(field string) {
	rd.t.Helper()
	rd.stay()
	rd.do(chromedp.Submit(field, chromedp.ByQuery))
	rd.leaves()
}

// stay marks the page that is open, so that it is known for the same later.
func (rd *reader) stay() {
	rd.t.Helper()
	rd.truth(`window.stays = true`, nil)
}

// stayed fails where the page was loaded anew since stay.
func (rd *reader) stayed() {
	rd.t.Helper()
	var stays bool
	if rd.truth(`window.stays === true`, &stays); !stays {
		rd.t.Error("the page was loaded anew")
	}
}

// leaves waits until another page has taken the place of the marked one.
func (rd *reader) leaves() {
	rd.t.Helper()
	if err := eventually(soon, func() error {
		var there bool
		ctx, cancel := context.WithTimeout(rd.ctx, 10*time.Second)
		defer cancel()
		err := chromedp.Run(ctx, chromedp.Evaluate(`!window.stays && document.readyState === "complete" && !!document.querySelector("main h1")`, &there))
		if err == nil && !there {
			err = errors.New("it is still there")
		}
		return err
	}); err != nil {
		rd.t.Fatalf("%v; the page complained: %q", err, rd.forgive())
	}
}
