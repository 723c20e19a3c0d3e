package markdown

import (
	"bytes"
	"regexp"

	"github.com/microcosm-cc/bluemonday"
	"github.com/yuin/goldmark/ast"
	extast "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/renderer"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
)

// Bounds of an address and of the text that shows when the mouse is over it, in bytes. A reference is written out wherever
// it is used.
const (
	maxAddress = 2048
	maxTitle   = 256
)

// pieces writes what the console has otherwise than the book.
type pieces struct {
	literal bool // HTML is shown as it was written
}

// RegisterFuncs names them.
func (p pieces) RegisterFuncs(r renderer.NodeRendererFuncRegisterer) {
	r.Register(ast.KindFencedCodeBlock, p.code)
	r.Register(ast.KindCodeBlock, p.code)
	r.Register(ast.KindImage, p.image)
	r.Register(extast.KindTaskCheckBox, p.task)
	if p.literal {
		r.Register(ast.KindRawHTML, p.inlineHTML)
		r.Register(ast.KindHTMLBlock, p.blockHTML)
	}
}

func (pieces) code(w util.BufWriter, source []byte, n ast.Node, entering bool) (ast.WalkStatus, error) {
	if !entering {
		_, _ = w.WriteString("</code></pre>\n")
		return ast.WalkContinue, nil
	}
	_, _ = w.WriteString(`<pre class="code"><code`)
	if fenced, is := n.(*ast.FencedCodeBlock); is {
		if language := fenced.Language(source); goodLanguage.Match(append([]byte("language-"), language...)) {
			_, _ = w.WriteString(` class="language-` + string(language) + `"`)
		}
	}
	_, _ = w.WriteString(">")
	writeLines(w, source, n.Lines())
	return ast.WalkContinue, nil
}

func writeLines(w util.BufWriter, source []byte, lines *text.Segments) {
	for i := range lines.Len() {
		line := lines.At(i)
		_, _ = w.Write(util.EscapeHTML(line.Value(source)))
	}
}

// image shows one that is within the source. One of elsewhere is not loaded: who keeps it would see who looks. It becomes a
// link, or its text alone where it stands in a link.
func (pieces) image(w util.BufWriter, source []byte, n ast.Node, entering bool) (ast.WalkStatus, error) {
	at, is := n.(*ast.Image)
	if !entering || !is {
		return ast.WalkContinue, nil
	}
	to, said := at.Destination, util.EscapeHTML(spoken(source, n))
	switch {
	case bytes.HasPrefix(to, []byte("data:image/")):
		_, _ = w.WriteString(`<img src="` + string(util.EscapeHTML(to)) + `" alt="` + string(said) + `">`)
	case within(n, ast.KindLink) || len(to) == 0:
		_, _ = w.Write(said)
	default:
		if len(said) == 0 {
			said = util.EscapeHTML(to)
		}
		_, _ = w.WriteString(`<a href="` + string(util.EscapeHTML(util.URLEscape(to, true))) + `">` + string(said) + "</a>")
	}
	return ast.WalkSkipChildren, nil
}

// spoken is the text of a node, without marks.
func spoken(source []byte, n ast.Node) []byte {
	var b bytes.Buffer
	_ = ast.Walk(n, func(n ast.Node, entering bool) (ast.WalkStatus, error) { // it returns no error
		if entering {
			switch n := n.(type) {
			case *ast.Text:
				b.Write(n.Value(source))
			case *ast.String:
				b.Write(n.Value)
			}
		}
		return ast.WalkContinue, nil
	})
	return b.Bytes()
}

func within(n ast.Node, kind ast.NodeKind) bool {
	for at := n.Parent(); at != nil; at = at.Parent() {
		if at.Kind() == kind {
			return true
		}
	}
	return false
}

func (pieces) task(w util.BufWriter, _ []byte, n ast.Node, entering bool) (ast.WalkStatus, error) {
	if entering {
		mark := "☐ "
		if box, is := n.(*extast.TaskCheckBox); is && box.IsChecked {
			mark = "☑ "
		}
		_, _ = w.WriteString(mark)
	}
	return ast.WalkContinue, nil
}

// lineBreak is the one tag that models write for what Markdown has no mark for: a new line in a table.
var lineBreak = regexp.MustCompile(`(?i)^<br\s*/?>$`)

func (pieces) inlineHTML(w util.BufWriter, source []byte, n ast.Node, entering bool) (ast.WalkStatus, error) {
	at, is := n.(*ast.RawHTML)
	if !entering || !is {
		return ast.WalkContinue, nil
	}
	if raw := at.Segments.Value(source); lineBreak.Match(raw) {
		_, _ = w.WriteString("<br>")
	} else {
		_, _ = w.Write(util.EscapeHTML(raw))
	}
	return ast.WalkSkipChildren, nil
}

func (pieces) blockHTML(w util.BufWriter, source []byte, n ast.Node, entering bool) (ast.WalkStatus, error) {
	if entering {
		_, _ = w.WriteString(`<p class="literal">`)
		writeLines(w, source, n.Lines())
		if block, is := n.(*ast.HTMLBlock); is && block.HasClosure() {
			_, _ = w.Write(util.EscapeHTML(block.ClosureLine.Value(source)))
		}
		return ast.WalkContinue, nil
	}
	_, _ = w.WriteString("</p>\n")
	return ast.WalkContinue, nil
}

// modest sets headings below those of the page, and takes addresses that are longer than any.
type modest struct{}

// Transform changes the document in place.
func (modest) Transform(document *ast.Document, _ text.Reader, _ parser.Context) {
	_ = ast.Walk(document, func(n ast.Node, entering bool) (ast.WalkStatus, error) { // it returns no error
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Heading:
			n.Level = min(n.Level+2, 6)
		case *ast.Link:
			n.Destination, n.Title = short(n.Destination, maxAddress), short(n.Title, maxTitle)
		case *ast.Image:
			n.Title = short(n.Title, maxTitle)
			if !bytes.HasPrefix(n.Destination, []byte("data:image/")) {
				n.Destination = short(n.Destination, maxAddress)
			}
		}
		return ast.WalkContinue, nil
	})
}

// short is b, or nothing where it is longer than any has to be.
func short(b []byte, most int) []byte {
	if len(b) > most {
		return nil
	}
	return b
}

var (
	goodLanguage = regexp.MustCompile(`^language-[\w+#.-]{1,32}$`)
	codeClass    = regexp.MustCompile(`^code$`)
	literalClass = regexp.MustCompile(`^literal$`)
	imageWithin  = regexp.MustCompile(`^data:image/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/]+=*$`)
	side         = regexp.MustCompile(`^(left|right|center)$`)
	addressOut   = regexp.MustCompile(`(?i)^(https?://|mailto:)`)
	ordinal      = regexp.MustCompile(`^\d{1,9}$`)
)

// policy is all that may be in what comes out. No id and no name: they would stand in the way of the page's own.
func policy() *bluemonday.Policy {
	p := bluemonday.NewPolicy()
	p.AllowElements("p", "br", "hr", "h3", "h4", "h5", "h6", "blockquote", "ul", "ol", "li", "dl", "dt", "dd", "pre", "code", "kbd", "samp",
		"em", "strong", "b", "i", "u", "s", "del", "ins", "mark", "sub", "sup", "small", "details", "summary", "table", "thead", "tbody", "tfoot", "tr", "th", "td", "div", "span", "center")
	p.AllowAttrs("class").Matching(codeClass).OnElements("pre")
	p.AllowAttrs("class").Matching(literalClass).OnElements("p")
	p.AllowAttrs("class").Matching(goodLanguage).OnElements("code")
	p.AllowAttrs("align").Matching(side).OnElements("th", "td", "p", "div")
	p.AllowAttrs("start").Matching(ordinal).OnElements("ol")
	p.AllowAttrs("colspan", "rowspan").Matching(regexp.MustCompile(`^\d{1,2}$`)).OnElements("th", "td")
	p.AllowAttrs("alt", "title").OnElements("img", "a")
	p.AllowAttrs("src").Matching(imageWithin).OnElements("img")
	p.AllowAttrs("href").Matching(addressOut).OnElements("a")
	p.AllowURLSchemes("http", "https", "mailto")
	p.AllowDataURIImages()
	p.RequireParseableURLs(true)
	p.AllowRelativeURLs(false)
	p.RequireNoFollowOnLinks(true)
	p.RequireNoReferrerOnLinks(true)
	p.AddTargetBlankToFullyQualifiedLinks(true)
	return p
}
