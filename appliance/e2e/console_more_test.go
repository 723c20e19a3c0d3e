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

// tab is what a button opens in a tab of its own; shut closes it.
func (rd *reader) tab(button string) (tab *browser, shut func()) {
	rd.t.Helper()
	rd.see(button)
	opened := chromedp.WaitNewTarget(rd.ctx, func(i *target.Info) bool { return i.Type == "page" })
	rd.click(button)
	var id target.ID
	select {
	case id = <-opened:
	case <-time.After(90 * time.Second):
		rd.t.Fatal("no tab was opened")
	}
	ctx, cancel := chromedp.NewContext(rd.ctx, chromedp.WithTargetID(id))
	if err := chromedp.Run(ctx); err != nil { // the tab lives as long as the context of the first run
		cancel()
		rd.t.Fatal(err)
	}
	tab = &browser{t: rd.t, ctx: ctx}
	tab.listen()
	return tab, cancel
}

// terminal opens a shell in a tab of its own, and types.
func (rd *reader) terminal() {
	rd.open("/sessions/desk")
	tab, shut := rd.tab("#app-terminal")
	defer shut()
	var stands string
	if err := eventually(soon, func() error { // it goes from page to page by itself: what is asked of one that is left is not answered
		short, cancel := context.WithTimeout(tab.ctx, 2*time.Second)
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

// compares asks two models the same.
func (rd *reader) compares() {
	rd.box.serve("twin", "recite", 1)
	rd.open("/playground?service=hello&compare=twin")
	rd.click("#pg-clear") // what was said before stays until then
	rd.holds(`document.querySelectorAll(".turn").length === 0`)
	rd.do(chromedp.SendKeys("#pg-text", "Who are you?", chromedp.ByQuery), enter())
	rd.holds(`document.querySelectorAll(".turn.model .turn-markdown").length === 2 && !document.querySelector("#pg-send").hidden`)
	rd.reads(".turn.model", "Hello")
	rd.reads(".turn.model", "this is my voice")
	rd.holds(`[...document.querySelectorAll(".turn-figures")].filter((e) => /\d/.test(e.innerText)).length === 2`)
	for _, l := range looks {
		rd.as(l)
		rd.picture("compare-" + l.name)
		rd.fits("two models side by side ("+l.name+")", l)
	}
	rd.as(looks[0])
	rd.content("compare")
	rd.box.run("service", "rm", "twin")
}

// drops a file on the list of a folder, and looks at a notebook that is there.
func (rd *reader) drops() {
	rd.box.run("folder", "cp", rd.box.file("figures.ipynb", aNotebook), "papers:/figures.ipynb")
	rd.open("/folders/papers/files/")
	rd.stay()
	rd.truth(`(() => {
		const data = new DataTransfer();
		data.items.add(new File(["dropped here"], "dropped.txt", {type: "text/plain"}));
		const at = document.querySelector("#browse-list");
		for (const kind of ["dragenter", "dragover", "drop"]) at.dispatchEvent(new DragEvent(kind, {dataTransfer: data, bubbles: true, cancelable: true}));
		return true;
	})()`, nil)
	rd.holds(`document.querySelector("#upload-card").dataset.state === "done"`)
	rd.reads("#browse-list", "dropped.txt")
	rd.stayed()
	if text := rd.box.run("folder", "cat", "papers:/dropped.txt"); text != "dropped here" {
		rd.t.Errorf("%q", text)
	}
	rd.forgive() // it asked whether there is such a file: the browser notes the status 404
	rd.examine("/folders/papers/files/figures.ipynb", "notebook")
	rd.open("/folders/papers/files/figures.ipynb")
	rd.reads("main", "A heading")
	rd.reads("main", "print(6 * 7)")
	rd.reads("main", "42")
	rd.holds(`[...document.querySelectorAll("main img")].some((e) => e.complete && e.naturalWidth === 1)`)
	rd.content("drop")
}

const aNotebook = `{"nbformat": 4, "nbformat_minor": 5, "metadata": {"language_info": {"name": "python"}}, "cells": [
{"cell_type": "markdown", "metadata": {}, "source": ["# A heading\n", "and **words**"]},
{"cell_type": "code", "metadata": {}, "execution_count": 1, "source": ["print(6 * 7)"], "outputs": [
 {"output_type": "stream", "name": "stdout", "text": ["42\n"]},
 {"output_type": "display_data", "metadata": {}, "data": {"image/png": "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="}}]}]}`
