package markdown

import (
	"errors"
	"html/template"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
)

func TestRender(t *testing.T) {
	for _, c := range []struct{ name, source, want string }{
		{"text", "a **b** _c_ ~~d~~ `e`", `<p>a <strong>b</strong> <em>c</em> <del>d</del> <code>e</code></p>`},
		{"heading", "# One\n\n###### Six", "<h3>One</h3>\n<h6>Six</h6>"},
		{"code", "```go\nif a < b {}\n```", "<pre class=\"code\"><code class=\"language-go\">if a &lt; b {}\n</code></pre>"},
		{"code of no name", "```<b>\nx\n```", "<pre class=\"code\"><code>x\n</code></pre>"},
		{"indented code", "    a & b", "<pre class=\"code\"><code>a &amp; b\n</code></pre>"},
		{"table", "| a | b |\n|:-:|--:|\n| 1 | 2<br>3 |", "<table>\n<thead>\n<tr>\n<th align=\"center\">a</th>\n<th align=\"right\">b</th>\n</tr>\n</thead>\n<tbody>\n<tr>\n<td align=\"center\">1</td>\n<td align=\"right\">2<br>3</td>\n</tr>\n</tbody>\n</table>"},
		{"tasks", "- [x] a\n- [ ] b", "<ul>\n<li>☑ a</li>\n<li>☐ b</li>\n</ul>"},
		{"list that begins later", "3. a", "<ol start=\"3\">\n<li>a</li>\n</ol>"},
		{"link", `[a](https://example.com "b")`, `<p><a href="https://example.com" title="b" rel="nofollow noreferrer noopener" target="_blank">a</a></p>`},
		{"bare address", "see https://example.com/x", `<p>see <a href="https://example.com/x" rel="nofollow noreferrer noopener" target="_blank">https://example.com/x</a></p>`},
		{"mail", "<a@example.com>", `<p><a href="mailto:a@example.com" rel="nofollow noreferrer">a@example.com</a></p>`},
		{"image of elsewhere", "![a cat](https://example.com/c.png)", `<p><a href="https://example.com/c.png" rel="nofollow noreferrer noopener" target="_blank">a cat</a></p>`},
		{"image of elsewhere in a link", "[![badge](https://example.com/b.svg)](https://example.com)", `<p><a href="https://example.com" rel="nofollow noreferrer noopener" target="_blank">badge</a></p>`},
		{"image of this place", "![a](/console/logout)", `<p>a</p>`},
		{"image within", "![a](data:image/png;base64,AAAA)", `<p><img src="data:image/png;base64,AAAA" alt="a"></p>`},
		{"html is shown", "a <b>c</b>\n\n<div>\nd\n</div>", "<p>a &lt;b&gt;c&lt;/b&gt;</p>\n<p class=\"literal\">&lt;div&gt;\nd\n&lt;/div&gt;</p>"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := strings.TrimSpace(string(Render(c.source))); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestDocument(t *testing.T) {
	for _, c := range []struct{ name, source, want string }{
		{"preface", "---\nlicense: mit\n---\n# A", "<h3>A</h3>"},
		{"preface without an end", "---\na", "<hr>\n<p>a</p>"},
		{"harmless html", "<p align=\"center\">a<sub>b</sub></p>", "<p align=\"center\">a<sub>b</sub></p>"},
		{"heading in html", "<h1>a</h1>", "a"},
		{"image in html", `<p><img src="https://example.com/x.png" alt="x">a</p>`, `<p><img alt="x">a</p>`},
		{"script in html", "<script>alert(1)</script>b", "b"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := strings.TrimSpace(string(Document(c.source))); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// attacks are ways in which Markdown and HTML have been made to run something, or to load something from elsewhere.
var attacks = []string{
	`<script>alert(1)</script>`, `<img src=x onerror=alert(1)>`, `<svg onload=alert(1)>`, `<svg><script>alert(1)</script></svg>`,
	`<iframe src="javascript:alert(1)"></iframe>`, `<object data="x"></object>`, `<embed src=x>`, `<form action="/x"><input name=a><button>b</button></form>`,
	`<a href="javascript:alert(1)">x</a>`, `[x](javascript:alert(1))`, `[x](JaVaScRiPt:alert(1))`, "[x](java\tscript:alert(1))", `[x](&#106;avascript:alert(1))`,
	`[x](data:text/html;base64,PHNjcmlwdD4=)`, `[x](vbscript:x)`, `<javascript:alert(1)>`, `[x](file:///etc/passwd)`, `[x](//example.com)`, `[x](/console/logout)`, `[x](blob:x)`,
	`![x](javascript:alert(1))`, `![x](https://example.com/x.png)`, `![x](data:image/svg+xml;base64,PHN2Zz4=)`, `![x](data:text/html,x)`, `![x" onerror="alert(1)](y)`,
	`![x](data:image/png;base64,AA" onerror="alert(1))`, `[x](https://example.com "a\" onmouseover=\"alert(1)")`, `[x](<https://example.com" onmouseover="alert(1)>)`,
	"```\"><script>alert(1)</script>\nx\n```", "```js onload=x\n</code></pre><script>alert(1)</script>\n```", "`</code><script>alert(1)</script>`",
	`<style>body{background:url(https://example.com)}</style>`, `<p style="background:url(https://example.com)">x</p>`, `<link rel=stylesheet href=https://example.com>`,
	`<base href="https://example.com">`, `<meta http-equiv=refresh content="0;url=https://example.com">`, `<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>`,
	`<noscript><p title="</noscript><img src=x onerror=alert(1)>">`, `<svg></p><style><a id="</style><img src=1 onerror=alert(1)>">`, `<!--><img src=x onerror=alert(1)>-->`,
	`<![CDATA[<img src=x onerror=alert(1)>]]>`, `<div id="main" name="confirm" class="modal" data-copy="x" hx-get="/console/logout">x</div>`, `<video src=https://example.com></video>`,
	`<img srcset="https://example.com/a 1x">`, `<table background="https://example.com"><tr><td>x</table>`, `<input type=image src=https://example.com>`, `<a href="https://example.com" target="_self" rel="opener" ping="https://example.com">x</a>`,
	"[a]: javascript:alert(1)\n\n[a]", "<details open ontoggle=alert(1)><summary>x</summary></details>", "<b\x00 onclick=alert(1)>x</b>", "<im\x00g src=x onerror=alert(1)>", "\xff<script>alert(1)</script>", "<template><script>1</script></template>",
}

func TestNothingRunsAndNothingLoads(t *testing.T) {
	for _, source := range attacks {
		for _, placed := range []string{source, "a " + source + " b", "> " + source, "- " + source, "| a |\n|---|\n| " + source + " |", "# " + source, "**" + source + "**", "[" + source + "](https://example.com)"} {
			harmless(t, placed, Render(placed))
			harmless(t, placed, Document(placed))
		}
	}
}

var (
	goodTag = regexp.MustCompile(`^(p|br|hr|h3|h4|h5|h6|blockquote|ul|ol|li|dl|dt|dd|pre|code|kbd|samp|em|strong|b|i|u|s|del|ins|mark|sub|sup|small|details|summary|table|thead|tbody|tfoot|tr|th|td|div|span|center|a|img)$`)
	goodRef = regexp.MustCompile(`(?i)^(https?://|mailto:)`)
)

// harmless reads what came out as a browser does: tags and attributes are those of a short list, and addresses lead out.
func harmless(t *testing.T, source string, out template.HTML) {
	t.Helper()
	z := html.NewTokenizer(strings.NewReader(string(out)))
	for {
		switch z.Next() {
		case html.ErrorToken:
			if !errors.Is(z.Err(), io.EOF) {
				t.Errorf("%q: %v", source, z.Err())
			}
			return
		case html.CommentToken, html.DoctypeToken:
			t.Errorf("%q gives %q", source, out)
		case html.StartTagToken, html.SelfClosingTagToken, html.EndTagToken:
			token := z.Token()
			if !goodTag.MatchString(token.Data) {
				t.Errorf("%q gives <%s>: %q", source, token.Data, out)
			}
			for _, a := range token.Attr {
				if !goodAttribute(token, a) {
					t.Errorf("%q gives %s=%q: %q", source, a.Key, a.Val, out)
				}
			}
		}
	}
}

func goodAttribute(token html.Token, a html.Attribute) bool {
	switch a.Key {
	case "href":
		has := map[string]string{}
		for _, other := range token.Attr {
			has[other.Key] = other.Val
		}
		return goodRef.MatchString(a.Val) && strings.Contains(has["rel"], "noreferrer") && strings.Contains(has["rel"], "nofollow") &&
			(has["target"] == "" || strings.Contains(has["rel"], "noopener"))
	case "src":
		return imageWithin.MatchString(a.Val)
	case "class":
		return a.Val == "code" || a.Val == "literal" || goodLanguage.MatchString(a.Val)
	case "target":
		return a.Val == "_blank"
	case "rel", "title", "alt", "align", "start", "colspan", "rowspan", "open":
		return true
	}
	return false
}

// What nobody writes but to keep others busy takes no longer than other texts of its length.
func TestBounds(t *testing.T) {
	long := strings.Repeat("x", maxAddress-10)
	for name, source := range map[string]string{
		"too long":        strings.Repeat("é ", MaxSource),
		"quotes":          strings.Repeat(">", MaxSource),
		"lists":           strings.Repeat("- ", MaxSource/2) + "x",
		"numbers":         strings.Repeat("1. ", MaxSource/3) + "x",
		"brackets":        strings.Repeat("[", MaxSource),
		"images":          strings.Repeat("![", MaxSource/2),
		"emphasis":        strings.Repeat("*a_ ", MaxSource/4),
		"stars":           strings.Repeat("*", MaxSource-1) + "a",
		"ticks":           strings.Repeat("`a ``b ", MaxSource/7),
		"links":           strings.Repeat("[a](", MaxSource/4),
		"tags":            strings.Repeat("<a ", MaxSource/3),
		"comments":        strings.Repeat("<!-", MaxSource/3),
		"references":      "[a]: https://" + long + "\n\n" + strings.Repeat("[a] ", (MaxSource-2*maxAddress)/4),
		"table":           "|" + strings.Repeat("a|", 4000) + "\n|" + strings.Repeat("-|", 4000) + "\n" + strings.Repeat("|\n", 100_000),
		"stairs":          stairs(600),
		"addresses":       strings.Repeat("www.a.", MaxSource/6),
		"definitions":     strings.Repeat("[a]: b\n", MaxSource/7),
		"preface":         strings.Repeat("---\n", MaxSource/4),
		"carriage":        strings.Repeat("\r", MaxSource),
		"cut in a letter": strings.Repeat("x", MaxSource-1) + "é",
	} {
		t.Run(name, func(t *testing.T) {
			begun := time.Now()
			out := Document(source)
			if took := time.Since(begun); took > 20*time.Second {
				t.Errorf("took %v", took)
			}
			harmless(t, name, out)
			if len(out) > 2*maxResult {
				t.Errorf("became %d bytes", len(out))
			}
			if len(source) > MaxSource && !strings.Contains(string(out[max(0, len(out)-40):]), "…") {
				t.Errorf("cut without saying so: %q", out[max(0, len(out)-40):])
			}
		})
	}
}

// stairs is a list in a list in a list, each on a line of its own.
func stairs(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat("  ", i) + "- a\n")
	}
	return b.String()
}

func FuzzRender(f *testing.F) {
	for _, source := range attacks {
		f.Add(source)
	}
	f.Fuzz(func(t *testing.T, source string) {
		harmless(t, source, Render(source))
		harmless(t, source, Document(source))
	})
}
