package fetch

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"
	"unicode"
)

// ErrRef says that a text does not say where a model is. What wraps it has a Hint.
var ErrRef = errors.New("not a place of models")

func wrong(hint, format string, values ...any) error {
	return &sentence{kind: ErrRef, message: fmt.Sprintf(format, values...), hint: hint}
}

// Hints of how the places are written.
const (
	hintAll  = "write hf:ORG/NAME, ngc:ORG/NAME, oci:HOST/NAME:TAG, s3://BUCKET/PREFIX, git+https://HOST/PATH, https://HOST/FILE or /PATH"
	hintHub  = "write hf:ORG/NAME, with @REVISION and #FILES,... where they are wanted"
	hintNGC  = "write ngc:ORG/NAME or ngc:ORG/TEAM/NAME, with :VERSION where it is wanted"
	hintOCI  = "write oci:HOST/NAME:TAG or oci:HOST/NAME@sha256:DIGEST"
	hintS3   = "write s3://BUCKET/PREFIX"
	hintGit  = "write git+https://HOST/PATH, with @REVISION where it is wanted"
	hintHTTP = "write https://HOST/FILE, with #sha256:DIGEST where it is known"
	hintFile = "write the whole path, from / on"
)

const longestRef = 4096 // bytes

// IsRef says whether a text is meant as a Ref and not as a name of a recipe: it begins with a scheme or with a slash. It may be
// wrong still.
func IsRef(text string) bool {
	scheme, _, found := strings.Cut(text, ":")
	return strings.HasPrefix(text, "/") || found && slices.Contains([]string{"hf", "ngc", "oci", "s3", "git+https", "git+http", "https", "http", "file", "made"}, scheme)
}

// ParseRef reads where a model is. Pages of the Hugging Face hub, as they are copied out of a browser, are taken for the model
// that they show. An error is an ErrRef with a Hint.
func ParseRef(text string) (Ref, error) {
	if len(text) > longestRef || strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) || r == unicode.ReplacementChar }) {
		return Ref{}, wrong(hintAll, "where the model is has control characters, or more than %d bytes", longestRef)
	}
	if strings.HasPrefix(text, "/") {
		return parseFile(text)
	}
	scheme, rest, found := strings.Cut(text, ":")
	if !found {
		return Ref{}, wrong(hintAll, "%q says no place", text)
	}
	switch scheme {
	case "hf":
		return parseHub(strings.TrimPrefix(rest, "//"))
	case "ngc":
		return parseNGC(strings.TrimPrefix(rest, "//"))
	case "oci":
		return parseOCI(strings.TrimPrefix(rest, "//"))
	case "s3":
		return parseS3(rest)
	case "git+https", "git+http":
		return parseGit(strings.TrimPrefix(text, "git+"))
	case "https", "http":
		return parseHTTP(text)
	case "file":
		return parseFile(strings.TrimPrefix(rest, "//"))
	case "made":
		if !plainName(rest) {
			return Ref{}, wrong("write made:hello.gguf", "%q is no file that Palisade makes", rest)
		}
		return Ref{Scheme: "made", Where: rest}, nil
	}
	return Ref{}, wrong(hintAll, "%q is no kind of place", scheme)
}

// String is what ParseRef reads as the same. Files of a path of the box do not stand in it.
func (r Ref) String() string {
	var b strings.Builder
	switch r.Scheme {
	case "hf":
		b.WriteString("hf:" + r.Where + after("@", r.Revision))
	case "ngc":
		b.WriteString("ngc:" + r.Where + after(":", r.Revision))
	case "oci":
		mark := ":"
		if strings.Contains(r.Revision, ":") {
			mark = "@"
		}
		b.WriteString("oci:" + r.Where + after(mark, r.Revision))
	case "s3":
		b.WriteString("s3://" + r.Where)
	case "git":
		b.WriteString("git+" + r.Where + after("@", r.Revision))
	case "http":
		return r.Where + after("#sha256:", r.SHA256)
	case "made":
		return "made:" + r.Where
	default:
		return r.Where
	}
	b.WriteString(after("#", strings.Join(r.Files, ",")))
	return b.String()
}

func after(mark, text string) string {
	if text == "" {
		return ""
	}
	return mark + text
}

// cutGlobs takes the globs from the end.
func cutGlobs(text, hint string) (rest string, globs []string, err error) {
	rest, list, found := strings.Cut(text, "#")
	if !found {
		return text, nil, nil
	}
	for glob := range strings.SplitSeq(list, ",") {
		if err := CheckGlob(glob); err != nil {
			return "", nil, wrong(hint+"; "+"files are globs with commas between them: *.json,*.safetensors", "%v", err)
		}
		globs = append(globs, glob)
	}
	return rest, globs, nil
}

// CheckGlob says what is wrong with one of a Ref's Files.
func CheckGlob(glob string) error {
	switch _, err := path.Match(glob, "a"); {
	case err != nil:
		return fmt.Errorf("%q is no glob: a bracket or a backslash in it has no end", glob)
	case glob == "" || strings.HasPrefix(glob, "/") || slices.Contains(strings.Split(glob, "/"), ".."):
		return fmt.Errorf("%q names no files of a model", glob)
	}
	return nil
}

// some names the first of files.
func some(files []File) string {
	names := []string{}
	for _, f := range files[:min(len(files), 8)] {
		names = append(names, f.Name)
	}
	switch more := len(files) - len(names); {
	case len(files) == 0:
		return "no files at all"
	case more > 0:
		return fmt.Sprintf("%s and %d more", strings.Join(names, ", "), more)
	}
	return strings.Join(names, ", ")
}

func parseHub(rest string) (Ref, error) {
	rest, globs, err := cutGlobs(rest, hintHub)
	if err != nil {
		return Ref{}, err
	}
	name, revision, at := strings.Cut(rest, "@")
	if at && !plainRevision(revision) {
		return Ref{}, wrong(hintHub, "%q is no revision of the hub", revision)
	}
	if parts := strings.Split(name, "/"); len(parts) != 2 || !plainName(parts[0]) || !plainName(parts[1]) {
		return Ref{}, wrong(hintHub, "%q is no model of the hub", name)
	}
	return Ref{Scheme: "hf", Where: name, Revision: revision, Files: globs}, nil
}

func parseNGC(rest string) (Ref, error) {
	rest, globs, err := cutGlobs(rest, hintNGC)
	if err != nil {
		return Ref{}, err
	}
	name, version, colon := strings.Cut(rest, ":")
	parts := strings.Split(name, "/")
	if len(parts) < 2 || len(parts) > 3 || !slices.ContainsFunc(parts, plainName) || slices.ContainsFunc(parts, func(p string) bool { return !plainName(p) }) {
		return Ref{}, wrong(hintNGC, "%q is no model of NGC", name)
	}
	if colon && !plainName(version) {
		return Ref{}, wrong(hintNGC, "%q is no version", version)
	}
	return Ref{Scheme: "ngc", Where: name, Revision: version, Files: globs}, nil
}

func parseOCI(rest string) (Ref, error) {
	rest, globs, err := cutGlobs(rest, hintOCI)
	if err != nil {
		return Ref{}, err
	}
	name, revision, at := strings.Cut(rest, "@")
	switch {
	case at && (!strings.HasPrefix(revision, "sha256:") || !IsSHA256(revision[len("sha256:"):])):
		return Ref{}, wrong(hintOCI, "%q is no digest", revision)
	case at:
		// a tag beside the digest says nothing more
		if slash, colon := strings.LastIndex(name, "/"), strings.LastIndex(name, ":"); colon > slash {
			name = name[:colon]
		}
	default:
		if slash, colon := strings.LastIndex(name, "/"), strings.LastIndex(name, ":"); colon > slash {
			name, revision = name[:colon], name[colon+1:]
			if !plainName(revision) {
				return Ref{}, wrong(hintOCI, "%q is no tag", revision)
			}
		}
	}
	host, repository, _ := strings.Cut(name, "/")
	if u, err := url.Parse("https://" + host); err != nil || u.Host != host || u.Hostname() == "" {
		return Ref{}, wrong(hintOCI, "%q is no host of a registry", host)
	}
	for part := range strings.SplitSeq(repository, "/") {
		if !plainName(part) || part != strings.ToLower(part) {
			return Ref{}, wrong(hintOCI, "%q is no name in a registry: lower-case letters, digits, '.', '_' and '-', with slashes between", repository)
		}
	}
	return Ref{Scheme: "oci", Where: name, Revision: revision, Files: globs}, nil
}

func parseS3(rest string) (Ref, error) {
	where, is := strings.CutPrefix(rest, "//")
	if !is {
		return Ref{}, wrong(hintS3, "%q is no place of a store", "s3:"+rest)
	}
	where, globs, err := cutGlobs(where, hintS3)
	if err != nil {
		return Ref{}, err
	}
	where = strings.TrimRight(where, "/")
	bucket, prefix, _ := strings.Cut(where, "/")
	if !plainName(bucket) || bucket != strings.ToLower(bucket) {
		return Ref{}, wrong(hintS3, "%q is no name of a bucket", bucket)
	}
	if slices.ContainsFunc(strings.Split(prefix, "/"), func(p string) bool { return p == ".." || p == "." || p == "" && prefix != "" }) {
		return Ref{}, wrong(hintS3, "%q is no prefix", prefix)
	}
	return Ref{Scheme: "s3", Where: where, Files: globs}, nil
}

func parseGit(text string) (Ref, error) {
	text, globs, err := cutGlobs(text, hintGit)
	if err != nil {
		return Ref{}, err
	}
	revision, start := "", strings.Index(text, "://")+len("://")
	if slash := strings.Index(text[start:], "/"); slash >= 0 {
		if at := strings.LastIndex(text[start+slash:], "@"); at >= 0 {
			at += start + slash
			if text, revision = text[:at], text[at+1:]; !plainRevision(revision) {
				return Ref{}, wrong(hintGit, "%q is no revision", revision)
			}
		}
	}
	u, err := parseURL(text, hintGit)
	if err != nil {
		return Ref{}, err
	}
	if u.RawQuery != "" || strings.Trim(u.Path, "/") == "" {
		return Ref{}, wrong(hintGit, "%q is no repository", text)
	}
	return Ref{Scheme: "git", Where: u.String(), Revision: revision, Files: globs}, nil
}

func parseHTTP(text string) (Ref, error) {
	where, mark, marked := strings.Cut(text, "#")
	u, err := parseURL(where, hintHTTP)
	if err != nil {
		return Ref{}, err
	}
	if host := u.Hostname(); host == "huggingface.co" || host == "hf.co" || host == "www.huggingface.co" {
		if ref, is := hubPage(u, mark); is {
			return ref, nil
		}
	}
	if name := path.Base(u.Path); u.Path == "" || strings.HasSuffix(u.Path, "/") || name == "." || name == "/" {
		return Ref{}, wrong(hintHTTP, "%s names no file", where)
	} else if strings.HasSuffix(name, ".git") {
		return Ref{}, wrong("write git+"+where, "%s is a git repository", where)
	}
	sum, is := strings.CutPrefix(mark, "sha256:")
	if marked && (!is || !IsSHA256(strings.ToLower(sum))) {
		return Ref{}, wrong(hintHTTP, "%q is no checksum: sha256: and 64 hexadecimal digits", mark)
	}
	return Ref{Scheme: "http", Where: u.String(), SHA256: strings.ToLower(sum)}, nil
}

// hubPage is the model that a page of the hub shows: /ORG/NAME and /ORG/NAME/tree/REVISION.
func hubPage(u *url.URL, mark string) (Ref, bool) {
	parts := strings.Split(strings.Trim(u.Path, "/"), "/")
	text := strings.Join(parts[:min(2, len(parts))], "/")
	switch {
	case len(parts) == 2:
	case len(parts) == 4 && parts[2] == "tree":
		text += "@" + parts[3]
	default:
		return Ref{}, false
	}
	ref, err := parseHub(text + after("#", mark))
	return ref, err == nil
}

func parseURL(text, hint string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case strings.Contains(text, "@") && (err != nil || u.User != nil):
		// It would stand in lists, logs and manifests; this sentence, too.
		return nil, wrong("keep them with palisade secret set", "an address must not hold a name or a password")
	case err != nil || u.Hostname() == "" || u.Opaque != "":
		return nil, wrong(hint, "%q is no address", text)
	}
	return u, nil
}

func parseFile(name string) (Ref, error) {
	clean := path.Clean(name)
	if !path.IsAbs(name) || clean == "/" {
		return Ref{}, wrong(hintFile, "%q is no path of the box", name)
	}
	return Ref{Scheme: "file", Where: clean}, nil
}

// IsSHA256 says whether a text is a checksum as it is written here: 64 lower-case hexadecimal digits.
func IsSHA256(text string) bool { return len(text) == 64 && isHex(text) }

func isHex(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return (r < '0' || r > '9') && (r < 'a' || r > 'f') })
}

// plainName is a part of a model's name: letters, digits, '.', '_' and '-', and no path that leads elsewhere.
func plainName(text string) bool {
	return text != "" && len(text) <= 255 && text != "." && text != ".." && !strings.ContainsFunc(text, func(r rune) bool {
		return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '.' && r != '_' && r != '-'
	})
}

// plainRevision is a branch, a tag or a commit, as git would take it: refs/pr/1.
func plainRevision(text string) bool {
	for part := range strings.SplitSeq(text, "/") {
		if !plainName(strings.ReplaceAll(part, "+", "-")) || strings.HasPrefix(text, "-") {
			return false
		}
	}
	return true
}
