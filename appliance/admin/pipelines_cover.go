package admin

import (
	"slices"

	"go.yaml.in/yaml/v3"
)

// covered is a pipeline's file without values of environments and addresses of webhooks, for who may not change it: many a token
// stands there. It is written anew, and so its lines may be others.
func covered(source string) string {
	var file yaml.Node
	if err := yaml.Unmarshal([]byte(source), &file); err != nil || file.Kind == 0 {
		return "" // what cannot be read cannot be covered
	}
	cover(&file, false, nil)
	text, err := yaml.Marshal(&file)
	if err != nil {
		return ""
	}
	return string(text)
}

// secretKeys are those whose values are not shown, with all that is below them.
func secretKeys() []string { return []string{"environ", "url"} }

// cover takes the texts out of a node where it is to be hidden, else out of what is below secretKeys. above are the aliases on the
// way: one may lead to itself.
func cover(n *yaml.Node, hide bool, above []*yaml.Node) {
	if hide { // a value that was commented out is one, too
		n.HeadComment, n.LineComment, n.FootComment = "", "", ""
	}
	switch n.Kind {
	case yaml.AliasNode:
		if !slices.Contains(above, n.Alias) {
			cover(n.Alias, hide, append(above, n.Alias))
		}
	case yaml.ScalarNode:
		if hide {
			n.Value, n.Tag, n.Style = notShown, "!!str", yaml.DoubleQuotedStyle
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, name := n.Content[i], n.Content[i].Value
			if key.Kind == yaml.AliasNode {
				name = key.Alias.Value
			}
			below := hide || slices.Contains(secretKeys(), name) || key.Kind == yaml.AliasNode && name == notShown // that name is covered already
			if below {
				key.HeadComment, key.LineComment, key.FootComment = "", "", ""
			}
			cover(n.Content[i+1], below, above)
		}
	default:
		for _, one := range n.Content {
			cover(one, hide, above)
		}
	}
}
