// Package markdown owns how Markdown of strangers becomes a part of a page: what a model says, a README, a note. What comes
// out holds no script, no style, no form, nothing that is loaded from elsewhere and no address but of the web and of mail. It
// knows nothing of pages, of requests, or of where the text comes from.
package markdown

import (
	"html"
	"html/template"
	"strings"
	"sync"

	"github.com/microcosm-cc/bluemonday"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/renderer"
	goldhtml "github.com/yuin/goldmark/renderer/html"
	"github.com/yuin/goldmark/util"
)

// MaxSource bounds what is rendered, in bytes; what is longer is cut there, and ends in "…".
const MaxSource = 256 << 10

// maxResult bounds what rendering may make of it: references can repeat a long address many times.
const maxResult = 4 << 20

// Render makes HTML of what somebody says in Markdown: tables, lists of tasks and bare addresses among it. HTML in the source
// is shown as it was written.
//   - Code stands in <pre class="code"><code class="language-NAME">; markdown.js adds a button that copies it.
//   - Headings begin at <h3>: a page has its own above.
//   - Images of elsewhere become links named by their text; those within the source (data:) are shown.
func Render(source string) template.HTML { return said().render(source) }

// Document makes HTML of a document in Markdown, such as a README: as Render, but harmless HTML in the source is kept as such,
// and a preface of settings (---) is left out.
func Document(source string) template.HTML { return documents().render(withoutPreface(source)) }

var (
	said      = sync.OnceValue(func() writer { return newWriter(true) })
	documents = sync.OnceValue(func() writer { return newWriter(false) })
)

// writer renders and then cleans. Both of its parts can be used by many at once.
type writer struct {
	markdown goldmark.Markdown
	policy   *bluemonday.Policy
}

func newWriter(literal bool) writer {
	options := []renderer.Option{renderer.WithNodeRenderers(util.Prioritized(pieces{literal}, 100))}
	if !literal {
		options = append(options, goldhtml.WithUnsafe()) // the policy cleans it
	}
	inline := []util.PrioritizedValue{
		util.Prioritized(extension.NewTaskCheckBoxParser(), 0),
		util.Prioritized(few{extension.NewStrikethroughParser()}, 500),
		util.Prioritized(extension.NewLinkifyParser(), 999),
	}
	for _, p := range parser.DefaultInlineParsers() {
		if one, is := p.Value.(parser.InlineParser); is {
			inline = append(inline, util.Prioritized(few{one}, p.Priority))
		}
	}
	return writer{
		markdown: goldmark.New(
			goldmark.WithParser(parser.NewParser(
				parser.WithBlockParsers(parser.DefaultBlockParsers()...),
				parser.WithInlineParsers(inline...),
				parser.WithParagraphTransformers(parser.DefaultParagraphTransformers()...),
				parser.WithASTTransformers(util.Prioritized(modest{}, 100)),
			)),
			goldmark.WithExtensions(extension.NewTable(extension.WithTableCellAlignMethod(extension.TableCellAlignAttribute))),
			goldmark.WithRendererOptions(append(options, renderer.WithNodeRenderers(util.Prioritized(extension.NewStrikethroughHTMLRenderer(), 500)))...),
		),
		policy: policy(),
	}
}

func (w writer) render(source string) template.HTML {
	source, cut := bounded(source)
	if costly(source) {
		return plain(source, cut)
	}
	out := limited{left: maxResult}
	if err := w.markdown.Convert([]byte(source), &out); err != nil {
		return plain(source, cut)
	}
	clean := w.policy.SanitizeBytes(out.Bytes())
	if cut {
		clean = append(clean, "<p>…</p>"...)
	}
	//nolint:gosec // this is the one place that makes it so
	return template.HTML(clean)
}

// plain is the source as it stands: for what cannot be rendered within bounds.
func plain(source string, cut bool) template.HTML {
	if cut {
		source += "…"
	}
	//nolint:gosec // escaped
	return template.HTML(`<pre class="code"><code>` + html.EscapeString(source) + `</code></pre>`)
}

// withoutPreface is a document without the settings that stand between two lines of --- at its beginning.
func withoutPreface(source string) string {
	rest, is := strings.CutPrefix(strings.ReplaceAll(strings.TrimPrefix(source, "\uFEFF"), "\r\n", "\n"), "---\n")
	if !is {
		return source
	}
	if _, after, ends := strings.Cut("\n"+rest, "\n---\n"); ends {
		return after
	}
	return source
}
