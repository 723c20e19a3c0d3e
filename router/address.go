package router

import (
	"net/url"
	"strings"
)

// AddressKind tells how a request names its service.
type AddressKind int

// The kinds of addresses.
const (
	NotOurs AddressKind = iota // none of the router's addresses
	ByModel                    // /v1/...: by the model it asks for
	ByName                     // /services/NAME/...
	ByHost                     // NAME.DOMAIN/...
)

// Address is what a request's host and path mean to the router.
type Address struct {
	Kind   AddressKind
	Name   string // ByName: the service's name; ByHost: its folded name
	Prefix string // ByName: what stands before the engine's own path, as the client wrote it
	Path   string // the path that the engine gets, as the client wrote it
}

// ParseAddress reads host (with or without port) and the path as it stands in the request, not
// unescaped. domain is the one below which services have names of their own; "" for none.
func ParseAddress(domain, host, path string) Address {
	if label, ok := hostLabel(domain, host); ok {
		return Address{Kind: ByHost, Name: label, Path: rooted(path)}
	}
	if path == "/v1" || strings.HasPrefix(path, "/v1/") {
		return Address{Kind: ByModel, Path: path}
	}
	rest, ok := strings.CutPrefix(path, "/services/")
	if !ok {
		return Address{}
	}
	raw, _, _ := strings.Cut(rest, "/")
	// A name that does not unescape is no service's: it stays as it is and is not found.
	name, err := url.PathUnescape(raw)
	if err != nil {
		name = raw
	}
	return Address{Kind: ByName, Name: name, Prefix: path[:len(path)-len(rest)+len(raw)], Path: rooted(rest[len(raw):])}
}

func rooted(path string) string {
	if strings.HasPrefix(path, "/") {
		return path
	}
	return "/" + path
}

// hostLabel is the one label before domain in host, lower case.
func hostLabel(domain, host string) (string, bool) {
	if domain == "" {
		return "", false
	}
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		host = host[:i]
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	label, ok := strings.CutSuffix(host, "."+strings.ToLower(strings.Trim(domain, ".")))
	if !ok || label == "" || strings.Contains(label, ".") {
		return "", false
	}
	return label, true
}

// FoldHost turns a service's name into the label before the domain: lower case, other characters than
// letters and digits of ASCII to "-", runs of "-" folded, none at the ends, at most 63. "" for a name
// of which nothing is left.
func FoldHost(name string) string {
	const most = 63 // a DNS label
	var b strings.Builder
	for _, c := range name {
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		default:
			c = '-'
		}
		if c == '-' && (b.Len() == 0 || b.String()[b.Len()-1] == '-') {
			continue
		}
		if b.WriteByte(byte(c)); b.Len() == most {
			break
		}
	}
	return strings.TrimSuffix(b.String(), "-")
}

// climbs tells whether a path has a dot segment, written out or hidden behind escapes. Nobody's
// client sends one (they are resolved before), and behind a prefix it is an attempt to leave it.
func climbs(path string) bool {
	if !strings.Contains(path, ".") && !strings.ContainsAny(path, "%") {
		return false
	}
	plain, err := url.PathUnescape(path)
	if err != nil {
		return true
	}
	for segment := range strings.FieldsFuncSeq(plain, func(c rune) bool { return c == '/' || c == '\\' }) {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

// relocate keeps a redirect of the engine below the prefix under which the client sees it: location
// as the engine gave it, host as the client named it. What points elsewhere stays as it is.
func relocate(location, prefix, host string) string {
	if prefix == "" {
		return location
	}
	path := location
	if u, err := url.Parse(location); err != nil {
		return location
	} else if u.Host != "" {
		if u.Host != host || (u.Scheme != "" && u.Scheme != "http" && u.Scheme != "https") {
			return location
		}
		_, after, _ := strings.Cut(location, "//")
		path = after[len(u.Host):]
	}
	if path != "" && path[0] != '/' { // relative to the page, which is below the prefix already
		return location
	}
	return prefix + rooted(path)
}
