package variants

import shellquote "github.com/kballard/go-shellquote"

// MoreArguments is the environment variable, with its value, by which the engine is given further arguments; false where it has
// none: an image's own command is told by variables alone.
func (v Variant) MoreArguments(words []string) (name, value string, ok bool) {
	for _, a := range v.EnvArguments {
		if a.Split {
			return a.Env, shellquote.Join(words...), true
		}
	}
	return "", "", false
}
