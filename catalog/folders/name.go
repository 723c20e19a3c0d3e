package folders

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/palisade-run/palisade/catalog/spelling"
)

var (
	folderName = regexp.MustCompile(`^[\p{L}\p{N}_.][\p{L}\p{N}\p{M}_.-]*$`)
	folderID   = regexp.MustCompile(`^fld-[a-z2-7]{12}$`)

	// dotFiles would change how a person's session starts or whom it trusts, were one mounted in their
	// home directory; so would anything that ends in rc.
	dotFiles = []string{
		".ssh", ".gnupg", ".profile", ".bash_profile", ".bash_login", ".bash_logout", ".bash_history",
		".zprofile", ".zshenv", ".zlogin", ".zlogout", ".terminfo", ".tmux.conf", ".gitconfig", ".config",
		".pam_environment", ".xprofile", ".xsession",
	}
	systemNames = []string{
		"bin", "boot", "dev", "etc", "home", "lib", "lib32", "lib64", "libx32", "media", "mnt", "opt", "proc",
		"root", "run", "sbin", "srv", "sys", "tmp", "usr", "var",
	}
)

// CheckName says what is wrong with a folder's name, as an ErrInvalid: folders are mounted by
// name in people's home directories.
func CheckName(name string) error {
	invalid := func(message, hint string) error {
		return &fault{kind: ErrInvalid, message: message, hint: hint}
	}
	lower := strings.ToLower(name)
	top, _, _ := strings.Cut(strings.TrimPrefix(filepath.Clean("/"+lower), "/"), "/")
	switch {
	case name == "":
		return invalid("a folder needs a name", "for example llama-3.1-8b")
	case utf8.RuneCountInString(name) > 64:
		return invalid(fmt.Sprintf("a folder's name has at most 64 characters, this one %d", utf8.RuneCountInString(name)), "")
	case slices.Contains(systemNames, top):
		return invalid(fmt.Sprintf("%q is the name of a system directory", name), "choose another, for example my-"+top)
	case startsPrograms(name):
		return invalid(fmt.Sprintf("%q is a file that programs read when they start", name), "choose another name")
	case name == "." || name == ".." || !folderName.MatchString(name):
		return invalid(fmt.Sprintf("%q cannot be the name of a folder", spelling.Short(name)), "letters, digits, _, - and ., not beginning with -")
	case folderID.MatchString(name):
		return invalid(fmt.Sprintf("%q looks like the id of a folder", name), "choose another name")
	}
	return nil
}

// The box's own directories: those that are never imported with anything in them, those around
// which too much else lies, and what is all right in spite of the first list.
var (
	systemTrees = []string{
		"/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/run", "/sbin", "/sys",
		"/usr/bin", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libexec", "/usr/sbin", "/var/run",
		"/var/lib/containerd", "/var/lib/docker", "/var/lib/dpkg", "/var/lib/systemd", "/var/log", "/var/spool",
	}
	systemTops = []string{
		"/", "/home", "/media", "/mnt", "/opt", "/root", "/srv", "/tmp", "/usr", "/usr/local", "/usr/share",
		"/var", "/var/cache", "/var/lib", "/var/tmp",
	}
	userTrees = []string{"/run/media"} // where desktops mount a person's disks
)

// importable returns the real path of a directory that may become a folder.
func importable(path string, protect []string) (string, error) {
	if !filepath.IsAbs(path) {
		return "", &fault{kind: ErrInvalid, message: fmt.Sprintf("%q is not an absolute path", path), hint: "give the directory's path from / on"}
	}
	real, err := filepath.EvalSymlinks(path)
	if os.IsNotExist(err) {
		return "", &fault{kind: ErrNotFound, message: fmt.Sprintf("there is no directory %s on this box", path), hint: "the path is one of the box that runs palisade serve"}
	}
	if err != nil {
		return "", fmt.Errorf("importing %s: %w", path, err)
	}
	info, err := os.Stat(real)
	if err != nil {
		return "", fmt.Errorf("importing %s: %w", path, err)
	}
	if !info.IsDir() {
		return "", &fault{kind: ErrInvalid, message: path + " is not a directory", hint: "import the directory in which the file lies"}
	}
	within := func(tree string) bool { return inside(tree, real) }
	if slices.Contains(systemTops, real) || slices.ContainsFunc(systemTrees, within) && !slices.ContainsFunc(userTrees, within) {
		return "", &fault{kind: ErrInvalid, message: real + " is a directory of the system", hint: "put the model into a directory of its own, for example /srv/models/NAME"}
	}
	for _, own := range protect {
		if resolved, err := filepath.EvalSymlinks(own); err == nil {
			own = resolved
		}
		if inside(own, real) || inside(real, own) {
			return "", &fault{kind: ErrInvalid, message: fmt.Sprintf("%s holds Palisade's own data, or lies in it", real), hint: "import a directory outside " + own}
		}
	}
	return real, nil
}

// inside reports whether path is tree or lies in it. Both are absolute and clean.
func inside(tree, path string) bool {
	rel, err := filepath.Rel(tree, path)
	return err == nil && filepath.IsLocal(rel)
}
