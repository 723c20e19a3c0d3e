package index

import (
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"strings"

	"github.com/palisade-run/palisade/catalog/fetch"
)

// Kind is how a catalog's files lie at its place.
type Kind string

// Kinds.
const (
	Git     Kind = "git"     // a repository; its revisions are commits
	Folder  Kind = "folder"  // a directory of the box
	HTTP    Kind = "http"    // an index.yaml, and the files that it names beside it
	Archive Kind = "archive" // one tar, plain or with gzip, which holds all of it
)

// Place is where a catalog is.
type Place struct {
	Kind Kind
	Ref  fetch.Ref // of http: the index.yaml
	Dir  string    // the part of a repository, folder or archive that holds the catalog; empty: all of it
}

const hintPlace = "a catalog is a git repository (https://HOST/PATH.git or git+https://...), a folder (/PATH), an index (https://HOST/PATH/index.yaml) or an archive (https://HOST/PATH.tar.gz)"

// ParsePlace reads where a catalog is, as people write it. dir is the part of it that holds the recipes. An error is an
// ErrInvalid with a hint.
func ParsePlace(text, dir string) (Place, error) {
	if dir = strings.Trim(dir, "/"); dir != "" && !fs.ValidPath(dir) {
		return Place{}, invalid(fmt.Sprintf("%q is no part of a catalog", dir), "give a path from its root, without '..': recipes")
	}
	if len(text) > 2048 || strings.ContainsAny(text, " \t\r\n\x00") {
		return Place{}, invalid("the catalog's place has spaces, or more than 2048 bytes", hintPlace)
	}
	p, err := parsePlace(text)
	p.Dir = dir
	if err == nil && p.Kind == HTTP && dir != "" {
		return Place{}, invalid("an index has no parts", "give the address of the part's own index.yaml")
	}
	return p, err
}

func parsePlace(text string) (Place, error) {
	if file, is := strings.CutPrefix(text, "file://"); is {
		text = file
	}
	if strings.HasPrefix(text, "/") {
		clean := path.Clean(text)
		if clean == "/" {
			return Place{}, invalid("/ is no catalog", hintPlace)
		}
		return Place{Kind: Folder, Ref: fetch.Ref{Scheme: "file", Where: clean}}, nil
	}
	address, isGit := strings.CutPrefix(text, "git+")
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Opaque != "" || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		return Place{}, invalid(fmt.Sprintf("%q is no place of a catalog", text), hintPlace)
	case u.User != nil: // it would be shown in lists and logs
		return Place{}, invalid("an address holds no name and no password", "keep what opens it with: palisade secret set")
	case u.Fragment != "":
		return Place{}, invalid(fmt.Sprintf("%q has a part after #", text), hintPlace)
	}
	name := path.Base(u.Path)
	switch {
	case isGit || strings.HasSuffix(name, ".git") || forge(u):
		if u.RawQuery != "" || strings.Trim(u.Path, "/") == "" {
			return Place{}, invalid(fmt.Sprintf("%q is no repository", text), hintPlace)
		}
		return Place{Kind: Git, Ref: fetch.Ref{Scheme: "git", Where: u.String()}}, nil
	case strings.HasSuffix(name, ".tar") || strings.HasSuffix(name, ".tar.gz") || strings.HasSuffix(name, ".tgz"):
		return Place{Kind: Archive, Ref: fetch.Ref{Scheme: "http", Where: u.String()}}, nil
	case name != IndexFile:
		u = u.JoinPath(IndexFile)
	}
	return Place{Kind: HTTP, Ref: fetch.Ref{Scheme: "http", Where: u.String()}}, nil
}

// forge says whether an address without .git is a repository all the same, as it is copied out of a browser.
func forge(u *url.URL) bool {
	switch u.Hostname() {
	case "github.com", "gitlab.com", "codeberg.org", "bitbucket.org":
		return strings.Count(strings.Trim(u.Path, "/"), "/") == 1
	default:
		return false
	}
}

// beside is the address of a file beside the index.
func (p Place) beside(name string) (fetch.Ref, error) {
	u, err := url.Parse(p.Ref.Where)
	if err != nil {
		return fetch.Ref{}, fmt.Errorf("the address of %s: %w", name, err)
	}
	u.Path = path.Dir(u.Path)
	return fetch.Ref{Scheme: "http", Where: u.JoinPath(strings.Split(name, "/")...).String()}, nil
}

// String is the place as it is shown, without what it was asked at.
func (p Place) String() string {
	text, _, _ := strings.Cut(p.Ref.Where, "?") // a signed address has its secret there
	if p.Dir != "" {
		text += " (" + p.Dir + ")"
	}
	return text
}
