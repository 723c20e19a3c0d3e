package e2e_test

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
)

// terminal opens a shell in a tab of its own, and types.
func (rd *reader) terminal() {
	rd.open("/sessions/desk")
	rd.see("#app-terminal")
	opened := chromedp.WaitNewTarget(rd.ctx, func(i *target.Info) bool { return i.Type == "page" })
	rd.click("#app-terminal")
	var id target.ID
	select {
	case id = <-opened:
	case <-time.After(20 * time.Second):
		rd.t.Fatal("no tab was opened")
	}
	ctx, cancel := chromedp.NewContext(rd.ctx, chromedp.WithTargetID(id))
	defer cancel()
	if err := chromedp.Run(ctx); err != nil { // the tab lives as long as the context of the first run
		rd.t.Fatal(err)
	}
	tab := &browser{t: rd.t, ctx: ctx}
	var stands string
	if err := eventually(30*time.Second, func() error { // it goes from page to page by itself: what is asked of one that is left is not answered
		short, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		err := chromedp.Run(short, chromedp.Evaluate(`location.href + " " + document.getElementById("notice")?.textContent + " " + document.body.dataset.state`, &stands))
		if err == nil && !strings.HasSuffix(stands, " open") {
			err = errors.New("no shell is open")
		}
		return err
	}); err != nil {
		rd.t.Fatalf("%v: %q", err, stands)
	}
	tab.do(input.InsertText("echo answer=$((6*7))"), enter())
	tab.sees("answer=42")
	if *screenshots != "" {
		(&reader{browser: tab, box: rd.box}).picture("terminal")
	}
	rd.content("terminal")
}

// inKorean reads a page in the other language.
func (rd *reader) inKorean() {
	rd.open("/sessions/desk")
	rd.truth(`document.querySelector('a[hreflang=ko]').closest("details").open = true`, nil)
	rd.stay()
	rd.click(`a[hreflang=ko]`)
	rd.leaves()
	rd.at("/sessions/desk")
	for path, name := range map[string]string{"/": "home", "/services": "services", "/services/hello": "service", "/catalog/hello": "recipe", "/tokens": "tokens", "/settings": "settings"} {
		rd.open(path)
		rd.holds(`document.documentElement.lang === "ko" && /[가-힣]/.test(document.querySelector("nav").innerText) && document.fonts.check("16px NanumGothic", "가")`)
		rd.fits(path+" in Korean", looks[0])
		rd.picture("korean-" + name)
	}
	rd.truth(`document.querySelector('a[hreflang=en]').closest("details").open = true`, nil)
	rd.stay()
	rd.click(`a[hreflang=en]`)
	rd.leaves()
}
