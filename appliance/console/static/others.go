package static

import (
	_ "embed"
	"strings"
)

// listed is the list of the files of others.
//
//go:embed VENDORED.md
var listed string

// Vendored is a file of others, or all icons of a package.
type Vendored struct {
	Name, Package, Version, License string
	Count                           int // files; more than one: icons
}

// Others are the files of others, as VENDORED.md lists them; icons are counted together.
func Others() []Vendored {
	var out []Vendored
	icons := -1
	for line := range strings.Lines(listed) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 5 || len(strings.TrimSpace(cells[4])) != 64 {
			continue
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if strings.HasPrefix(cells[0], "icons/") {
			if icons < 0 {
				icons = len(out)
				out = append(out, Vendored{"icons", cells[1], cells[2], cells[3], 0})
			}
			out[icons].Count++
			continue
		}
		out = append(out, Vendored{cells[0], cells[1], cells[2], cells[3], 1})
	}
	return out
}
