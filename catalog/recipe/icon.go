package recipe

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/palisade-run/palisade/catalog/spelling"
)

// drawn are the elements that an icon may be made of. Anything that runs, loads or embeds is not among them: icons of
// community catalogs are shown in the console.
var drawn = []string{
	"svg", "g", "path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "text", "tspan", "title", "desc", "defs",
	"linearGradient", "radialGradient", "stop", "clipPath", "mask",
}

// checkIcon says what makes an icon more than a drawing.
func checkIcon(src []byte) error {
	decoder := xml.NewDecoder(bytes.NewReader(src))
	depth, seen := 0, false
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("is not SVG: %w", err)
		}
		switch t := token.(type) {
		case xml.Directive:
			return errors.New("holds a declaration, and wants none")
		case xml.ProcInst: // a style sheet is loaded by one
			if t.Target != "xml" {
				return fmt.Errorf("holds <?%s?>; only drawings are wanted", spelling.Short(t.Target))
			}
		case xml.StartElement:
			if !seen && t.Name.Local != "svg" {
				return fmt.Errorf("is <%s>, not <svg>", t.Name.Local)
			}
			seen = true
			if depth++; depth > 32 {
				return errors.New("is nested too deep")
			}
			if err := checkDrawn(t); err != nil {
				return err
			}
		case xml.EndElement:
			depth--
		}
	}
	if !seen {
		return errors.New("is not SVG: it is empty")
	}
	return nil
}

func checkDrawn(t xml.StartElement) error {
	if !slices.Contains(drawn, t.Name.Local) {
		return fmt.Errorf("holds <%s>; only drawings are wanted", t.Name.Local)
	}
	for _, a := range t.Attr {
		name, value := strings.ToLower(a.Name.Local), strings.ToLower(a.Value)
		if a.Name.Space == "xmlns" || name == "xmlns" {
			continue
		}
		if strings.HasPrefix(name, "on") || name == "href" || name == "style" || strings.Contains(value, "javascript:") ||
			strings.Contains(strings.ReplaceAll(value, "url(#", ""), "url(") {
			return fmt.Errorf("holds %s on <%s>; only drawings are wanted", a.Name.Local, t.Name.Local)
		}
	}
	return nil
}
