package router

import (
	"bytes"
	"strings"

	"github.com/palisade-run/palisade/router/http1"
	"github.com/palisade-run/palisade/router/repeat"
)

// What is at /v1/ and /services/NAME/ shares an origin with the appliance's own pages: to a browser they are one. Engines run
// what others wrote, so that nothing they say may act as who is logged in. Below its own host name an engine has an origin
// for itself, and speaks for it.

// Our own cookies begin so, whatever stands before it that browsers give a meaning.
const cookieOurs = "palisade_"

// sandbox gives a page of an engine an origin that nobody else has. The engine's own policies hold beside it.
const sandbox = "sandbox allow-scripts allow-forms allow-popups allow-downloads"

var (
	namePolicy  = []byte("Content-Security-Policy")
	nameSniff   = []byte("X-Content-Type-Options")
	textSandbox = []byte(sandbox)
	textNoSniff = []byte("nosniff")
)

// confine takes out of an engine's answer what it must not say: cookies with names of ours, and where it shares its host
// what is meant for all of that.
func (x *exchange) confine(res *http1.Response) {
	opens := x.opensPages()
	for i := range res.Fields {
		f := &res.Fields[i]
		if f.Known == http1.SetCookie && ourSetCookie(text(f.Value)) || f.Known == http1.OfHost && x.address.Kind != ByHost || opens && speaksOfPages(text(f.Name)) {
			f.Known = http1.HopByHop // nobody passes it on
		}
	}
}

// ourSetCookie tells whether a Set-Cookie would make a cookie that looks like one of ours. One without a name is sent by
// browsers as its value alone, which may look like any.
func ourSetCookie(line string) bool {
	pair, _, _ := strings.Cut(line, ";")
	name, _, named := strings.Cut(pair, "=")
	name = strings.TrimSpace(name)
	return !named || name == "" || ourCookie(name)
}

func ourCookie(name string) bool {
	return len(name) >= len(cookieOurs) && (name[0] == 'p' || name[0] == '_') && // most end here
		strings.HasPrefix(trimFold(trimFold(name, "__host-"), "__secure-"), cookieOurs)
}

// trimFold takes a prefix of lower-case letters off, in any case.
func trimFold(s, prefix string) string {
	if len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix) {
		return s[len(prefix):]
	}
	return s
}

// appendCookies writes a Cookie header without what is ours, and all else as it came.
func appendCookies(b []byte, f *http1.Field) []byte {
	if !bytes.Contains(f.Value, []byte(cookieOurs)) {
		return http1.AppendField(b, f.Name, f.Value)
	}
	kept := 0
	for pair := range bytes.SplitSeq(f.Value, []byte(";")) {
		pair = bytes.TrimSpace(pair)
		name, _, _ := bytes.Cut(pair, []byte("="))
		if len(pair) == 0 || ourCookie(text(bytes.TrimSpace(name))) {
			continue
		}
		if kept++; kept == 1 {
			b = append(append(b, f.Name...), ": "...)
		} else {
			b = append(b, "; "...)
		}
		b = append(b, pair...)
	}
	if kept > 0 {
		b = append(b, "\r\n"...)
	}
	return b
}

// guardPage says to browsers what an answer is not: a page of the appliance's own.
func (x *exchange) guardPage(res *http1.Response) {
	if x.address.Kind == ByHost {
		return
	}
	known, all := false, true
	for i := range res.Fields { // of several, browsers take the last that they understand
		if f := &res.Fields[i]; f.Known == http1.ContentType {
			known, all = true, all && inert(text(f.Value))
		}
	}
	if !known || !all {
		x.client.header(namePolicy, textSandbox)
		x.client.header(nameSniff, textNoSniff)
	}
}

// againHeaders are the headers of an answer that is given once more, to who may have come another way.
func (x *exchange) againHeaders(of []repeat.Field) []header {
	headers := make([]header, 0, len(of)+3)
	known, all, opens := false, true, x.opensPages()
	for _, f := range of {
		if opens && speaksOfPages(f.Name) {
			continue
		}
		switch http1.Recognize([]byte(f.Name)) {
		case http1.OfHost:
			continue
		case http1.ContentType:
			known, all = true, all && inert(f.Value)
		}
		headers = append(headers, header{f.Name, f.Value})
	}
	if x.address.Kind != ByHost && (!known || !all) {
		headers = append(headers, header{string(namePolicy), sandbox}, header{string(nameSniff), string(textNoSniff)})
	}
	return append(headers, header{"X-Palisade-Repeat", "hit"})
}

// inert tells content that no browser runs, whoever opens it. What is not known may be anything, and what has no type is
// looked into by browsers.
func inert(contentType string) bool {
	media, _, _ := strings.Cut(contentType, ";")
	media = strings.TrimRight(media, " \t")
	kind, sub, ok := strings.Cut(media, "/")
	if !ok || strings.IndexByte(contentType, ',') >= 0 { // some take the last of several
		return false
	}
	switch len(kind) {
	case 4: // the types of nearly all answers first
		return strings.EqualFold(kind, "text") && (strings.EqualFold(sub, "event-stream") || strings.EqualFold(sub, "plain")) || strings.EqualFold(kind, "font")
	case 5:
		return strings.EqualFold(kind, "audio") || strings.EqualFold(kind, "video") || strings.EqualFold(kind, "image") && !strings.Contains(strings.ToLower(sub), "svg") && !strings.Contains(strings.ToLower(sub), "xml")
	case 11:
		return strings.EqualFold(kind, "application") && inertApplication(sub)
	}
	return false
}

func inertApplication(sub string) bool {
	for _, known := range [...]string{"json", "octet-stream", "x-ndjson", "jsonl", "grpc", "pdf", "zip", "gzip"} {
		if strings.EqualFold(sub, known) {
			return true
		}
	}
	return false
}
