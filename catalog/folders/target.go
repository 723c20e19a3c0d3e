package folders

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/palisade-run/palisade/catalog/spelling"
)

// Where in a session nothing is mounted: neither on nor in the trees, and not on the tops.
var (
	targetTrees = []string{
		"/.palisade", "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/sbin", "/sys",
		"/usr/bin", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libexec", "/usr/sbin",
	}
	targetTops = []string{"/", "/home", "/root", "/run", "/tmp", "/usr", "/var", "/var/lib"}
)

// CheckTarget says what is wrong with a path in a session at which a folder is to be mounted, as an ErrInvalid: it would
// cover what the image's programs are, or what a shell reads when it starts.
func CheckTarget(target string) error {
	invalid := func(format string, args ...any) error {
		return &fault{
			kind: ErrInvalid, message: fmt.Sprintf("mount target %q ", spelling.Short(target)) + fmt.Sprintf(format, args...),
			hint: "use one such as /models or /home/work/data",
		}
	}
	clean := path.Clean(target)
	if !path.IsAbs(target) || clean != target || !utf8.ValidString(target) || strings.ContainsFunc(target, unicode.IsControl) {
		return invalid("is not a plain absolute path")
	}
	within := func(tree string) bool { return clean == tree || strings.HasPrefix(clean, tree+"/") }
	if slices.Contains(targetTops, clean) || slices.ContainsFunc(targetTrees, within) {
		return invalid("would cover a system directory")
	}
	if name := inHome(clean); name != "" && startsPrograms(name) {
		return invalid("would cover %s, which programs read when they start", name)
	}
	return nil
}

// inHome is the first word of a path below somebody's home; "" for any other path.
func inHome(clean string) string {
	rest, of := strings.CutPrefix(clean, "/home/")
	if of {
		_, rest, _ = strings.Cut(rest, "/")
	} else {
		rest, _ = strings.CutPrefix(clean, "/root/")
		if rest == clean {
			return ""
		}
	}
	name, more, deeper := strings.Cut(rest, "/")
	if deeper && more != "" && strings.EqualFold(name, ".config") {
		return "" // what programs keep there has directories of its own
	}
	return name
}

// startsPrograms reports whether a name in a home is one that changes how a person's session starts, or whom it trusts.
func startsPrograms(name string) bool {
	lower := strings.ToLower(name)
	return slices.Contains(dotFiles, lower) || strings.HasPrefix(name, ".") && strings.HasSuffix(lower, "rc")
}
