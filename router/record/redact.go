package record

import (
	"regexp"
	"strings"
)

const (
	hidden   = "[redacted]"
	shortest = len("pal-abcdefgh") // of what can be told to be a secret by its looks
)

// What stands for a secret, wherever it is written: ours, those of the field's other services, and what follows "Bearer".
var (
	secrets = regexp.MustCompile(`\bpal-[a-z2-7]{8,}|\bpal_[A-Za-z0-9_-]{16,}|\b(?:sk|hf|nvapi|ghp|gho|glpat|xox[abp])[-_][A-Za-z0-9_-]{16,}|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*`)
	bearer  = regexp.MustCompile(`(?i)\b(bearer|basic) +[A-Za-z0-9._~+/=-]{20,}`)
	// ends of the names of members of JSON objects, and of parameters of queries, that are called after a secret
	member    = regexp.MustCompile(`(?i)((?:api[_-]?key|authorization|passw(?:or)?d|secret|access[_-]?token|auth[_-]?token|refresh[_-]?token|cookie)"\s*:\s*")(?:[^"\\]|\\.)*`)
	parameter = regexp.MustCompile(`(?i)((?:key|token|secret|passw(?:or)?d|signature|sig)=)[^&#;]*`)
)

// redactField takes the value out of a field that is called after a secret, but for the word before it.
func redactField(name, value string) string {
	if !secretName(strings.ToLower(name)) {
		return value
	}
	scheme, rest, ok := strings.Cut(value, " ")
	if ok && rest != "" && len(scheme) <= 12 && !strings.ContainsAny(scheme, "=;,") {
		return scheme + " " + hidden
	}
	return hidden
}

// secretName tells whether a field holds a secret, by its folded name.
func secretName(name string) bool {
	if strings.Contains(name, "ratelimit") {
		return false // how many tokens are left
	}
	for _, word := range []string{"auth", "cookie", "token", "secret", "passw", "api-key", "apikey", "api_key", "credential", "signature"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	// Browsers, which can set no other field, send keys of realtime calls in this one.
	return name == "sec-websocket-protocol"
}

// redactTarget takes secrets out of a path and query.
func redactTarget(target string) string {
	if path, query, ok := strings.Cut(target, "?"); ok {
		target = path + "?" + parameter.ReplaceAllString(query, "${1}"+hidden)
	}
	return string(redactText([]byte(target)))
}

// redactText takes out of a text what looks like a secret.
func redactText(text []byte) []byte {
	if len(text) < shortest {
		return text
	}
	text = member.ReplaceAll(text, []byte("${1}"+hidden))
	text = bearer.ReplaceAll(text, []byte("${1} "+hidden))
	return secrets.ReplaceAll(text, []byte(hidden))
}
