package e2e_test

import "github.com/chromedp/cdproto/input"

// mostTabs is how many times the key is pressed on a page at most: lists go on alike.
const mostTabs = 40

// unreachable is what a mouse could be used on, as it looks, and no key can reach.
const unreachable = `[...document.querySelectorAll("body *")].filter((e) => e.checkVisibility() && getComputedStyle(e).cursor === "pointer" &&
	!e.closest("a[href], button, input, select, textarea, summary, label, [tabindex]")).slice(0, 6).map((e) => e.tagName + "#" + e.id + "." + e.className)`

// focused tells what has the focus, and what is wrong with it; "" where nothing has it, as behind the last one.
const focused = `(() => {
	const e = document.activeElement;
	if (!e || e === document.body || e === document.documentElement) return null;
	const style = getComputedStyle(e.closest(".editor-box") || e), at = e.getBoundingClientRect();
	const name = e.tagName + "#" + e.id + "." + e.className + " " + (e.getAttribute("aria-label") || e.innerText || e.name || "").slice(0, 30);
	const wrong = [];
	if ((style.outlineStyle === "none" || parseFloat(style.outlineWidth) === 0) && style.boxShadow === "none") wrong.push("does not show that it has the focus");
	if (at.bottom <= 0 || at.top >= innerHeight || at.right <= 0 || at.left >= innerWidth || at.width === 0) wrong.push("is out of sight");
	const again = e.hasAttribute("data-had-focus");
	e.setAttribute("data-had-focus", "");
	return {name, wrong, again, writes: e.tagName === "TEXTAREA"};
})()`

// keys fails where what is on a page cannot be used without a mouse: reached, in turn, seen when it is, and left again.
func (rd *reader) keys(where string) {
	rd.t.Helper()
	var lost []string
	if rd.truth(unreachable, &lost); len(lost) > 0 {
		rd.t.Errorf("%s: no key reaches %q", where, lost)
	}
	rd.truth(`document.activeElement?.blur(); getSelection().removeAllRanges(); scrollTo(0, 0)`, nil)
	reached, writes := 0, false
	for range mostTabs {
		var now *struct {
			Name   string
			Wrong  []string
			Again  bool
			Writes bool
		}
		if writes { // an editor keeps the other key to itself, else
			rd.press("Escape", 27)
		}
		rd.press("Tab", 9)
		rd.truth(focused, &now)
		if now == nil || now.Again { // all were reached, and it begins anew
			break
		}
		writes = now.Writes
		reached++
		for _, wrong := range now.Wrong {
			rd.t.Errorf("%s: %s %s", where, now.Name, wrong)
		}
	}
	if reached == 0 {
		rd.t.Errorf("%s: the key reaches nothing", where)
	}
}

func (rd *reader) press(key string, code int64) {
	rd.t.Helper()
	event := func(kind input.KeyType) *input.DispatchKeyEventParams {
		return input.DispatchKeyEvent(kind).WithKey(key).WithCode(key).WithWindowsVirtualKeyCode(code)
	}
	rd.do(event(input.KeyDown), event(input.KeyUp))
}
